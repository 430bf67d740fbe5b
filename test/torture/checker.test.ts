import { expect, test } from "vitest"
import { check } from "./checker.ts"
import type { Answered, Entry, Request } from "./journal.ts"
import type { Ledger, LedgerRow } from "./ledger.ts"
import { badManners } from "./operations.ts"
import * as requests from "./requests.ts"

const at = new Date("2026-03-01T12:00:00.000Z")
const ada = "ada"

const row = (seq: number, before: number, amount: number, more: Partial<LedgerRow>): LedgerRow => ({
  user_id: ada,
  seq,
  id: `t${seq}`,
  type: "usage",
  amount,
  balance_before: before,
  balance_after: before + amount,
  counter_account: "revenue:torture",
  app_id: "torture",
  description: "",
  metadata: null,
  idempotency_key: null,
  related_transaction_id: null,
  caller: "service:torture",
  created_at: at,
  ...more
})

const granted = row(1, 0, 100, {
  type: "grant",
  counter_account: "promotions",
  app_id: null,
  description: requests.mark("g"),
  metadata: { reason: "torture", referenceId: "g" }
})
const used = row(2, 100, -5, { description: requests.mark("u"), idempotency_key: "u" })
const committed = row(3, 95, -4, { description: requests.mark("c"), metadata: { reservationId: "r1" } })

const reservation = (id: string, op: string, more: object) => ({
  user_id: ada,
  id,
  status: "open" as const,
  amount: 7,
  reason: requests.mark(op),
  app_id: "torture",
  created_at: at,
  expires_at: at,
  closed_at: null,
  transaction_id: null,
  ...more
})

const ledger: Ledger = {
  rows: [granted, used, committed],
  balances: [{ user_id: ada, balance: 91, held: 7, debt: 0, total_earned: 100, total_spent: 9 }],
  reservations: [
    reservation("r1", "h", { status: "committed", closed_at: at, transaction_id: "t3" }),
    reservation("r2", "o", {})
  ],
  gifts: [],
  purchases: [],
  charges: [],
  keys: []
}

const asked = (request: Request): Entry => ({ event: "asked", at: 0, request })
const answered = (op: string, body: unknown, more: Partial<Answered> = {}): Answered => ({
  event: "answered",
  op,
  at: 0,
  ms: 5,
  status: 200,
  replayed: false,
  retryAfter: null,
  body,
  ...more
})
const lost = (op: string, reason = "ECONNRESET"): Entry => ({ event: "lost", op, at: 0, ms: 5, reason })

const transaction = {
  id: "t2",
  userId: ada,
  type: "usage",
  status: "completed",
  amount: -5,
  balanceBefore: 100,
  balanceAfter: 95,
  appId: "torture",
  description: requests.mark("u"),
  metadata: null,
  idempotencyKey: "u",
  relatedTransactionId: null,
  createdAt: at.toISOString(),
  completedAt: at.toISOString()
}
const hold = { reservationId: "r1", userId: ada, amount: 7 }

const grant = asked(requests.grant("g", ada, 100))
const use = asked(requests.use("u", ada, 5, "u"))
const useAnswer = answered("u", { success: true, transaction })
const reserve = asked(requests.reserve("h", ada, 7))
const commit = asked(requests.commit("c", hold, 4))
const openHold = asked(requests.reserve("o", ada, 7))
const entries: ReadonlyArray<Entry> = [
  grant,
  answered("g", { ok: true, alreadyGranted: false, transactionId: "t1" }),
  use,
  lost("u"),
  useAnswer,
  reserve,
  answered("h", { reservationId: "r1" }),
  commit,
  answered("c", { success: true, transactionId: "t3" }),
  openHold
]

const manners = { bound: 1000, mayLose: true }

test("true books and good answers are nothing to speak of", () => {
  expect(check(entries, ledger)).toEqual([])
  expect(badManners(entries, manners)).toEqual([])
})

const without = <A>(list: ReadonlyArray<A>, one: A) => list.filter((each) => each !== one)
const last = ledger.balances.map((each) => ({ ...each, balance: 86, total_spent: 14 }))

test.each<[string, RegExp, Partial<Ledger>, ReadonlyArray<Entry>]>([
  ["lost", /use u was acknowledged and is not there/, { rows: [granted] }, entries],
  [
    "doubled",
    /use u is there 2 times/,
    {
      rows: [...ledger.rows, row(4, 91, -5, { description: requests.mark("u"), idempotency_key: "u" })],
      balances: last
    },
    entries
  ],
  ["another amount", /by the model/, { rows: [granted, { ...used, amount: -6, balance_after: 94 }] }, entries],
  ["another id", /the books have/, { rows: [granted, { ...used, id: "other" }, committed] }, entries],
  ["another balance", /the balance of ada/, { balances: last }, entries],
  ["nobody's row", /nobody asked for ada #4/, { rows: [...ledger.rows, row(4, 91, -1, {})] }, entries],
  ["a missing hold", /reserve h was acknowledged and is not there/, { reservations: [] }, entries],
  ["nobody's hold", /nobody asked for the hold r2/, {}, without(entries, openHold)],
  ["a gap", /by the model/, { rows: [granted, used, { ...committed, seq: 4 }] }, entries],
  [
    "refused and done",
    /use u was refused and is there/,
    {},
    entries.flatMap((each) =>
      each === useAnswer ? [] : each.event === "lost" ? [answered("u", {}, { status: 402 })] : [each]
    )
  ],
  [
    "paid and not credited",
    /pay p was answered "completed"/,
    {},
    [...entries, asked(requests.pay("p", ada, "purchase", "secret")), answered("p", {})]
  ],
  [
    "told of charges that aren't there",
    /charge runs told of 3 charges, the ledger has 0/,
    {},
    [...entries, asked(requests.chargeRun("r")), answered("r", { charged: 3 })]
  ],
  [
    "a gift that went elsewhere",
    /giftRedeem x was answered/,
    {},
    [
      ...entries,
      asked(requests.giftRedeem("x", ada, { giftId: "gift", code: "code", creatorId: "ben" })),
      answered("x", { giftId: "gift", transactionId: "t9", creditsReceived: 5 })
    ]
  ]
])("the checker finds books with %s", (_, said, changed, journal) => {
  expect(check(journal, { ...ledger, ...changed }).join("\n")).toMatch(said)
})

test.each<[string, RegExp, Entry]>([
  ["a 500", /use u got a 500/, answered("u", {}, { status: 500 })],
  ["a 404 for what was there", /use u got a 404/, answered("u", {}, { status: 404 })],
  ["a 503 without Retry-After", /without Retry-After/, answered("u", {}, { status: 503 })],
  ["an answer that came too late", /took 1001 ms/, answered("u", { success: true, transaction }, { ms: 1001 })],
  ["another answer for the same key", /for the same key/, answered("u", { success: true }, { replayed: true })],
  ["a second first time", /done anew/, answered("u", { success: true, transaction })],
  ["silence", /no answer: silence/, lost("u", "silence for 30000 ms")]
])("the checker finds %s", (_, said, entry) => {
  expect(badManners([...entries, entry], manners).join("\n")).toMatch(said)
})

test("a connection may break only where the service is killed", () => {
  expect(badManners(entries, { ...manners, mayLose: false }).join("\n")).toMatch(/use u got no answer: ECONNRESET/)
})

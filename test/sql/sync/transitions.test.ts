/** Every state a subscription can be in, and what each call makes of it: the next state, or a refusal. */
import { expect, test } from "vitest"
import { database, refusalOf } from "../../support/database.ts"
import { chargesOf } from "./subscribers.ts"

const db = await database()

const start = new Date("2027-01-31T10:00:00.000Z")
const day = (days: number) => new Date(start.getTime() + days * 86_400_000)
/** Inside the first paid period, which ends on 28 February. */
const paid = day(10)
/** After it. */
const lapsed = day(40)

const who = { who: "ada", why: "a test" }

const calls = {
  activate: (userId: string, now: Date) => db.call("sync.activate", { userId, now }),
  deactivate: (userId: string, now: Date) => db.call("sync.deactivate", { userId, now }),
  "change interval": (userId: string, now: Date) =>
    db.call("sync.change_interval", { userId, interval: "quarterly", now }),
  "charge run": (_userId: string, now: Date) => db.call("sync.charge_due", { now }),
  gift: (userId: string, now: Date) => db.call("sync.gift", { userId, by: "admin-1", now }),
  "revoke gift": (userId: string, now: Date) => db.call("sync.revoke_gift", { userId, by: "admin-2", now }),
  "pause by hand": (userId: string, now: Date) => db.rows("ops.pause_sync", { userId, ...who, now }, "mana_ops"),
  "resume by hand": (userId: string, now: Date) => db.rows("ops.resume_sync", { userId, ...who, now }, "mana_ops"),
  "credits arrive": (userId: string, now: Date) =>
    db.call("credits.refund", { userId, amount: 1, description: "test", now })
} as const
type Call = keyof typeof calls

/** The steps that lead to a state from a user with 1000 credits, and when the state is asked. */
const states: Record<string, { readonly steps: ReadonlyArray<readonly [Call, Date]>; readonly now: Date }> = {
  never: { steps: [], now: paid },
  active: { steps: [["activate", start]], now: paid },
  due: { steps: [["activate", start]], now: lapsed },
  "inactive, paid": {
    steps: [
      ["activate", start],
      ["deactivate", day(1)]
    ],
    now: paid
  },
  "inactive, lapsed": {
    steps: [
      ["activate", start],
      ["deactivate", day(1)]
    ],
    now: lapsed
  },
  "paused by hand, paid": {
    steps: [
      ["activate", start],
      ["pause by hand", day(1)]
    ],
    now: paid
  },
  "paused by hand, lapsed": {
    steps: [
      ["activate", start],
      ["pause by hand", day(1)]
    ],
    now: lapsed
  },
  "gift to a new user": { steps: [["gift", start]], now: paid },
  "gift over active": {
    steps: [
      ["activate", start],
      ["gift", day(1)]
    ],
    now: paid
  },
  "gift over lapsed": {
    steps: [
      ["activate", start],
      ["gift", day(1)]
    ],
    now: lapsed
  },
  "gift over paused": {
    steps: [
      ["activate", start],
      ["pause by hand", day(1)],
      ["gift", day(2)]
    ],
    now: paid
  },
  "gift revoked": {
    steps: [
      ["gift", start],
      ["revoke gift", day(1)]
    ],
    now: paid
  }
}

// A state reads `status, next charge, periods charged`, a gift in front; dates are of the first anchor unless renewed.
const feb = "2027-02-28"
const next = { paid: "2027-03-10", lapsed: "2027-04-12" } // a month after `paid` and `lapsed`

const expected: Record<string, Record<Call, string>> = {
  never: {
    activate: `active ${next.paid} 1`,
    deactivate: "CR102",
    "change interval": "CR102",
    "charge run": "inactive - 0",
    gift: "gift inactive - 0",
    "revoke gift": "CR104",
    "pause by hand": "CR102",
    "resume by hand": "CR102",
    "credits arrive": "inactive - 0"
  },
  active: {
    activate: "CR101",
    deactivate: "inactive - 1",
    "change interval": `active ${feb} 1`,
    "charge run": `active ${feb} 1`,
    gift: "gift active - 1",
    "revoke gift": "CR104",
    "pause by hand": "paused - 1",
    "resume by hand": "CR101",
    "credits arrive": `active ${feb} 1`
  },
  due: {
    activate: "CR101",
    deactivate: "inactive - 1",
    "change interval": `active ${feb} 1`,
    "charge run": "active 2027-03-31 2",
    gift: "gift active - 1",
    "revoke gift": "CR104",
    "pause by hand": "paused - 1",
    "resume by hand": "CR101",
    "credits arrive": `active ${feb} 1`
  },
  "inactive, paid": {
    activate: `active ${feb} 1`,
    deactivate: "CR102",
    "change interval": "CR102",
    "charge run": "inactive - 1",
    gift: "gift inactive - 1",
    "revoke gift": "CR104",
    "pause by hand": "CR102",
    "resume by hand": "CR102",
    "credits arrive": "inactive - 1"
  },
  "inactive, lapsed": {
    activate: `active ${next.lapsed} 2`,
    deactivate: "CR102",
    "change interval": "CR102",
    "charge run": "inactive - 1",
    gift: "gift inactive - 1",
    "revoke gift": "CR104",
    "pause by hand": "CR102",
    "resume by hand": "CR102",
    "credits arrive": "inactive - 1"
  },
  "paused by hand, paid": {
    activate: `active ${feb} 1`,
    deactivate: "inactive - 1",
    "change interval": "paused - 1",
    "charge run": "paused - 1",
    gift: "gift paused - 1",
    "revoke gift": "CR104",
    "pause by hand": "paused - 1",
    "resume by hand": `active ${feb} 1`,
    "credits arrive": "paused - 1"
  },
  "paused by hand, lapsed": {
    activate: `active ${next.lapsed} 2`,
    deactivate: "inactive - 1",
    "change interval": "paused - 1",
    "charge run": "paused - 1",
    gift: "gift paused - 1",
    "revoke gift": "CR104",
    "pause by hand": "paused - 1",
    "resume by hand": `active ${next.lapsed} 2`,
    "credits arrive": "paused - 1"
  },
  "gift to a new user": {
    activate: "CR103",
    deactivate: "CR103",
    "change interval": "CR103",
    "charge run": "gift inactive - 0",
    gift: "gift inactive - 0",
    "revoke gift": "inactive - 0",
    "pause by hand": "CR103",
    "resume by hand": "CR103",
    "credits arrive": "gift inactive - 0"
  },
  "gift over active": {
    activate: "CR103",
    deactivate: "CR103",
    "change interval": "CR103",
    "charge run": "gift active - 1",
    gift: "gift active - 1",
    "revoke gift": `active ${feb} 1`,
    "pause by hand": "CR103",
    "resume by hand": "CR103",
    "credits arrive": "gift active - 1"
  },
  "gift over lapsed": {
    activate: "CR103",
    deactivate: "CR103",
    "change interval": "CR103",
    "charge run": "gift active - 1",
    gift: "gift active - 1",
    // Due now, for a period from now on: the gift's time is not billed.
    "revoke gift": "active 2027-03-12 1",
    "pause by hand": "CR103",
    "resume by hand": "CR103",
    "credits arrive": "gift active - 1"
  },
  "gift over paused": {
    activate: "CR103",
    deactivate: "CR103",
    "change interval": "CR103",
    "charge run": "gift paused - 1",
    gift: "gift paused - 1",
    "revoke gift": "paused - 1",
    "pause by hand": "CR103",
    "resume by hand": "CR103",
    "credits arrive": "gift paused - 1"
  },
  "gift revoked": {
    activate: `active ${next.paid} 1`,
    deactivate: "CR102",
    "change interval": "CR102",
    "charge run": "inactive - 0",
    gift: "gift inactive - 0",
    "revoke gift": "CR104",
    "pause by hand": "CR102",
    "resume by hand": "CR102",
    "credits arrive": "inactive - 0"
  }
}

const stateOf = async (userId: string) => {
  const details = await db.call("sync.details", { userId })
  const charges = await chargesOf(db, userId)
  // `active` is what the app goes by: subscribed, or given.
  if (details.active !== (details.status === "active" || details.gifted)) throw new Error(JSON.stringify(details))
  return `${details.gifted ? "gift " : ""}${details.status} ${details.nextChargeAt?.slice(0, 10) ?? "-"} ${charges.length}`
}

const isCall = (name: string): name is Call => name in calls

const cases = Object.entries(expected).flatMap(([state, row]) =>
  Object.entries(row).flatMap(([name, outcome]) => (isCall(name) ? [{ state, name, outcome }] : []))
)

test.each(cases)("$state: $name -> $outcome", async ({ state, name, outcome }) => {
  const { steps = [], now = paid } = states[state] ?? {}
  const userId = await db.userWith(1000)
  for (const [step, at] of steps) await calls[step](userId, at)
  const books = async () => (outcome.startsWith("CR") ? db.books() : undefined)
  const before = await books()

  const answer = await calls[name](userId, now).then(
    () => stateOf(userId),
    (error: unknown) => refusalOf(error).sqlstate
  )
  expect(answer).toBe(outcome)
  expect(await books(), "a refusal writes nothing").toEqual(before)
})

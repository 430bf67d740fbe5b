/**
 * Every operation of the OpenAPI document, asked with what its own shapes allow, nearly allow and don't: no mistake of
 * ours, nothing written by what is refused, every answer as the document says. `npm run fuzz` does it a thousand
 * times an operation; `FUZZ_SEED` repeats a run.
 */
import { createHmac } from "node:crypto"
import * as fc from "fast-check"
import { Option } from "effect"
import { describe, expect, test } from "vitest"
import { database } from "../support/database.ts"
import { begin } from "../support/stripe.ts"
import { type Case, casesOf, eventCases } from "./fuzz/cases.ts"
import { faultOf } from "./fuzz/judge.ts"
import { type Operation, operations } from "./operations.ts"
import { type Answer, codeOf, sender } from "./sender.ts"
import { startSimulator, stripeSettings } from "./stripe-support.ts"
import { authService, serviceKey, startService } from "./support.ts"

const cases = Number(process.env["FUZZ_CASES"] ?? 20)
const seed = Number(process.env["FUZZ_SEED"] ?? Date.now() % 2 ** 31)
const only = process.env["FUZZ_ONLY"]?.split(",")
/** For one operation, in milliseconds. */
const patience = Number(process.env["FUZZ_PATIENCE"] ?? 20_000)

const db = await database()
const auth = await authService()
const simulator = await startSimulator()
// Its webhooks lead nowhere: what is written meanwhile is the answer's doing.
const stripe = stripeSettings(simulator)
const service = await startService(db, auth, {
  settings: { stripe: Option.some(stripe), corsOrigins: ["https://app.example"] }
})
const send = sender(service.port, 1)

/** Every row written, noted as it is: a refused request leaves none. */
await db.query(`
  create table public.writes (name text not null);
  create function public.note_write() returns trigger language plpgsql security definer as $$
    begin insert into public.writes values (tg_table_schema || '.' || tg_table_name); return null; end $$;
  do $$
    declare v_table regclass;
    begin
      for v_table in
        select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p') and n.nspname in ('credits', 'gifts', 'sync', 'stripe', 'ops')
      loop
        execute format(
          'create trigger note_write after insert or update or delete on %s for each row execute function public.note_write()',
          v_table
        );
      end loop;
    end $$`)
const written = async (): Promise<ReadonlyArray<string>> => {
  const rows = await db.query(
    "with gone as (delete from public.writes returning name) select distinct name from gone order by 1"
  )
  return rows.map(({ name }) => name)
}

const users = await Promise.all([1_000_000, 5_000, 100, 0].map((amount) => db.userWith(amount)))
const [rich = ""] = users
const first = await db.call("credits.use", { userId: rich, amount: 10, appId: "chat", description: "The first" })
const held = await db.call("credits.reserve", { userId: rich, amount: 10, reason: "The first" })
const give = () => db.call("gifts.create", { userId: rich, totalCredits: 10 })
const [gift, toCancel] = [await give(), await give()]
const purchase = await begin(db, {}, rich)
const priced = await db.query("select operation as id from credits.operations order by 1 limit 3")
const sold = await db.query("select id from credits.packages order by id limit 3")

/** What there is by name; answers add to it. */
const known = new Map<string, Array<string>>(
  Object.entries({
    userId: [...users],
    transactionId: [first.transaction.id],
    reservationId: [held.reservationId],
    code: [gift.code],
    "gifts.cancel": [toCancel.id],
    "purchases.purchaseById": [purchase.purchaseId],
    before: [first.transaction.id, gift.id],
    operation: priced.map(({ id }) => String(id)),
    packageId: sold.map(({ id }) => String(id)),
    paymentIntentId: [purchase.paymentIntentId],
    purchaseId: [purchase.purchaseId],
    email: ["somebody@example.com"],
    targetEmail: ["somebody@example.com"]
  })
)

/** Whose path names which field of an answer `id`. */
const named: Readonly<Record<string, readonly [field: string, pool: string]>> = {
  "gifts.create": ["id", "gifts.cancel"],
  "purchases.purchase": ["purchaseId", "purchases.purchaseById"]
}

const learn = (operation: Operation, value: unknown) => {
  if (typeof value !== "object" || value === null) return
  const [field, pool = ""] = named[operation.id] ?? []
  for (const [name, inner] of Object.entries(value)) {
    if (typeof inner === "object") learn(operation, inner)
    else if (typeof inner === "string" && name !== "userId") known.get(name === field ? pool : name)?.push(inner)
  }
}

const filled = (text: string) =>
  text.replaceAll(/@@([\w.]+):(\d+)@@/g, (_, name: string, number: string) => {
    const list = known.get(name) ?? ["nothing"]
    return list[Number(number) % list.length] ?? "nothing"
  })

// Good for longer than the longest run.
const claims = { role: "admin", email: "somebody@example.com", email_verified: true, exp: 4_000_000_000 }
const tokens = await Promise.all(users.map((userId) => auth.token(userId, claims)))
const credentials = (operation: Operation, turn: number): Readonly<Record<string, string>> => {
  if (operation.access === "open") return {}
  if (operation.access === "service") return { "x-service-key": serviceKey }
  return { authorization: `Bearer ${tokens[turn % 2 === 0 ? 0 : (turn >> 1) % tokens.length]}` }
}

const signature = (body: string | Uint8Array) => {
  const at = Math.floor(Date.now() / 1000)
  const hmac = createHmac("sha256", simulator.webhookSecret).update(`${at}.`).update(body)
  return { "stripe-signature": `t=${at},v1=${hmac.digest("hex")}` }
}

/** What a refused request may write all the same: that somebody guessed. */
const mayWrite = (operation: Operation, answer: Answer, table: string) =>
  table === "gifts.misses" && answer.status === 404 && ["gifts.lookUp", "gifts.redeem"].includes(operation.id)

const isProblem = (answer: Answer) =>
  answer.headers["content-type"] === "application/problem+json" && typeof codeOf(answer) === "string"

/** What is wrong with an answer, if anything. */
const faults = (operation: Operation, asked: Case, answer: Answer, wrote: ReadonlyArray<string>) => {
  const { status, json, headers } = answer
  const found: Array<string> = []
  if (status >= 500) found.push("a mistake of ours")
  if (status >= 400 && !isProblem(answer)) found.push("no problem")
  if (status >= 400 && wrote.some((table) => !mayWrite(operation, answer, table))) found.push(`wrote ${wrote.join()}`)
  if (headers["x-content-type-options"] !== "nosniff") found.push("no nosniff")
  if (headers["cache-control"] !== "no-store") found.push("no no-store")
  const documented = operation.answers[String(status)]
  const isRouters =
    asked.isElsewhere === true &&
    ["not_found", "method_not_allowed", "invalid_request"].includes(String(codeOf(answer)))
  if (documented === undefined && !isRouters) found.push("a status that isn't documented")
  if (documented !== undefined && !isRouters) {
    const fault = faultOf(documented.shape, json)
    if (fault !== undefined) found.push(fault)
    if (headers["content-type"] !== documented.type) found.push(`of the type ${headers["content-type"]}`)
  }
  if (asked.kind === "broken" && status !== 400) found.push(`taken, though ${asked.what}`)
  return found
}

const seen = new Map<string, Set<number>>()
let turn = 0

const asked = async (operation: Operation, each: Case) => {
  turn += 1
  const body = typeof each.body === "string" ? filled(each.body) : each.body
  const answer = await send({
    method: operation.method,
    path: filled(each.path),
    headers: {
      ...credentials(operation, turn),
      ...(operation.id === "webhooks.stripe" && body !== undefined ? signature(body) : {}),
      ...each.headers
    },
    ...(body === undefined ? {} : { body })
  })
  const wrote = await written()
  if (answer.status < 300) learn(operation, answer.json)
  seen.set(operation.id, (seen.get(operation.id) ?? new Set()).add(answer.status))
  const wrong = faults(operation, each, answer, wrote)
  if (wrong.length > 0) {
    const shown = typeof body === "string" ? body.slice(0, 2000) : body?.toString()
    throw new Error(
      `${wrong.join("; ")}\n${operation.method} ${filled(each.path)} (${each.what})\n${JSON.stringify(each.headers)}\n${shown}\n` +
        `→ ${answer.status} ${answer.text.slice(0, 1000)}`
    )
  }
}

const chosen = operations.filter(({ id }) => only?.includes(id) ?? true)

describe(`seed ${seed}, ${cases} cases an operation`, () => {
  test.each(chosen)("$method $path", { timeout: patience + 10_000 }, async (operation) => {
    // The operation before may have ended every subscription, and this one wants one.
    if (operation.id === "sync.changeInterval" && !(await db.call("sync.status", { userId: rich })).active) {
      await db.call("sync.activate", { userId: rich })
    }
    await written()
    const arbitrary = operation.id === "webhooks.stripe" ? eventCases(operation.path) : casesOf(operation)
    await fc.assert(
      fc.asyncProperty(arbitrary, (each) => asked(operation, each)),
      { seed, numRuns: cases, interruptAfterTimeLimit: patience, markInterruptAsFailure: false }
    )
  })

  // In a few cases chance may leave one of them out.
  test.runIf(cases >= 300)("good requests were among them, and bad ones", () => {
    for (const { id, body, parameters } of chosen) {
      const statuses = [...(seen.get(id) ?? [])]
      expect(
        statuses.some((status) => status < 300),
        `${id} ${statuses.join()}`
      ).toBe(true)
      const takesSomething = body !== undefined || parameters.length > 0
      expect(statuses.includes(400) || !takesSomething, `${id} ${statuses.join()}`).toBe(true)
    }
  })
})

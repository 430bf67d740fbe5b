import { Redacted, Result } from "effect"
import { Stripe } from "stripe"
import { expect, test } from "vitest"
import { relevantTypes } from "../../src/stripe/events.ts"
import { verified } from "../../src/stripe/webhook.ts"
import { database } from "../support/database.ts"
import { apiVersion } from "../support/stripe.ts"

const db = await database()

const secret = "whsec_current"
const body = JSON.stringify({ id: "evt_1", object: "event", type: "payment_intent.succeeded" }, null, 2)
const now = Date.UTC(2026, 2, 1, 12)

const signed = (ageSeconds: number, options: { payload?: string; secret?: string } = {}) =>
  Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now / 1000 - ageSeconds, ...options })

const judge = (header: string | undefined, options: { body?: string; secrets?: ReadonlyArray<string> } = {}) =>
  Result.getOrElse(
    verified({
      body,
      header,
      now,
      ...options,
      secrets: (options.secrets ?? [secret]).map((each) => Redacted.make(each))
    }),
    (problem) => ({ problem })
  )

const bad = { problem: "doesn't fit this body, or is too old" }

const signature = (header: string) => header.split(",").filter((part) => part.startsWith("v1="))

test.each([
  { what: "made this second", header: signed(0), expected: body },
  { what: "299 seconds old", header: signed(299), expected: body },
  { what: "300 seconds old", header: signed(300), expected: body },
  { what: "301 seconds old", header: signed(301), expected: bad },
  { what: "of a clock 300 seconds ahead", header: signed(-300), expected: body },
  { what: "from the future", header: signed(-301), expected: bad },
  { what: "of another secret", header: signed(0, { secret: "whsec_other" }), expected: bad },
  { what: "of another body", header: signed(0, { payload: "{}" }), expected: bad },
  { what: "without its time", header: signature(signed(0)).join(), expected: bad },
  { what: "without a signature", header: `t=${now / 1000}`, expected: bad },
  { what: "that is nonsense", header: "nonsense", expected: bad },
  { what: "missing", header: undefined, expected: { problem: "is missing" } },
  { what: "empty", header: "", expected: { problem: "is missing" } }
])("a signature $what", ({ header, expected }) => {
  expect(judge(header)).toEqual(expected)
})

test.each([
  ["too deep", `{"data":${"[".repeat(101)}${"]".repeat(101)}}`],
  ["a number that PostgreSQL can't hold", '{"data":1e200000}'],
  ["a name with NUL", '{"a\\u0000":1}']
])("a body that can't be stored isn't taken, though signed: %s", (_what, odd) => {
  const header = signed(0, { payload: odd })
  expect(judge(header, { body: odd })).toEqual({ problem: expect.stringContaining("can't be kept") })
})

test("the body as it came, not as JSON writes it anew", () => {
  const rewritten = JSON.stringify(JSON.parse(body))
  expect(judge(signed(0), { body: rewritten })).toEqual(bad)
  expect(judge(signed(0), { body: `${body}\n` })).toEqual(bad)
})

test("while a secret is rotated: either of ours, either of the header's", () => {
  const secrets = [secret, "whsec_next"]
  expect(judge(signed(0), { secrets })).toBe(body)
  expect(judge(signed(0, { secret: "whsec_next" }), { secrets })).toBe(body)
  expect(judge(signed(0, { secret: "whsec_third" }), { secrets })).toEqual(bad)
  // Stripe signs with both while one expires.
  const [other] = signature(signed(0, { secret: "whsec_next" }))
  expect(judge(`${signed(0, { secret: "whsec_third" })},${other}`, { secrets })).toBe(body)
})

test("text that PostgreSQL can't store is replaced, once the signature has been seen to fit", async () => {
  const odd = '{"id":"evt_odd","type":"x","livemode":false,"created":1,"data":{"object":{"a":"\\u0000b\\ud800c 😀"}}}'
  const header = signed(0, { payload: odd })
  const event = judge(header, { body: odd })
  expect(event).toContain('"a":"\ufffdb\ufffdc 😀"')
  expect(await db.call("stripe.apply_event", { event })).toMatchObject({ outcome: "ignored" })
})

test("the database reads the version of the API that the library asks for", async () => {
  expect(await db.query("select stripe.api_version() as version")).toEqual([{ version: Stripe.API_VERSION }])
  expect(apiVersion).toBe(Stripe.API_VERSION)
})

test("the database applies the types of event that are looked for in Stripe's list, and Stripe takes 20 at once", async () => {
  const rows = await db.query(
    "select type from jsonb_array_elements_text($1) type where stripe.event_kind(type) <> 'applied'",
    [JSON.stringify(relevantTypes)]
  )
  expect(rows).toEqual([])
  expect(relevantTypes.length).toBeLessThanOrEqual(20)
  const [{ source }] = await db.query("select pg_get_functiondef('stripe.event_kind'::regproc) as source")
  const applied = source.slice(0, source.indexOf("applied")).match(/'[a-z_.]+\.[a-z_.]+'::text/g)
  expect(applied.map((each: string) => each.replace(/^'(.*)'::text$/, "$1")).toSorted()).toEqual(
    relevantTypes.toSorted()
  )
})

/** Events that were never delivered here: Stripe keeps a list of the last 30 days, and we compare. */
import { Clock, Effect, Schema } from "effect"
import { Stripe } from "stripe"
import { call } from "../database/call.ts"
import { applyEvent, relevantTypes } from "./events.ts"
import type { Account } from "./stripe.ts"

const Until = Schema.Struct({ until: Schema.DateFromString })
const Ids = Schema.Array(Schema.String)

const day = 86_400

/** Seconds that one look at the list spans, and by which it goes back before the last one. */
const span = day
const overlap = 300

/** A run looks so often at most; a quiet month, which is all that Stripe keeps, fits. The next one goes on. */
const maxLooks = 40

/** Of 100 events each. A span with more is cut in two. */
const maxPages = 5

const types: Array<string> = [...relevantTypes]

const listPage = (account: Account, from: number, to: number, after: string | undefined) =>
  account.ask((stripe) =>
    stripe.events.list({
      created: { gte: from, lt: to },
      types,
      limit: 100,
      ...(after === undefined ? {} : { starting_after: after })
    })
  )

/** All events of a span, newest first; undefined when there are more than we take at once. */
const listed = Effect.fnUntraced(function* (account: Account, from: number, to: number) {
  const events: Array<Stripe.Event> = []
  for (let pages = 0; pages < maxPages; pages += 1) {
    const page = yield* listPage(account, from, to, events.at(-1)?.id)
    events.push(...page.data)
    if (!page.has_more) return events
  }
  return undefined
})

const readObject = (stripe: Stripe, type: string, id: string): Promise<object> => {
  if (type.startsWith("payment_intent.")) return stripe.paymentIntents.retrieve(id)
  if (type.startsWith("checkout.session.")) return stripe.checkout.sessions.retrieve(id)
  if (type.startsWith("charge.dispute.")) return stripe.disputes.retrieve(id)
  if (/^(charge\.)?refund\./.test(type)) return stripe.refunds.retrieve(id)
  return stripe.charges.retrieve(id)
}

const objectIdOf = ({ data: { object } }: Stripe.Event) =>
  "id" in object && typeof object.id === "string" ? object.id : ""

const applyMissed = Effect.fnUntraced(
  function* (account: Account, event: Stripe.Event) {
    if (event.api_version === Stripe.API_VERSION) return yield* applyEvent(event)
    // The list shows it in the account's version of the API. What it is about can be read in ours, as it is now.
    const object = yield* account.ask((stripe) => readObject(stripe, event.type, objectIdOf(event)))
    return yield* applyEvent({ ...event, api_version: Stripe.API_VERSION, data: { object } })
  },
  // Kept as it came then, for somebody to look at.
  (applied, _account, event) => Effect.catchTag(applied, "StripeRefused", () => applyEvent(event))
)

/** Applies what is missing of a span; answers how many, or undefined when the span is too full. */
const compare = Effect.fnUntraced(function* (account: Account, from: number, to: number) {
  const events = yield* listed(account, from, to)
  if (events === undefined) return undefined
  let missed = 0
  for (let first = 0; first < events.length; first += 1000) {
    // Oldest first, as they happened.
    const some = events.toReversed().slice(first, first + 1000)
    const unseen = new Set(yield* call("stripe.unseen_events", Ids, { eventIds: some.map(({ id }) => id) }))
    for (const event of some.filter(({ id }) => unseen.has(id))) {
      yield* applyMissed(account, event)
      missed += 1
    }
  }
  return missed
})

/** Goes through Stripe's list from where it was left; answers how many events had been missed. */
export const missedEvents = Effect.fnUntraced(function* (account: Account) {
  const { livemode } = account
  const now = Math.floor((yield* Clock.currentTimeMillis) / 1000)
  const { until } = yield* call("stripe.events_until", Until, { livemode })
  let from = Math.floor(until.getTime() / 1000) - overlap
  let length = span
  let missed = 0
  for (let looks = 0; looks < maxLooks && from < now; looks += 1) {
    const to = Math.min(now + 1, from + length)
    const found = yield* compare(account, from, to)
    if (found === undefined) {
      length = Math.max(1, Math.floor(length / 2))
      continue
    }
    missed += found
    from = to
    length = Math.min(span, length * 2)
    yield* call("stripe.events_until", Until, { livemode, until: new Date(to * 1000) }, { keyed: true })
  }
  return missed
})

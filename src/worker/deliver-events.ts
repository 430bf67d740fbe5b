/** Tells the receiver what happened: the outbox, one POST an event, signed as Standard Webhooks says. */
import { Clock, Effect, Option, Redacted, Schema } from "effect"
import { Webhook } from "standardwebhooks"
import { AppSettings, type EventsSettings } from "../config.ts"
import { call } from "../database/call.ts"

/** Events on the way at a time, each of another user. */
const atATime = 20

/** A receiver that takes longer gets the event again later. */
const patience = 10_000

/** For so long nobody else is given what we claimed: more than the receiver may take, and the time to say so. */
const leaseSeconds = 30

/** Of what is to be done in this run no more is begun after this many milliseconds: a minute later comes the next. */
const runFor = 45_000

const Event = Schema.Struct({
  id: Schema.Number,
  userId: Schema.String,
  type: Schema.String,
  data: Schema.ObjectKeyword,
  createdAt: Schema.String
})
type Event = typeof Event.Type

const Delivered = Schema.Struct({ delivered: Schema.Literal(true) })
const Failed = Schema.Struct({ parked: Schema.Boolean, nextAttemptAt: Schema.NullOr(Schema.String) })

/** What went wrong, in the words of the one who knows most: fetch says just "fetch failed". */
const reason = (error: unknown): string =>
  error instanceof Error
    ? error.cause === undefined
      ? error.message
      : `${error.message}: ${reason(error.cause)}`
    : String(error)

/** One POST. Fails with the reason, as a line for people. */
const send = Effect.fnUntraced(function* ({ url, secret }: EventsSettings, event: Event) {
  const now = new Date(yield* Clock.currentTimeMillis)
  // The same on every try: by it the receiver knows an event it has had.
  const id = `evt_${event.id}`
  const body = JSON.stringify({
    type: event.type,
    timestamp: event.createdAt,
    data: { userId: event.userId, ...event.data }
  })
  const response = yield* Effect.tryPromise({
    try: (signal) =>
      fetch(url, {
        method: "POST",
        headers: {
          "content-type": "application/json",
          "user-agent": "mana-credits",
          "webhook-id": id,
          "webhook-timestamp": `${Math.floor(now.getTime() / 1000)}`,
          "webhook-signature": new Webhook(Redacted.value(secret)).sign(id, now, body)
        },
        body,
        // A receiver moves by telling us, not by sending our events elsewhere.
        redirect: "manual",
        signal
      }),
    catch: reason
  }).pipe(
    Effect.timeoutOrElse({
      duration: patience,
      orElse: () => Effect.fail(`no answer within ${patience / 1000} seconds`)
    })
  )
  yield* Effect.promise(() => response.body?.cancel().catch(() => undefined) ?? Promise.resolve())
  if (!response.ok) return yield* Effect.fail(`HTTP ${response.status}`)
})

/** What became of one try. */
type Outcome = { readonly error: string | undefined; readonly parked: boolean }

const deliver = (receiver: EventsSettings, event: Event) => {
  const { userId, id } = event
  return send(receiver, event).pipe(
    Effect.matchEffect({
      onSuccess: () =>
        Effect.as(call("events.delivered", Delivered, { userId, id }, { keyed: true }), {
          error: undefined,
          parked: false
        }),
      onFailure: (error) =>
        Effect.map(call("events.failed", Failed, { userId, id, error }), ({ parked }): Outcome => ({ error, parked }))
    })
  )
}

const report = (outcomes: ReadonlyArray<Outcome>) => {
  const failed = outcomes.filter(({ error }) => error !== undefined)
  const log = failed.length > 0 ? Effect.logWarning : Effect.logDebug
  return log(failed.length > 0 ? "Events were not taken; they are tried again" : "Events delivered").pipe(
    Effect.annotateLogs({
      delivered: outcomes.length - failed.length,
      failed: failed.length,
      parked: failed.filter(({ parked }) => parked).length,
      ...(failed.length > 0 ? { lastError: failed.at(-1)?.error } : {})
    })
  )
}

/** Delivers what is due until nothing is, or the time of the run is over. Nothing without a receiver. */
export const deliverEvents = Effect.gen(function* () {
  const { events } = yield* AppSettings
  if (Option.isNone(events)) return
  const deadline = (yield* Clock.currentTimeMillis) + runFor
  do {
    const claimed = yield* call("events.claim", Schema.Array(Event), { limit: atATime, leaseSeconds })
    if (claimed.length === 0) return
    yield* report(yield* Effect.forEach(claimed, (event) => deliver(events.value, event), { concurrency: atATime }))
  } while ((yield* Clock.currentTimeMillis) < deadline)
})

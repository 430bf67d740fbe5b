/**
 * Delivery of events to the one webhook: signed, in the order they happened, again when not taken. And the controls
 * that make it misbehave as a network does: hold, deliver in any order, twice, never.
 */
import { Duration, Effect, FiberSet, Schedule, type Scope, Semaphore } from "effect"
import { Stripe } from "stripe"
import { step, type StripeApiError } from "./errors.ts"
import { randomFrom } from "./faults.ts"
import { found, type EventType, type SimulatedEvent, type State } from "./world.ts"

export interface WebhookOptions {
  readonly secret: string
  /** Where events go; until it is known they wait. */
  readonly url: string | undefined
  /** All, unless said otherwise. */
  readonly types: ReadonlyArray<EventType> | undefined
  /** Before the first repetition, doubled before each further one. */
  readonly retryAfter: Duration.Input
  /** How often an event that isn't taken is sent again. Then it is lost, and only `events.list` shows it. */
  readonly retries: number
}

export interface ReleaseOptions {
  /** Decides order, duplicates and losses; without it nothing is out of order. */
  readonly seed?: number
  /** From 0 to 1: of an event being delivered a second time, at any later place. */
  readonly duplicate?: number
  /** From 0 to 1: of an event never being delivered. */
  readonly lose?: number
}

/** `hold` keeps events back until `release`; `lose` never delivers what happens from now on. */
export type WebhookMode = "deliver" | "hold" | "lose"

export interface Webhooks {
  readonly mode: (mode: WebhookMode) => Effect.Effect<void>
  /** Sends events elsewhere from now on, the waiting ones too. */
  readonly target: (url: string) => Effect.Effect<void>
  /** What waits to be delivered, oldest first. */
  readonly held: Effect.Effect<ReadonlyArray<SimulatedEvent>>
  /** One attempt with any event, whatever became of it before: the HTTP status, 0 if nobody answers. */
  readonly deliver: (eventId: string) => Effect.Effect<number, StripeApiError>
  /** Delivers what is held, waits for the end of it, and from then on delivers at once. */
  readonly release: (options?: ReleaseOptions) => Effect.Effect<void>
  /** Waits until every event was taken or given up. */
  readonly settled: Effect.Effect<void>
}

export interface WebhookSender extends Webhooks {
  readonly audience: (type: EventType) => number
  readonly send: (event: SimulatedEvent) => void
}

/** An endpoint that doesn't answer within this doesn't answer. */
const patience = "10 seconds"

class NotTaken {
  readonly _tag = "NotTaken"
}

const post = (url: string, secret: string, event: SimulatedEvent) =>
  Effect.tryPromise((signal) => {
    const payload = JSON.stringify(event, null, 2)
    return fetch(url, {
      method: "POST",
      redirect: "manual",
      headers: {
        "content-type": "application/json; charset=utf-8",
        "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
        "stripe-signature": Stripe.webhooks.generateTestHeaderString({ payload, secret })
      },
      body: payload,
      signal
    }).then(async (response) => {
      await response.arrayBuffer()
      return response.status
    })
  }).pipe(
    Effect.timeout(patience),
    Effect.orElseSucceed(() => 0)
  )

/** In a random order, some missing, some a second time later on. */
const disordered = (events: ReadonlyArray<SimulatedEvent>, options: ReleaseOptions) => {
  const { seed, duplicate = 0, lose = 0 } = options
  if (seed === undefined) return events
  const random = randomFrom(seed)
  return events
    .filter(() => random() >= lose)
    .flatMap((event) => (random() < duplicate ? [event, event] : [event]))
    .map((event) => ({ event, place: random() }))
    .toSorted((a, b) => a.place - b.place)
    .map(({ event }) => event)
}

export const makeWebhooks = Effect.fnUntraced(function* (
  state: State,
  options: WebhookOptions
): Effect.fn.Return<WebhookSender, never, Scope.Scope> {
  let mode: WebhookMode = "deliver"
  let url = options.url
  let held: ReadonlyArray<SimulatedEvent> = Object.values(state.events).filter((it) => it.pending_webhooks > 0)
  const fibers = yield* FiberSet.make<void>()
  const run = yield* FiberSet.runtime(fibers)<never>()
  const inTurn = (yield* Semaphore.make(1)).withPermit

  const attempt = (event: SimulatedEvent) =>
    Effect.suspend(() => (url === undefined ? Effect.succeed(0) : post(url, options.secret, event))).pipe(
      Effect.tap((status) =>
        Effect.sync(() => {
          if (status >= 200 && status < 300) event.pending_webhooks = 0
        })
      )
    )

  const taken = (event: SimulatedEvent) =>
    Effect.filterOrFail(
      attempt(event),
      (status) => status >= 200 && status < 300,
      () => new NotTaken()
    )

  // Repetitions don't hold up the events after it.
  const deliverAtLast = (event: SimulatedEvent) =>
    inTurn(taken(event)).pipe(
      Effect.catchTag("NotTaken", () =>
        taken(event).pipe(
          Effect.delay(options.retryAfter),
          Effect.retry({
            schedule: Schedule.exponential(Duration.times(Duration.fromInputUnsafe(options.retryAfter), 2)),
            times: options.retries - 1
          })
        )
      ),
      Effect.ignore
    )

  const send = (event: SimulatedEvent) => {
    if (event.pending_webhooks === 0 || mode === "lose") return
    if (mode === "hold" || url === undefined) held = [...held, event]
    else run(deliverAtLast(event))
  }

  const takeHeld = () => {
    const events = held
    held = []
    return events
  }

  const sendHeld = Effect.sync(() => {
    if (mode === "deliver") for (const event of takeHeld()) send(event)
  })
  yield* sendHeld

  return {
    audience: (type) => ((options.types?.includes(type) ?? true) ? 1 : 0),
    send,
    mode: (next) =>
      Effect.sync(() => {
        mode = next
      }).pipe(Effect.andThen(sendHeld)),
    target: (next) =>
      Effect.sync(() => {
        url = next
      }).pipe(Effect.andThen(sendHeld)),
    held: Effect.sync(() => held),
    deliver: (id) =>
      Effect.gen(function* () {
        const event = yield* step(() => found(state.events, "event", id))
        const status = yield* attempt(event)
        if (event.pending_webhooks === 0) held = held.filter((it) => it !== event)
        return status
      }),
    release: (how = {}) =>
      Effect.sync(() => {
        mode = "deliver"
        for (const event of disordered(takeHeld(), how)) run(deliverAtLast(event))
      }).pipe(Effect.andThen(FiberSet.awaitEmpty(fibers))),
    settled: FiberSet.awaitEmpty(fibers)
  }
})

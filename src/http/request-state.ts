/** What one request learns on its way, for its answer's headers and its line in the log. */
import { Effect, FiberRef } from "effect"

export interface RequestState {
  readonly id: string
  /** The route's pattern, so that no user's id is in the log. */
  route: string
  /** `user`, `admin` or `service` once they have shown a valid credential. */
  caller: string
  /** A function was asked: what fails to decode from here on is our mistake, not the caller's. */
  asked: boolean
  /** Headers the answer gets besides those of every answer. */
  readonly headers: Record<string, string>
}

export const newState = (id: string): RequestState => ({
  id,
  route: "none",
  caller: "nobody",
  asked: false,
  headers: {}
})

// A FiberRef, not a service: middleware of the contract may ask for no services but the router's.
const current = FiberRef.unsafeMake(newState("none"))

export const requestState = FiberRef.get(current)

export const withState =
  (state: RequestState) =>
  <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.locally(effect, current, state)

/** Adds a header to whatever is answered. */
export const answerHeader = (name: string, value: string): Effect.Effect<void> =>
  Effect.map(requestState, (state) => {
    state.headers[name] = value
  })

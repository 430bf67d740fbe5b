/** What one request learns on its way, for its answer's headers and its line in the log. */
import { Effect, FiberRef } from "effect"

export interface RequestState {
  readonly id: string
  /** The route's pattern, so that no user's id is in the log. */
  route: string
  /** `user`, `admin`, `service` or `stripe` once they have shown a valid credential. */
  caller: string
  /** Nothing about the request says that we know who sends it: it counts against its address. */
  isStranger: boolean
  /** Whether too many strangers came from its address just now. */
  isSuspect: () => boolean
  /** A function was asked: what fails to decode from here on is our mistake, not the caller's. */
  asked: boolean
  /** Headers the answer gets besides those of every answer. */
  readonly headers: Record<string, string>
}

export const newState = (id: string): RequestState => ({
  id,
  route: "none",
  caller: "nobody",
  isStranger: true,
  isSuspect: () => false,
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

/** We know who it is, whether or not they may. */
export const isKnown = Effect.map(requestState, (state) => {
  state.isStranger = false
})

/** They have shown a good credential. */
export const isCalledBy = (caller: string) =>
  Effect.map(requestState, (state) => {
    state.caller = caller
    state.isStranger = false
  })

/** Adds a header to whatever is answered. */
export const answerHeader = (name: string, value: string): Effect.Effect<void> =>
  Effect.map(requestState, (state) => {
    state.headers[name] = value
  })

/** Facts collected while a request is handled, for its response headers and its log line. */
import { Context, Effect, Predicate } from "effect"

export interface State {
  readonly id: string
  /** The route's pattern, so that no user's id is in the log. */
  route: string
  /** `user`, `admin`, `service` or `stripe` once the request has shown a valid credential. */
  caller: string
  /** Whether SQL gave an answer to an idempotency key that it had given before. */
  isReplay: boolean
  /** Headers the response gets besides those of every response; names in lower case. */
  readonly headers: Record<string, string>
}

export const newState = (id: string): State => ({ id, route: "none", caller: "nobody", isReplay: false, headers: {} })

/** Of the request that is being answered: request-log.ts makes one for each. */
export const RequestState = Context.Reference<State>("mana/RequestState", { defaultValue: () => newState("none") })

/** A problem that says when to come back says so in a header, too. */
export const noteRetryAfter = (problem: unknown) =>
  Effect.map(RequestState, ({ headers }) => {
    if (Predicate.hasProperty(problem, "retryAfterSeconds")) headers["retry-after"] = String(problem.retryAfterSeconds)
  })

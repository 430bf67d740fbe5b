/** What the simulator refuses, in the shape and the words of Stripe's own errors. */
import { Data, Effect } from "effect"

export class StripeApiError extends Data.TaggedError("StripeApiError")<{
  readonly status: number
  readonly type: "invalid_request_error" | "idempotency_error" | "api_error"
  readonly message: string
  readonly code?: string
  readonly param?: string
}> {}

interface Particulars {
  readonly code?: string
  readonly param?: string
}

export const invalid = (message: string, particulars: Particulars = {}) =>
  new StripeApiError({ status: 400, type: "invalid_request_error", message, ...particulars })

/** What the state of an object doesn't allow. */
export const unexpectedState = (message: string) => invalid(message, { code: "payment_intent_unexpected_state" })

/** 404 for the object that a path names, 400 for one that a parameter names: as Stripe does. */
export const missing = (kind: string, id: string, param: string, status: 400 | 404) =>
  new StripeApiError({
    status,
    type: "invalid_request_error",
    code: "resource_missing",
    message: `No such ${kind}: '${id}'`,
    param
  })

export const idempotencyMismatch = (message: string) =>
  new StripeApiError({ status: 400, type: "idempotency_error", message })

export const keyInUse = (key: string) =>
  new StripeApiError({
    status: 409,
    type: "idempotency_error",
    code: "idempotency_key_in_use",
    message:
      "There is currently another in-progress request using this Idempotent Key (that probably means you submitted " +
      `twice, and the other request is still going through): ${key}. Please try again later.`
  })

export const unauthorized = (message: string) =>
  new StripeApiError({ status: 401, type: "invalid_request_error", message })

export const rateLimited = new StripeApiError({
  status: 429,
  type: "invalid_request_error",
  code: "rate_limit",
  message: "Request rate limit exceeded. (The simulator was asked for this.)"
})

export const broken = new StripeApiError({
  status: 500,
  type: "api_error",
  message: "An unknown error occurred. (The simulator was asked for this.)"
})

/** The body that goes over the wire. */
export const errorBody = ({ type, message, code, param }: StripeApiError) => ({
  error: { ...(code === undefined ? {} : { code }), message, ...(param === undefined ? {} : { param }), type }
})

/** A step of the world as an Effect: a refusal is its failure, anything else that it throws our bug. */
export const step = <A>(f: () => A): Effect.Effect<A, StripeApiError> =>
  Effect.suspend(() => {
    try {
      return Effect.succeed(f())
    } catch (error) {
      return error instanceof StripeApiError ? Effect.fail(error) : Effect.die(error)
    }
  })

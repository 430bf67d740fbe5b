/** Whether a webhook is Stripe's: signed with our secret over this very body, a moment ago. */
import { Redacted, Result } from "effect"
import { Stripe } from "stripe"
import { jsonFault } from "../contract/metadata.ts"
import { sanitizeJson } from "./sanitize-json.ts"

/** Seconds that a signature may be old, and a clock ahead of ours. */
const tolerance = 300

/** The library looks at how old a signature is, not at how far ahead. */
const isAhead = (header: string, now: number) => {
  const [, signed] = /(?:^|,)t=(\d+)/.exec(header) ?? []
  return signed !== undefined && Number(signed) - Math.floor(now / 1000) > tolerance
}

const isSigned = (body: string, header: string, secret: string, now: number) => {
  try {
    Stripe.webhooks.constructEvent(body, header, secret, tolerance, undefined, now)
    return true
  } catch {
    return false
  }
}

export interface Delivery {
  readonly body: string
  readonly header: string | undefined
  readonly secrets: ReadonlyArray<Redacted.Redacted>
  /** Milliseconds since 1970. */
  readonly now: number
}

/** The event as JSON for the database, or what is wrong with the delivery. */
export const verified = ({ body, header, secrets, now }: Delivery): Result.Result<string, string> => {
  if (header === undefined || header === "") return Result.fail("is missing")
  const isOurs = !isAhead(header, now) && secrets.some((secret) => isSigned(body, header, Redacted.value(secret), now))
  if (!isOurs) return Result.fail("doesn't fit this body, or is too old")
  const event = sanitizeJson(body)
  const fault = jsonFault(JSON.parse(event))
  return fault === undefined
    ? Result.succeed(event)
    : Result.fail(`fits, but to a body that can't be kept: it ${fault}`)
}

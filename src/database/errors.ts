/** What a SQL function can answer besides its result: a refusal of ours, or a database that is away. */
import { Data } from "effect"

/** A business error that a SQL function raised: see sql/errors.md. */
export class Refused extends Data.TaggedError("Refused")<{
  /** `CR…`, one of sql/errors.md. */
  readonly sqlstate: string
  readonly message: string
  /** The facts: the JSON of DETAIL. */
  readonly detail: Readonly<Record<string, unknown>>
}> {}

/** The database can't be reached, or ended the connection: the same call may work in a moment. */
export class Unavailable extends Data.TaggedError("Unavailable")<{ readonly cause: unknown }> {}

/** More wait already than can be served in good time. Nothing was sent. */
export class Overloaded extends Data.TaggedError("Overloaded") {}

/**
 * What clients wrote down, outside of what is tortured: each request before it is sent, each answer as it came. Lines
 * of JSON, appended at once; whoever reads one has what its client knew.
 */
import * as fs from "node:fs"
import { Schema } from "effect"

export const Kind = Schema.Literals([
  "use",
  "personalUse",
  "useBatch",
  "reserve",
  "commit",
  "release",
  "refund",
  "grant",
  "giftCreate",
  "giftRedeem",
  "giftCancel",
  "purchase",
  "pay",
  "activate",
  "deactivate",
  "changeInterval",
  "chargeRun",
  "balance"
])
export type Kind = typeof Kind.Type

const Body = Schema.Record(Schema.String, Schema.Unknown)

/** One thing that a client wants done, however often it has to ask. */
export const Request = Schema.Struct({
  /** Its name in the journals and, where a field takes it, in the books. */
  op: Schema.String,
  kind: Kind,
  method: Schema.Literals(["GET", "POST", "DELETE"]),
  path: Schema.String,
  /** Whose credits; asked with this person's token where `byUser`, else with the service key. */
  userId: Schema.String,
  byUser: Schema.Boolean,
  /** Asked again with this key it is done once. */
  key: Schema.optional(Schema.String),
  body: Schema.optional(Body)
})
export type Request = typeof Request.Type

const Asked = Schema.Struct({ event: Schema.Literal("asked"), at: Schema.Number, request: Request })
const Answered = Schema.Struct({
  event: Schema.Literal("answered"),
  op: Schema.String,
  at: Schema.Number,
  ms: Schema.Number,
  status: Schema.Int,
  replayed: Schema.Boolean,
  retryAfter: Schema.NullOr(Schema.String),
  body: Schema.Unknown
})
/** No answer: the connection failed or was silent for too long. What became of the request is open. */
const Lost = Schema.Struct({
  event: Schema.Literal("lost"),
  op: Schema.String,
  at: Schema.Number,
  ms: Schema.Number,
  reason: Schema.String
})
export const Entry = Schema.Union([Asked, Answered, Lost])
export type Entry = typeof Entry.Type
export type Answered = typeof Answered.Type
export type Lost = typeof Lost.Type

export interface Journal {
  readonly write: (entry: Entry) => void
}

export const openJournal = (file: string): Journal => {
  const descriptor = fs.openSync(file, "a")
  return { write: (entry) => void fs.writeSync(descriptor, `${JSON.stringify(entry)}\n`) }
}

const decode = Schema.decodeUnknownSync(Schema.fromJsonString(Entry))

/** All entries of a journal. A client that is killed may leave half a line. */
export const readJournal = (file: string): ReadonlyArray<Entry> => {
  const lines = fs.readFileSync(file, "utf8").split("\n")
  lines.pop()
  return lines.map((line) => decode(line))
}

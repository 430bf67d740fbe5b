/** What an error looks like on the wire: RFC 9457, with the fields that clients of ours have always read. */
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import { Schema } from "effect"

export const problemContentType = "application/problem+json"

// A fixed address: the same error is the same `type` on every installation. The page explains it.
const documentation = "https://credits.mana.how/docs"

const shared = {
  type: Schema.String,
  title: Schema.String,
  status: Schema.Number,
  detail: Schema.String.annotations({ description: "What happened and what to do next" }),
  message: Schema.String.annotations({ description: "The same as detail" })
}

/** What every error has. In code it is told by `_tag`, on the wire the same text is `code`. */
export const Problem = Schema.Struct({
  _tag: Schema.String,
  ...shared,
  retryAfterSeconds: Schema.optional(Schema.Number)
})
export type Problem = typeof Problem.Type

/** One kind of error: its code, its status, the facts it carries. */
export interface ProblemKind {
  readonly code: string
  readonly status: number
  readonly title: string
  readonly schema: Schema.Schema.AnyNoContext
}

export type ProblemOf<Kind extends ProblemKind> = Schema.Schema.Type<Kind["schema"]>

/** Declares a kind of error. */
export const problem = <const Code extends string, Facts extends Schema.Struct.Fields>(
  status: number,
  code: Code,
  title: string,
  facts: Facts
) => ({
  code,
  status,
  title,
  schema: Schema.Struct({
    ...shared,
    _tag: Schema.Literal(code).pipe(Schema.propertySignature, Schema.fromKey("code")),
    ...facts
  }).annotations({
    identifier: code.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase()),
    description: title,
    ...HttpApiSchema.annotations({ status })
  })
})

/** An error of a kind, with the facts that its schema asks for. */
export const makeProblem = <Kind extends ProblemKind>(
  kind: Kind,
  detail: string,
  facts: Readonly<Record<string, unknown>> = {}
): ProblemOf<Kind> =>
  Schema.decodeUnknownSync(kind.schema)({
    ...facts,
    type: `${documentation}#${kind.code}`,
    title: kind.title,
    status: kind.status,
    detail,
    code: kind.code,
    message: detail
  })

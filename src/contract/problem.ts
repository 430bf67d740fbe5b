/** The wire format of errors: RFC 9457, with the fields that existing clients read. */
import { Schema } from "effect"
import { HttpApiError } from "effect/http-api"

/** A fixed address: the same problem has the same `type` on every installation. The page explains it. */
const documentation = "https://credits.mana.how/docs"

const shared = {
  detail: Schema.String.annotate({ description: "What happened and what to do next" }),
  /** Encoded only: the class answers `message` with its detail. */
  message: Schema.optionalKey(Schema.String.annotate({ description: "The same as detail" }))
}

/**
 * Declares one kind of problem: its code (on the wire) and tag (in code), status, title, the facts it carries, and the
 * SQLSTATEs of sql/errors.md that become it. A route answers with a SQLSTATE only where its endpoint declares the problem.
 */
export const problem =
  <Self>() =>
  <const Code extends string, const Status extends number, const Facts extends Schema.Struct.Fields>(
    code: Code,
    status: Status,
    title: string,
    facts: Facts,
    sqlstates: ReadonlyArray<string> = []
  ) => {
    const type: string = `${documentation}#${code}`
    return HttpApiError.Problem<Self>()(
      code,
      { type, status, title },
      { ...shared, code: Schema.tag(code), ...facts },
      {
        identifier: code.replace(/(?:^|_)([a-z])/g, (_, letter: string) => letter.toUpperCase()),
        fixed: { type, code },
        sqlstates
      }
    )
  }

/** The SQLSTATEs that become this problem. */
export const sqlstatesOf = (schema: Schema.Top): ReadonlyArray<string> => {
  const sqlstates = Schema.resolveAnnotations(schema)?.["sqlstates"]
  return Array.isArray(sqlstates) ? sqlstates : []
}

/** A problem with the facts that SQL gave; it throws where one that the problem carries is missing. */
export const makeProblem = <A, I>(
  schema: Schema.Codec<A, I>,
  detail: string,
  facts: Readonly<Record<string, unknown>>
) => {
  const fixed = Schema.resolveAnnotations(schema)?.["fixed"]
  return Schema.decodeUnknownSync(schema)(Object.assign({}, facts, fixed, { detail }))
}

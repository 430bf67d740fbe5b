/** The syntax trees of PostgreSQL 18's own parser, walked without knowing all their shapes. */
import { parsePlPgSQLSync, parseSync } from "libpg-query"
import { Effect, Option, Schema } from "effect"

export const Name = Schema.Struct({ String: Schema.Struct({ sval: Schema.String }) })
const Clause = Schema.Struct({
  DefElem: Schema.Struct({ defname: Schema.String, arg: Schema.optional(Schema.Unknown) })
})
const Parameter = Schema.Struct({
  FunctionParameter: Schema.Struct({ name: Schema.optional(Schema.String), mode: Schema.String })
})

/** What a statement is about, where a rule asks for it. */
export const CreateFunction = Schema.Struct({
  CreateFunctionStmt: Schema.Struct({
    replace: Schema.optional(Schema.Boolean),
    funcname: Schema.Array(Name),
    parameters: Schema.Array(Parameter).pipe(Schema.withDecodingDefault(Effect.succeed([]))),
    options: Schema.Array(Clause)
  })
})
export const FunctionComment = Schema.Struct({
  CommentStmt: Schema.Struct({
    objtype: Schema.Literal("OBJECT_FUNCTION"),
    object: Schema.Struct({ ObjectWithArgs: Schema.Struct({ objname: Schema.Array(Name) }) })
  })
})
/** `do $$ … $$` */
export const Block = Schema.Struct({ DoStmt: Schema.ObjectKeyword })
export const Relation = Schema.Struct({
  relname: Schema.String,
  schemaname: Schema.optional(Schema.String),
  relpersistence: Schema.String
})
export const Call = Schema.Struct({ FuncCall: Schema.Struct({ funcname: Schema.Array(Name) }) })
export const CommonTable = Schema.Struct({ ctename: Schema.String })
export const LockedRelations = Schema.Struct({ lockedRels: Schema.Array(Schema.Unknown) })
const Variable = Schema.Struct({ refname: Schema.String, isconst: Schema.optional(Schema.Boolean) })
const Expression = Schema.Struct({
  PLpgSQL_expr: Schema.Struct({ query: Schema.String, parseMode: Schema.Number })
})

export const nameOf = (names: ReadonlyArray<typeof Name.Type>) => names.map(({ String: { sval } }) => sval)

/** Every object of a tree, the tree itself first. */
export function* nodes(tree: unknown): Generator<object> {
  if (typeof tree !== "object" || tree === null) return
  if (!Array.isArray(tree)) yield tree
  for (const value of Object.values(tree)) yield* nodes(value)
}

/** The nodes of one shape. */
export const all = <A, I>(tree: unknown, shape: Schema.Codec<A, I>): ReadonlyArray<A> => {
  const decode = Schema.decodeUnknownOption(shape)
  return [...nodes(tree)].flatMap((node) => Option.toArray(decode(node)))
}

export interface Statement {
  readonly tree: unknown
  readonly text: string
}

/** The statements of a file, each with the comments before it; throws where PostgreSQL would. */
export const statements = (text: string): ReadonlyArray<Statement> => {
  // Positions are in bytes; the last statement may come without its length.
  const bytes = Buffer.from(text)
  const parsed = parseSync(text).stmts ?? []
  const end = ({ stmt_location: start = 0, stmt_len: length }: (typeof parsed)[number]) =>
    length === undefined ? bytes.length : start + length
  return parsed.map((statement, index) => {
    const before = parsed[index - 1]
    const start = before === undefined ? 0 : end(before) + 1 // past the semicolon
    return { tree: statement.stmt, text: bytes.subarray(start, end(statement)).toString() }
  })
}

/** The variables of a PL/pgSQL function or block, parameters included, and the SQL within it; throws where PostgreSQL would. */
export const body = (text: string) => {
  // Without a catalog it takes an array of one of our types for a record, which may not stand there.
  const parsed: unknown = parsePlPgSQLSync(text.replace(/\b[a-z_]+\.[a-z_]+\[\]/g, "text[]"))
  const expressions = all(parsed, Expression).map(({ PLpgSQL_expr: { query, parseMode } }) => {
    if (parseMode === 0) return query // a statement
    if (parseMode === 2) return `select ${query}` // an expression
    return `select ${query.replace(/^.*?:?=/s, "")}` // an assignment
  })
  return {
    // PL/pgSQL makes one of its own for each case statement.
    variables: all(parsed, Variable)
      .map(({ refname }) => refname)
      .filter((name) => !name.startsWith("__Case__")),
    trees: expressions.flatMap((expression) => statements(expression).map(({ tree }) => tree))
  }
}

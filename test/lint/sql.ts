/** The rules for our SQL, on top of PostgreSQL's own parser. Each answers with what breaks it, in words. */
import * as path from "node:path"
import { scanSync } from "libpg-query"
import {
  all,
  Block,
  body,
  Call,
  CommonTable,
  CreateFunction,
  FunctionComment,
  LockedRelations,
  Name,
  nameOf,
  Relation,
  statements
} from "./ast.ts"

export interface SqlFile {
  /** As in `sql/credits/use.sql`: where it lies says what it must hold. */
  readonly name: string
  readonly text: string
}

const longestLine = 120

/** Text of a comment or message may stand on a line of its own, however long: it is read wrapped. */
const isText = (line: string) => /^(comment on .*|\s*)'.*'[;,]?$/.test(line) || /^comment on \w+ \S+ is '/.test(line)

const layout = ({ text }: SqlFile) => {
  const found = text
    .split("\n")
    .flatMap((line, index) => [
      ...(/[ \t]$/.test(line) ? [`line ${index + 1}: blanks at the end`] : []),
      ...(line.includes("\t") ? [`line ${index + 1}: a tab`] : []),
      ...(line.length > longestLine && !isText(line) ? [`line ${index + 1}: longer than ${longestLine}`] : [])
    ])
  return text.endsWith("\n") ? found : [...found, "no newline at the end"]
}

interface Token {
  readonly text: string
  readonly line: number
}

/** The words and strings of a file, those within function bodies included. */
const tokens = (text: string, firstLine: number): ReadonlyArray<Token & { readonly isWord: boolean }> => {
  const bytes = Buffer.from(text)
  return scanSync(text).tokens.flatMap((token) => {
    const line = firstLine + bytes.subarray(0, token.start).toString().split("\n").length - 1
    const [, quoted] = /^\$(?:\w*)\$(.*)\$(?:\w*)\$$/s.exec(token.text) ?? []
    if (quoted !== undefined) return tokens(quoted, line)
    const isWord = token.tokenName === "IDENT" || token.keywordKind > 0
    return [{ text: token.text, line, isWord }]
  })
}

const lowercase = ({ text }: SqlFile) =>
  tokens(text, 1)
    .filter((token) => token.isWord && token.text !== token.text.toLowerCase())
    .map((token) => `line ${token.line}: ${token.text} isn't lowercase`)

/** Tables by schema always; functions when they are ours, by which a pinned search_path wouldn't find them. */
const qualified = (trees: ReadonlyArray<unknown>, ours: ReadonlySet<string>) =>
  trees.flatMap((tree) => {
    const known = new Set(all(tree, CommonTable).map(({ ctename }) => ctename))
    // `for update of b` names an alias.
    for (const { lockedRels } of all(tree, LockedRelations)) {
      for (const { relname } of all(lockedRels, Relation)) known.add(relname)
    }
    const relations = all(tree, Relation).filter((relation) => relation.schemaname === undefined)
    const calls = all(tree, Call).map(({ FuncCall: { funcname } }) => nameOf(funcname))
    return [
      ...relations
        .filter(({ relname }) => !known.has(relname))
        .map(({ relname }) => `relation ${relname} has no schema`),
      ...calls.flatMap(([name = "", more]) => (more === undefined && ours.has(name) ? [`${name}() has no schema`] : []))
    ]
  })

type FunctionStatement = (typeof CreateFunction.Type)["CreateFunctionStmt"]

const option = ({ options }: FunctionStatement, name: string) =>
  options.find(({ DefElem }) => DefElem.defname === name)?.DefElem.arg

const has = (statement: FunctionStatement, name: string, fragment: string) =>
  JSON.stringify(option(statement, name) ?? null).includes(fragment)

const pinned = '"name":"search_path","args":[{"A_Const":{"sval":{"sval":"pg_catalog"}'

const declared = (statement: FunctionStatement) => {
  const name = nameOf(statement.funcname).join(".")
  const isDefiner = has(statement, "security", "true")
  return [
    ...(statement.funcname.length === 2 ? [] : [`function ${name} has no schema`]),
    ...(option(statement, "volatility") === undefined ? [`${name} doesn't say how volatile it is`] : []),
    // A function that inlines can't have it, so plain SQL ones may go without.
    ...((has(statement, "language", '"plpgsql"') || isDefiner) && !has(statement, "set", pinned)
      ? [`${name} doesn't pin its search_path`]
      : []),
    ...statement.parameters.flatMap(({ FunctionParameter: { name: parameter = "", mode } }) => {
      if (mode === "FUNC_PARAM_TABLE") return []
      const prefix = mode === "FUNC_PARAM_OUT" ? "o_" : "p_"
      return parameter.startsWith(prefix) ? [] : [`parameter ${parameter} of ${name} doesn't start with ${prefix}`]
    })
  ]
}

// What PL/pgSQL itself declares.
const given = /^(found|sqlstate|sqlerrm|new|old|tg_\w+|\(unnamed row\)|\*internal\*)$/

const variables = (names: ReadonlyArray<string>) =>
  names
    .filter((name) => !/^[pvo]_/.test(name) && !given.test(name))
    .map((name) => `variable ${name} doesn't start with v_`)

/** sql/<schema>/<name>.sql holds the function of that name, to be replaced, and its comment, and nothing else. */
const oneFunction = (file: SqlFile, trees: ReadonlyArray<unknown>) => {
  const expected = file.name
    .replace(/^sql\//, "")
    .replace(/\.sql$/, "")
    .replace("/", ".")
  const created = all(trees, CreateFunction).filter(({ CreateFunctionStmt }) => CreateFunctionStmt.replace === true)
  const comments = all(trees, FunctionComment)
  const [definition, comment] = [
    created.map(({ CreateFunctionStmt }) => nameOf(CreateFunctionStmt.funcname).join(".")).join(),
    comments.map(({ CommentStmt }) => nameOf(CommentStmt.object.ObjectWithArgs.objname).join(".")).join()
  ]
  return trees.length === 2 && definition === expected && comment === expected
    ? []
    : [`holds not just "create or replace function ${expected}" and its comment`]
}

const isFunctionFile = ({ name }: SqlFile) => /^sql\/(?!examples\/)[^/]+\/[^/]+\.sql$/.test(name)

/** The names of the functions that the files define. */
export const functionNames = (files: ReadonlyArray<SqlFile>): ReadonlySet<string> =>
  new Set(files.filter(isFunctionFile).map(({ name }) => path.basename(name, ".sql")))

const inside = (text: string, ours: ReadonlySet<string>) => {
  const { variables: names, trees } = body(text)
  return [...variables(names), ...qualified(trees, ours)]
}

/** The body of an SQL function that is written as a string. */
const sqlBodies = (tree: unknown) =>
  all(tree, CreateFunction)
    .filter(({ CreateFunctionStmt }) => has(CreateFunctionStmt, "language", '"sql"'))
    .flatMap(({ CreateFunctionStmt }) => all(option(CreateFunctionStmt, "as"), Name))
    .flatMap(({ String: { sval } }) => statements(sval).map((within) => within.tree))

const isPlpgsql = (tree: unknown) =>
  all(tree, CreateFunction).some(({ CreateFunctionStmt }) => has(CreateFunctionStmt, "language", '"plpgsql"')) ||
  all(tree, Block).length > 0

/** What is wrong with a file, one line each; nothing when it keeps to the rules. */
export const findings = (file: SqlFile, ours: ReadonlySet<string>): ReadonlyArray<string> => {
  const found = (() => {
    try {
      const parsed = statements(file.text)
      const trees = parsed.map(({ tree }) => tree)
      return [
        // What is committed is as it was on the day; it can't be reformatted.
        ...(file.name.startsWith("migrations/committed/") ? [] : layout(file)),
        ...lowercase(file),
        ...qualified([...trees, ...trees.flatMap(sqlBodies)], ours),
        ...all(trees, CreateFunction).flatMap(({ CreateFunctionStmt }) => declared(CreateFunctionStmt)),
        ...parsed.filter(({ tree }) => isPlpgsql(tree)).flatMap(({ text }) => inside(text, ours)),
        ...(isFunctionFile(file) ? oneFunction(file, trees) : [])
      ]
    } catch (error) {
      return [`doesn't parse: ${error instanceof Error ? error.message : String(error)}`]
    }
  })()
  return [...new Set(found)].map((what) => `${file.name}: ${what}`)
}

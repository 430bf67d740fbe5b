/**
 * Mutants of a SQL function: its text with one guard taken away or weakened. Rules work on PostgreSQL's own tokens, so
 * that a new function is covered the day it is written; what doesn't parse afterwards is no mutant.
 */
import { createHash } from "node:crypto"
import { parsePlPgSQLSync, parseSync, scanSync } from "libpg-query"
import { statements } from "../lint/ast.ts"

export interface Mutant {
  /** Stays the same as long as the guard and its function's name do: `credits.use/if-1f0c9a`. */
  readonly id: string
  readonly rule: string
  /** The function, table, domain … that is changed, by its name. */
  readonly object: string
  /** Where to look: a file and line, or nothing for what comes from the catalog. */
  readonly place: string
  /** What was there, and what is there instead, cut short. */
  readonly before: string
  readonly after: string
  /** What makes the mutant of a migrated database. */
  readonly sql: string
}

interface Token {
  readonly text: string
  readonly start: number
  readonly end: number
  /** How deep in parentheses, brackets and case expressions. */
  readonly depth: number
  readonly isNumber: boolean
}

interface Edit {
  readonly rule: string
  /** Tokens, the last one not included. */
  readonly from: number
  readonly to: number
  readonly text: string
}

/** The tokens of a function, those of its body in the place of the body; positions in bytes. */
const tokensOf = (text: string, offset = 0): ReadonlyArray<Omit<Token, "depth">> =>
  scanSync(text).tokens.flatMap((token) => {
    if (token.tokenName.endsWith("COMMENT")) return []
    const quoted = /^(\$\w*\$)([\s\S]*)\$\w*\$$/.exec(token.text)
    const [, tag = "", inner = ""] = quoted ?? []
    if (quoted !== null) return tokensOf(inner, offset + token.start + Buffer.byteLength(tag))
    return [
      {
        text: token.tokenName === "SCONST" ? token.text : token.text.toLowerCase(),
        start: offset + token.start,
        end: offset + token.end,
        isNumber: token.tokenName === "ICONST"
      }
    ]
  })

const withDepths = (tokens: ReadonlyArray<Omit<Token, "depth">>): ReadonlyArray<Token> => {
  const open: Array<string> = []
  return tokens.map((token, index) => {
    const { text } = token
    const isCase = text === "case" && tokens[index - 1]?.text !== "end"
    const closes = text === ")" || text === "]" || (text === "end" && open.at(-1) === "case")
    // What closes belongs to the inside.
    const depth = open.length
    if (closes) open.pop()
    if (text === "(" || text === "[" || isCase) open.push(text)
    return { ...token, depth }
  })
}

const endOfClause = new Set(
  "group order having limit for union intersect except returning loop window ; then where do fetch offset when".split(
    " "
  )
)
const endOfJoin = new Set([...endOfClause, "join", "left", "right", "full", "inner", "cross", ",", "on", "set"])
const startOfStatement = new Set([";", "begin", "then", "else", "loop"])

export class Rules {
  readonly tokens: ReadonlyArray<Token>
  readonly edits: Array<Edit> = []
  readonly text: (from: number, to: number) => string

  constructor(source: string) {
    const bytes = Buffer.from(source)
    this.tokens = withDepths(tokensOf(source))
    this.text = (from, to) =>
      bytes.subarray(this.tokens[from]?.start ?? 0, this.tokens[to - 1]?.end ?? bytes.length).toString()
  }

  readonly is = (index: number, ...texts: ReadonlyArray<string>) =>
    texts.every((text, n) => this.tokens[index + n]?.text === text)

  readonly add = (rule: string, from: number, to: number, text: string) =>
    void this.edits.push({ rule, from, to, text })

  /** The first token at this depth or further out that ends a clause, from an index on. */
  readonly end = (from: number, depth: number, ends: ReadonlySet<string>) => {
    for (let index = from; index < this.tokens.length; index++) {
      const token = this.tokens[index]
      if (token === undefined || token.depth < depth) return index
      if (token.depth === depth && (ends.has(token.text) || token.text === ")" || token.text === "]")) return index
    }
    return this.tokens.length
  }

  /** A condition, and what it is made of: each part in turn is made to hold (of an `and`) or not to (of an `or`). */
  readonly condition = (rule: string, from: number, to: number, neutral: "true" | "false") => {
    const depth = this.tokens[from]?.depth ?? 0
    const splits = (word: string) => {
      const found: Array<number> = []
      let between = 0
      for (let index = from; index < to; index++) {
        const token = this.tokens[index]
        if (token?.depth !== depth) continue
        if (token.text === "between") between++
        else if (token.text === "and" && between > 0) between--
        else if (token.text === word) found.push(index)
      }
      return found
    }
    const ors = splits("or")
    const cuts = ors.length > 0 ? ors : splits("and")
    const starts = [from, ...cuts.map((cut) => cut + 1)]
    const ends = [...cuts, to]
    const of = cuts.length === 0 ? neutral : ors.length > 0 ? "false" : "true"
    for (const [n, start] of starts.entries()) {
      const end = ends[n] ?? to
      this.add(cuts.length === 0 ? rule : `${rule} part`, start, end, of)
      this.within(rule, start, end)
    }
    if (rule === "if" && cuts.length > 0 && ors.length === 0) this.add(rule, from, to, "false")
  }

  /** The conditions in parentheses within a part of a condition: `(a or b)`, `not (a and b)`. */
  private readonly within = (rule: string, from: number, to: number) => {
    const first = this.is(from, "not") ? from + 1 : from
    if (!this.is(first, "(")) return
    const depth = (this.tokens[first]?.depth ?? 0) + 1
    const close = this.end(first + 1, depth, new Set())
    if (close !== to - 1) return
    const inner = this.tokens.slice(first + 1, close)
    const parts = inner.filter((token) => token.depth === depth && (token.text === "and" || token.text === "or"))
    if (parts.length > 0 && inner[0]?.text !== "select") this.condition(`${rule} part`, first + 1, close, "true")
  }
}

const locks = (rules: Rules, index: number) => {
  if (!rules.is(index, "for")) return
  const verb = rules.is(index + 1, "no", "key") ? index + 3 : index + 1
  if (!rules.is(verb, "update") && !rules.is(verb, "share")) return
  let end = verb + 1
  if (rules.is(end, "of")) end += 2
  const waits = end
  if (rules.is(end, "skip", "locked")) end += 2
  rules.add("lock", index, end, "")
  if (end > waits) rules.add("skip locked", waits, end, "")
}

const lockedCalls = (rules: Rules, index: number) => {
  if (!rules.is(index, "credits", ".", "lock_balance", "(")) return
  const depth = (rules.tokens[index + 3]?.depth ?? 0) + 1
  const close = rules.end(index + 4, depth, new Set())
  const user = rules.text(index + 4, close)
  const unlocked = `(select x from credits.balances x where x.user_id = ${user})`
  if (rules.is(index - 1, ":=")) rules.add("lock", index, close + 1, unlocked)
}

const conditions = (rules: Rules, index: number) => {
  const { tokens } = rules
  const token = tokens[index]
  const before = tokens[index - 1]?.text
  if (token === undefined) return
  const { depth } = token
  switch (token.text) {
    case "where":
    case "having":
      return rules.condition(token.text, index + 1, rules.end(index + 1, depth, endOfClause), "true")
    case "on": {
      const next = tokens[index + 1]?.text
      if (next === "conflict" || before === "distinct") return
      return rules.condition("on", index + 1, rules.end(index + 1, depth, endOfJoin), "true")
    }
    case "if":
    case "elsif":
      if (before === "end") return
      return rules.condition("if", index + 1, rules.end(index + 1, depth, new Set(["then"])), "false")
    case "while":
      return rules.condition("while", index + 1, rules.end(index + 1, depth, new Set(["loop"])), "false")
    case "when": {
      if (before === "exit" || before === "continue") {
        return rules.condition("exit", index + 1, rules.end(index + 1, depth, new Set([";"])), "false")
      }
      const start = tokens.findLastIndex((each, n) => n < index && each.depth === depth - 1 && each.text === "case")
      // `case x when 1`, `exception when others`: no condition.
      if (start < 0 || !rules.is(start + 1, "when")) return
      return rules.condition("when", index + 1, rules.end(index + 1, depth, new Set(["then"])), "false")
    }
    default:
      return
  }
}

const swapped: Readonly<Record<string, string>> = { "<": "<=", "<=": "<", ">": ">=", ">=": ">", "<>": "=" }

const operators = (rules: Rules, index: number) => {
  const { tokens } = rules
  const token = tokens[index]
  if (token === undefined) return
  const other = swapped[token.text]
  if (other !== undefined) rules.add("comparison", index, index + 1, other)
  if (rules.is(index, "is", "distinct", "from")) rules.add("null-safe", index, index + 3, "<>")
  if (rules.is(index, "is", "not", "distinct", "from")) rules.add("null-safe", index, index + 4, "=")
  if (token.text === "+") rules.add("sign", index, index + 1, "-")
  if (token.text === "-") {
    const before = tokens[index - 1]?.text ?? ""
    const isUnary = /^([(,=<>+*]|:=|=>|<>|<=|>=|and|or|then|else|return|select|values|when)$/.test(before)
    rules.add("sign", index, index + 1, isUnary ? "" : "+")
  }
  if (token.text === "greatest") rules.add("bound", index, index + 1, "least")
  if (token.text === "least") rules.add("bound", index, index + 1, "greatest")
  if (rules.is(index, "coalesce", "(")) {
    const depth = token.depth + 1
    const comma = rules.end(index + 2, depth, new Set([","]))
    const close = rules.end(index + 2, depth, new Set())
    rules.add("coalesce", index, close + 1, `(${rules.text(index + 2, comma)})`)
  }
}

/** Limits: what is 1 to 128 becomes 0 to 128, and 1 to 129. */
const numbers = (rules: Rules, index: number) => {
  const token = rules.tokens[index]
  if (token?.isNumber !== true || token.text === "0") return
  const before = rules.tokens[index - 1]?.text ?? ""
  const isLower = before === "between"
  const isUpper = before === "and" && rules.is(index - 3, "between")
  const isCompared = swapped[before] !== undefined || before === "limit" || before === "="
  const call = rules.tokens.slice(Math.max(0, index - 12), index).map(({ text }) => text)
  const isChecked = call.some((text) => text.startsWith("check_")) && rules.is(index + 1, ")")
  if (!isLower && !isUpper && !isCompared && !isChecked) return
  rules.add("number", index, index + 1, String(BigInt(token.text) + (isLower ? -1n : 1n)))
}

const clauses = (rules: Rules, index: number) => {
  const { tokens } = rules
  const token = tokens[index]
  if (token === undefined) return
  if (rules.is(index, "order", "by")) {
    const ends = new Set([...endOfClause, "rows", "range", "asc", "nulls"].filter((word) => word !== "order"))
    rules.add("order by", index, rules.end(index + 2, token.depth, ends), "")
  }
  if (token.text === "desc") rules.add("order", index, index + 1, "asc")
  if (token.text === "limit") rules.add("limit", index, rules.end(index + 1, token.depth, endOfClause), "")
  if (token.text === "distinct" && tokens[index - 1]?.text !== "is" && tokens[index - 1]?.text !== "not") {
    const on = rules.is(index + 1, "on") ? rules.end(index + 3, token.depth + 1, new Set()) + 1 : index + 1
    rules.add("distinct", index, on, "")
  }
  if (rules.is(index, "into", "strict")) rules.add("strict", index + 1, index + 2, "")
  if (rules.is(index, "on", "conflict")) {
    rules.add("on conflict", index, rules.end(index + 2, token.depth, new Set([";", "returning", "where"])), "")
  }
}

const removable = new Set(["perform", "insert", "update", "delete", "lock", "raise", "with", "execute"])

const steps = (rules: Rules, index: number) => {
  const { tokens } = rules
  const token = tokens[index]
  if (token === undefined || !removable.has(token.text) || !startOfStatement.has(tokens[index - 1]?.text ?? "")) return
  const end = rules.end(index, token.depth, new Set([";"]))
  if (tokens[end]?.text === ";") rules.add("statement", index, end, "null")
}

/** Internal functions run with the path of the public one that calls them. */
const header = (rules: Rules, index: number, isDefiner: boolean) => {
  if (!isDefiner) return
  if (rules.is(index, "security", "definer")) rules.add("definer", index, index + 2, "security invoker")
  if (rules.is(index, "set", "search_path", "=", "pg_catalog", ",", "pg_temp")) {
    rules.add("search_path", index, index + 6, "set search_path = pg_catalog, public")
  }
}

const short = (text: string) => {
  const line = text.replace(/\s+/g, " ").trim()
  return line.length > 70 ? `${line.slice(0, 69)}…` : line
}

const parses = (text: string) => {
  try {
    parseSync(text)
    // Without a catalog it takes an array of one of our types for a record.
    if (/^language plpgsql$/m.test(text)) parsePlPgSQLSync(text.replace(/\b[a-z_]+\.[a-z_]+\[\]/g, "text[]"))
    return true
  } catch {
    return false
  }
}

export const digestOf = (...parts: ReadonlyArray<string>) =>
  createHash("sha256").update(parts.join("\u0000")).digest("hex").slice(0, 6)

/** Every mutant of a file of sql/. */
export const functionMutants = (file: string, text: string): ReadonlyArray<Mutant> => {
  const [create] = statements(text)
  const [, object = ""] = /function ([a-z_]+\.[a-z_0-9]+)/.exec(create?.text ?? "") ?? []
  if (create === undefined || object === "") return []
  const source = create.text
  const rules = new Rules(source)
  const body = rules.tokens.findIndex(
    (token, n) => token.depth === 0 && (token.text === "begin" || token.text === "return" || rules.is(n - 1, "as"))
  )
  const isDefiner = /^security definer$/m.test(source)
  for (let index = 0; index < rules.tokens.length; index++) {
    header(rules, index, isDefiner)
    if (index < body) continue
    for (const rule of [locks, lockedCalls, conditions, operators, numbers, clauses, steps]) rule(rules, index)
  }
  const seen = new Map<string, number>()
  const bytes = Buffer.from(source)
  return rules.edits.flatMap(({ rule, from, to, text: after }) => {
    const [first, last] = [rules.tokens[from], rules.tokens[to - 1]]
    if (first === undefined || last === undefined || to <= from) return []
    const before = bytes.subarray(first.start, last.end).toString()
    if (before === after) return []
    const mutated = Buffer.concat([bytes.subarray(0, first.start), Buffer.from(after), bytes.subarray(last.end)])
    if (!parses(mutated.toString())) return []
    const key = [object, rule, before, after].join("\u0000")
    const occurrence = seen.get(key) ?? 0
    seen.set(key, occurrence + 1)
    const line = bytes.subarray(0, first.start).toString().split("\n").length
    return [
      {
        id: `${object}/${rule.replaceAll(" ", "-")}-${digestOf(key, String(occurrence))}`,
        rule,
        object,
        place: `${file}:${line}`,
        before: short(before),
        after: short(after),
        sql: mutated.toString()
      }
    ]
  })
}

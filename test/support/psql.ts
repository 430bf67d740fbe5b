/** Statements and what they print, much as psql shows them: there is no psql in the embedded server. */
import pg from "pg"
import { statements } from "../lint/ast.ts"

/** Text as the server sends it. */
const types = { getTypeParser: () => (text: string) => text }

type Result = pg.QueryArrayResult<Array<string | null>>

const laidOut = (field: pg.FieldDef | undefined, text: string) =>
  field?.dataTypeID === pg.types.builtins.JSONB ? JSON.stringify(JSON.parse(text), null, 2) : text

/** What is longer isn't read in a column of a table. */
const widest = 80

const numeric: ReadonlySet<number> = new Set([
  pg.types.builtins.INT2,
  pg.types.builtins.INT4,
  pg.types.builtins.INT8,
  pg.types.builtins.NUMERIC
])

/** A table of psql's, numbers to the right. A single document stands alone, and long ones one below the other. */
const table = ({ fields, rows }: Result) => {
  const cells = rows.map((row) => row.map((value) => value ?? ""))
  const [only] = cells
  if (cells.length === 1 && fields.length === 1 && only?.[0] !== undefined) {
    const document = laidOut(fields[0], only[0])
    if (document.includes("\n")) return document
  }
  if (cells.some((row) => row.some((cell) => cell.length > widest))) {
    return cells
      .map((row) =>
        row.map((cell, column) => `${fields[column]?.name ?? ""}: ${laidOut(fields[column], cell)}`).join("\n")
      )
      .join("\n\n")
  }
  const widths = fields.map(({ name }, column) =>
    Math.max(name.length, ...cells.map((row) => row[column]?.length ?? 0))
  )
  const line = (values: ReadonlyArray<string>, isHead: boolean) =>
    values
      .map((value, column) => {
        const width = widths[column] ?? 0
        const isNumber = numeric.has(fields[column]?.dataTypeID ?? 0)
        return ` ${isNumber && !isHead ? value.padStart(width) : value.padEnd(width)} `
      })
      .join("|")
      .trimEnd()
  return [
    line(
      fields.map(({ name }) => name),
      true
    ),
    widths.map((width) => "-".repeat(width + 2)).join("+"),
    ...cells.map((row) => line(row, false)),
    `(${rows.length} ${rows.length === 1 ? "row" : "rows"})`
  ].join("\n")
}

const answer = async (client: pg.ClientBase, text: string) => {
  await client.query("savepoint statement")
  try {
    const result = await client.query<Array<string | null>>({ text, rowMode: "array", types })
    await client.query("release savepoint statement")
    return result.fields.length === 0 ? result.command : table(result)
  } catch (error) {
    await client.query("rollback to savepoint statement")
    if (!(error instanceof pg.DatabaseError)) throw error
    const { code, message, detail, hint } = error
    return [
      `ERROR:  ${code}: ${message}`,
      ...(detail === undefined ? [] : [`DETAIL:  ${detail}`]),
      ...(hint === undefined ? [] : [`HINT:  ${hint}`])
    ].join("\n")
  }
}

/** What differs from run to run, by placeholders: the same id has the same number all through a session. */
const settling = (now: Date) => {
  const ids = new Map<string, number>()
  // Explicit times of an example are whole seconds; what hangs on now isn't (see `psql`).
  const fraction = now.toISOString().slice(-4)
  return (text: string) =>
    text
      .replaceAll(/\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/g, (id) => {
        ids.set(id, ids.get(id) ?? ids.size + 1)
        return `<id ${ids.get(id)}>`
      })
      .replaceAll(/\b[0-9A-HJKMNP-TV-Z]{4}(?:-[0-9A-HJKMNP-TV-Z]{4}){2}\b/g, "<code>")
      .replaceAll(/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z/g, (time) => (time.endsWith(fraction) ? "<time>" : time))
}

/** A transaction whose now() is no whole second. */
const begin = async (client: pg.ClientBase): Promise<Date> => {
  await client.query("begin")
  const { rows } = await client.query<{ readonly now: Date }>("select now() as now")
  const [first] = rows
  if (first !== undefined && first.now.getMilliseconds() > 0) return first.now
  await client.query("rollback")
  return begin(client)
}

/**
 * A whole session: each statement with its comments, then what it printed. It runs in one transaction that is rolled
 * back, so that sessions know nothing of each other; a refused statement leaves the others be.
 */
export const psql = async (client: pg.ClientBase, text: string): Promise<string> => {
  const printed: Array<string> = []
  const settled = settling(await begin(client))
  try {
    await client.query("set local time zone 'UTC'")
    for (const { text: statement } of statements(text)) {
      printed.push(`${statement.trim()};\n\n${settled(await answer(client, statement))}\n`)
    }
  } finally {
    await client.query("rollback")
  }
  return printed.join("\n")
}

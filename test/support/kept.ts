/** Where a text is kept: every column of every table, the queue's and the migrations' too. */
import type { TestDatabase } from "./database.ts"

/** `schema.table.column` of whatever holds the text, in any case, also within a longer one. */
export const keptIn = async (db: TestDatabase, text: string): Promise<ReadonlyArray<string>> => {
  const tables = await db.query(
    `select format('%I.%I', n.nspname, c.relname) as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
     where c.relkind in ('r', 'p', 'm') and n.nspname !~ '^(pg_|information_schema)' order by 1`
  )
  const found: Array<string> = []
  for (const { name } of tables) {
    const columns = await db.query(
      `select distinct e.key from ${name} t, jsonb_each_text(to_jsonb(t)) e
       where strpos(lower(e.value), lower($1)) > 0 order by 1`,
      [text]
    )
    found.push(...columns.map(({ key }) => `${name}.${key}`))
  }
  return found
}

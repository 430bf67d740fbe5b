/** Damage to the books that no function of ours does, and what ops.verify() says of it. */
import type { TestDatabase } from "./database.ts"

/** What a superuser's damage comes to, by these questions; then the damage is taken back. */
export const afterDamage = async (
  db: TestDatabase,
  damage: ReadonlyArray<string>,
  ...questions: ReadonlyArray<{ readonly text: string; readonly values?: ReadonlyArray<unknown> }>
) => {
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    // Past triggers and foreign keys, as a superuser can: verify is there for what they didn't stop.
    await client.query("set local session_replication_role = replica")
    for (const statement of damage) await client.query(statement)
    const answers = []
    for (const { text, values = [] } of questions) answers.push((await client.query(text, [...values])).rows)
    return answers
  } finally {
    await client.query("rollback")
    client.release()
  }
}

/** The invariants that ops.verify() finds broken after the damage; then the damage is taken back. */
export const found = async (db: TestDatabase, ...damage: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const [rows = []] = await afterDamage(db, damage, { text: "select distinct invariant from ops.verify() order by 1" })
  return rows.map(({ invariant }) => invariant)
}

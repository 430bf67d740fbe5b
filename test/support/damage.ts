/** Damage to the books that no function of ours does, and what ops.verify() says of it. */
import type { TestDatabase } from "./database.ts"

/** The invariants that ops.verify() finds broken after the damage; then the damage is taken back. */
export const found = async (db: TestDatabase, ...damage: ReadonlyArray<string>): Promise<ReadonlyArray<string>> => {
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    // Past triggers and foreign keys, as a superuser can: verify is there for what they didn't stop.
    await client.query("set local session_replication_role = replica")
    for (const statement of damage) await client.query(statement)
    const { rows } = await client.query("select distinct invariant from ops.verify() order by 1")
    return rows.map(({ invariant }) => invariant)
  } finally {
    await client.query("rollback")
    client.release()
  }
}

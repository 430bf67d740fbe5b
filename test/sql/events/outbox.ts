/** The outbox on a clock of our own: events emitted, claimed, delivered and failed at so many seconds after `start`. */
import type { TestDatabase } from "../../support/database.ts"

export const start = new Date("2027-01-31T10:00:00.000Z")
export const after = (seconds: number) => new Date(start.getTime() + seconds * 1000)
export const hours = 3600

export interface Claimed {
  readonly id: number
  readonly userId: string
  readonly type: string
  readonly attempt: number
}

export const types = (claimed: ReadonlyArray<Claimed>) => claimed.map(({ userId, type }) => `${userId} ${type}`)

/** The one that was claimed. */
export const only = (claimed: ReadonlyArray<Claimed>): Claimed => {
  const [first, ...more] = claimed
  if (first === undefined || more.length > 0) throw new Error(`claimed ${JSON.stringify(claimed)}, not one event`)
  return first
}

export const outbox = (db: TestDatabase) => ({
  emit: async (userId: string, type: string, at = start): Promise<void> => {
    await db.query("select credits.emit($1, $2, '{}', $3)", [userId, type, at])
  },
  claim: async (seconds: number, args: object = {}): Promise<ReadonlyArray<Claimed>> =>
    db.call("events.claim", { now: after(seconds), ...args }),
  delivered: ({ userId, id }: Claimed, seconds: number) =>
    db.call("events.delivered", { userId, id, now: after(seconds) }),
  failed: ({ userId, id }: Claimed, seconds: number) =>
    db.call("events.failed", { userId, id, error: "HTTP 500", now: after(seconds) }),
  row: async ({ userId, id }: Claimed) => {
    const [row] = await db.query("select * from credits.events where user_id = $1 and id = $2", [userId, id])
    return row
  }
})

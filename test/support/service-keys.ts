/** Service keys as tests make them: in the database, as the command line makes them. */
import { createHash } from "node:crypto"
import { makeSecret } from "../../src/auth/service-keys.ts"
import type { TestDatabase } from "./database.ts"

export const sha256 = (text: string) => createHash("sha256").update(text).digest()

/** As an argument of a function: bytea. */
export const bytea = (bytes: Buffer) => `\\x${bytes.toString("hex")}`

/** A new secret and what SQL learns of it. */
export const freshSecret = () => {
  const { secret, prefix } = makeSecret()
  return { secret, prefix, hash: bytea(sha256(secret)) }
}

export interface KeyOptions {
  readonly appId?: string
  readonly scopes?: ReadonlyArray<string>
  readonly dailyCap?: number
  readonly expiresAt?: Date
  readonly now?: Date
}

/** A key of the app `chat` with every scope, unless the options say otherwise. */
export const createKey = async (db: TestDatabase, options: KeyOptions = {}) => {
  const { secret, prefix, hash } = freshSecret()
  const { scopes = ["read", "use", "reserve", "refund", "grant", "init", "gifts", "sync"], ...more } = options
  const [key] = await db.rows(
    "ops.create_service_key",
    { appId: "chat", scopes: `{${scopes.join(",")}}`, prefix, hash, who: "Ada", ...more },
    "mana_ops"
  )
  return { secret, hash, key, id: String(key.id), prefix }
}

/** What counts against a key's cap, by day. */
export const spentOn = async (db: TestDatabase, id: string): Promise<Readonly<Record<string, number>>> => {
  const rows = await db.query("select day::text, spent from credits.service_key_days where key_id = $1 order by day", [
    id
  ])
  return Object.fromEntries(rows.map(({ day, spent }) => [day, spent]))
}

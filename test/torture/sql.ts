/** A function call on a connection of a scenario's own, and what came of it. */
import type pg from "pg"

export type Arguments = Readonly<Record<string, unknown>>

const parameter = (name: string) => `p_${name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`

const encoded = (value: unknown) =>
  typeof value === "object" && value !== null && !(value instanceof Date) ? JSON.stringify(value) : value

/** `select credits.use(p_user_id => $1, …) as answer`; what is undefined is left out. */
export const callOf = (name: string, args: Arguments) => {
  const given = Object.entries(args).filter(([, value]) => value !== undefined)
  const list = given.map(([key], index) => `${parameter(key)} => $${index + 1}`).join(", ")
  return { text: `select ${name}(${list}) as answer`, values: given.map(([, value]) => encoded(value)) }
}

/** Its answer; throws what Postgres raises. */
export const ask = async (client: pg.ClientBase | pg.Pool, name: string, args: Arguments) => {
  const { rows } = await client.query(callOf(name, args))
  return rows[0].answer
}

/** `answered`, or the SQLSTATE with which it was refused. */
export const sqlstateOf = (error: unknown) =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : String(error)

/**
 * Balance and history with a small and with a large ledger, in a database of its own. The ledger's rows are copied
 * in, not posted: they read alike, and their hashes are nobody's (so this database is not verified).
 */
import pg from "pg"
import { median } from "./numbers.ts"

const rowsPerUser = 10_000
const perPage = 50

const addUsers = async (client: pg.Client, from: number, to: number) => {
  await client.query(
    `insert into credits.balances (user_id, balance, total_earned, version)
     select 'reader-' || i, $3::int, $3::int, $3::int from generate_series($1::int, $2::int) i`,
    [from, to, rowsPerUser]
  )
  // By seq first: everybody's rows lie scattered over the table, as they do where all of them use the service.
  await client.query(
    `insert into credits.transactions
       (user_id, seq, type, amount, balance_before, balance_after, counter_account, description, caller, created_at, hash)
     select 'reader-' || i, seq, 'grant', 1, seq - 1, seq, 'promotions', 'bench', 'bench', now(),
       decode(repeat('00', 32), 'hex')
     from generate_series(1, $3::int) seq, generate_series($1::int, $2::int) i`,
    [from, to, rowsPerUser]
  )
}

export const reads = async (url: string, largeRows: number, times: number) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  const time = async (text: string, values: ReadonlyArray<unknown>) => {
    const taken: Array<number> = []
    for (let index = 0; index < times; index++) {
      const from = performance.now()
      await client.query({ name: text.slice(7, 60), text, values: [...values] })
      taken.push(performance.now() - from)
    }
    return median(taken)
  }
  const measure = async () => {
    const { rows } = await client.query(
      "select id from credits.transactions where user_id = 'reader-1' and seq = $1::int",
      [rowsPerUser - 99 * perPage + 1]
    )
    return {
      balance: await time("select credits.balance(p_user_id => $1)", ["reader-1"]),
      firstPage: await time("select credits.history(p_user_id => $1)", ["reader-1"]),
      hundredthPage: await time("select credits.history(p_before => $2, p_user_id => $1)", ["reader-1", rows[0].id])
    }
  }
  try {
    await addUsers(client, 1, 1)
    await client.query("vacuum analyze")
    const small = await measure()
    for (let from = 2; from <= largeRows / rowsPerUser; from += 10) {
      await addUsers(client, from, Math.min(from + 9, largeRows / rowsPerUser))
    }
    await client.query("vacuum analyze")
    const large = await measure()
    return { smallRows: rowsPerUser, largeRows, milliseconds: { small, large } }
  } finally {
    await client.end()
  }
}

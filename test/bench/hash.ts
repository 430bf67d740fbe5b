/**
 * `npm run bench:hash`: what the ledger's hash costs. Debits by the function, with the hash and with a constant in its
 * place, in two databases of one server and in turns; and how long a seal and its check take.
 */
import { parseArgs } from "node:util"
import { Console, Effect } from "effect"
import pg from "pg"
import { type Measured, median, perSecond } from "./numbers.ts"
import { cpuSeconds, measure } from "./processes.ts"
import { fillMany, stage } from "./stage.ts"

const { values: options } = parseArgs({
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "5" },
    /** Of the seal's database: each of the users has rows / users debits. */
    users: { type: "string", default: "10000" },
    rows: { type: "string", default: "1000000" }
  }
})
const rounds = Number(options.rounds)
const seconds = Number(options.seconds)
const users = Number(options.users)
const rows = Number(options.rows)
const benchUsers = 10_000

/** A function of the same signature that hashes nothing: the chain is a constant of the same length. */
const withoutHash = `
  create or replace function credits.transaction_hash(p_previous bytea, p_transaction credits.transactions)
  returns bytea language sql stable
  return '\\x0000000000000000000000000000000000000000000000000000000000000000'::bytea`

const connected = async (url: string) => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  return client
}

/** Processor time of one debit, in microseconds: debits one after the other on one connection, fsync left out. */
const cpuOfDebit = async (url: string, debits: number) => {
  const client = await connected(url)
  try {
    await client.query("set synchronous_commit = off")
    const { rows: found } = await client.query("select pg_backend_pid() as pid")
    const pid = Number(found[0].pid)
    const debit = (count: number) =>
      client.query(
        `do $$
         declare
           v_n integer;
         begin
           for v_n in 1..${count} loop
             perform credits.use('user-' || (1 + v_n % ${benchUsers}), 1, 'chat', 'An answer', gen_random_uuid()::text);
             commit;
           end loop;
         end
         $$`
      )
    await debit(500)
    const before = await cpuSeconds(pid)
    await debit(debits)
    return ((await cpuSeconds(pid)) - before) * (1_000_000 / debits)
  } finally {
    await client.end()
  }
}

const timed = async (client: pg.Client, text: string, values: ReadonlyArray<unknown> = []) => {
  const from = performance.now()
  const { rows: answer } = await client.query(text, [...values])
  return { answer, seconds: (performance.now() - from) / 1000 }
}

/** A ledger of many rows, posted by our own function, and how long it takes to seal and to check. */
const sealTimes = async (client: pg.Client) => {
  await fillMany(client, "sealed-", users, 1_000_000)
  for (let round = 1; round < rows / users; round++) {
    for (let from = 1; from <= users; from += 10_000) {
      await client.query(
        `select cardinality(credits.post_many(array_agg(row(
           'sealed-' || i,
           row('usage', -1, 'revenue:chat', 'chat', 'An answer', '{"model": "large"}', null, null, 'service:chat', null)
         )::credits.user_posting), now()))
         from generate_series($1::int, $2::int) i`,
        [from, Math.min(users, from + 9_999)]
      )
    }
  }
  await client.query("vacuum analyze")
  const sealed = await timed(client, "select * from ops.seal()")
  const [{ digest, ledger_rows }] = sealed.answer
  const again = await timed(client, "select * from ops.seal()")
  const checked = await timed(client, "select * from ops.verify_seal($1)", [digest])
  const chain = await timed(client, "select * from ops.verify_chain()")
  if (checked.answer.length > 0) throw new Error(JSON.stringify(checked.answer.slice(0, 5)))
  return {
    ledgerRows: ledger_rows,
    seal: sealed.seconds,
    sealAgain: again.seconds,
    verifySeal: checked.seconds,
    verifyChain: chain.seconds
  }
}

const bench = Effect.gen(function* () {
  const { url: withHash, anotherUrl: without, client } = yield* stage(benchUsers)
  const other = yield* Effect.acquireRelease(
    Effect.promise(() => connected(without)),
    (opened) => Effect.promise(() => opened.end())
  )
  yield* Effect.promise(async () => {
    await fillMany(other, "user-", benchUsers, 1_000_000_000)
    await other.query("set role mana_owner")
    await other.query(withoutHash)
    await other.query("reset role")
    await other.query("vacuum analyze")
    await other.query("checkpoint")
  })
  const variants = { "with the hash": withHash, "without it": without }
  const measured: Record<string, { readonly load: Array<Measured>; readonly cpu: Array<number> }> = {}
  for (let round = 0; round < rounds; round++) {
    for (const [name, url] of Object.entries(variants)) {
      const each = (measured[name] ??= { load: [], cpu: [] })
      const load = yield* Effect.promise(() =>
        measure({ kind: "function", url, lanes: 16, seconds, users: benchUsers })
      )
      const cpu = yield* Effect.promise(() => cpuOfDebit(url, 5000))
      each.load.push(load)
      each.cpu.push(cpu)
      yield* Console.log(
        `round ${round + 1}: ${name} ${perSecond(load).toFixed(0)}/s, ${cpu.toFixed(0)} µs CPU a debit`
      )
    }
  }
  yield* Console.log("a ledger to seal …")
  const sealing = yield* Effect.promise(() => sealTimes(client))
  return { measured, sealing }
})

const { measured, sealing } = await Effect.runPromise(Effect.scoped(bench))
const [hashed, plain] = ["with the hash", "without it"].map((name) => ({
  rate: median((measured[name]?.load ?? []).map(perSecond)),
  cpu: median(measured[name]?.cpu ?? [])
}))
console.log(`
| credits.use   | a second, 16 connections | CPU of one debit, µs |
| ------------- | ------------------------ | -------------------- |
| with the hash | ${hashed?.rate.toFixed(0)} | ${hashed?.cpu.toFixed(0)} |
| without it    | ${plain?.rate.toFixed(0)} | ${plain?.cpu.toFixed(0)} |
| ratio         | ${((hashed?.rate ?? NaN) / (plain?.rate ?? NaN)).toFixed(2)} | ${((hashed?.cpu ?? NaN) / (plain?.cpu ?? NaN)).toFixed(2)} |

${sealing.ledgerRows} ledger rows of ${users} users and ${benchUsers} more: ops.seal() ${sealing.seal.toFixed(2)} s, again ${sealing.sealAgain.toFixed(2)} s,
ops.verify_seal() ${sealing.verifySeal.toFixed(2)} s, ops.verify_chain() ${sealing.verifyChain.toFixed(2)} s.`)

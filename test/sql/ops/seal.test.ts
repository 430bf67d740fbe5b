import { beforeAll, expect, test } from "vitest"
import { afterDamage } from "../../support/damage.ts"
import { database, refusalOf } from "../../support/database.ts"
import { session } from "../../support/session.ts"
import { dispute, paid, send } from "../../support/stripe.ts"

const db = await database()

const seal = async () => {
  const [sealed] = await db.rows("ops.seal", {}, "mana_ops")
  return sealed
}

const use = (userId: string, amount: number) =>
  db.call("credits.use", { userId, amount, appId: "chat", description: "An answer" })

const headsOf = (sealed: { readonly seal: number }) =>
  db.query("select user_id from ops.seal_heads where seal = $1 order by user_id", [sealed.seal])

const users = { ada: "ada", ben: "ben" }

beforeAll(async () => {
  for (const userId of Object.values(users)) {
    await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "first" })
    await use(userId, 10)
  }
  await db.call("credits.init", { userId: "nobody's history yet" })
})

test("answers one digest over every user who has a history, and how much it covers", async () => {
  const now = new Date("2026-03-01T12:00:00.123Z")
  const [sealed] = await db.rows("ops.seal", { now }, "mana_ops")
  expect(sealed).toEqual({
    seal: 1,
    sealed_at: now,
    users: 2,
    ledger_rows: 4,
    previous_digest: null,
    digest: expect.stringMatching(/^[0-9a-f]{64}$/)
  })
  expect(await db.rows("ops.verify_seal", { digest: sealed.digest }, "mana_ops")).toEqual([])
})

test("follows from the heads by a rule that others can compute, too", async () => {
  const { digest, seal: number } = await seal()
  const [computed] = await db.query(
    `with leaves as (
       select sha256(convert_to(
         format('["%s", %s, "%s", null]', t.user_id, t.seq, encode(t.hash, 'hex')), 'UTF8')) as leaf
       from credits.transactions t
       where t.seq = (select max(x.seq) from credits.transactions x where x.user_id = t.user_id)
     )
     select encode(sha256(
       convert_to(
         format('["mana-credits seal 1", %s, %s, %s, %s, "%s"]',
           s.seal, (extract(epoch from s.sealed_at) * 1000000)::bigint, s.users, s.ledger_rows, s.previous_digest),
         'UTF8')
       || (select string_agg(sha256(l.leaf), '\\x'::bytea order by l.leaf) from leaves l)), 'hex') as digest
     from ops.seals s where s.seal = $1`,
    [number]
  )
  expect(computed).toEqual({ digest })
})

test("so do many heads, of which some are in one part: in the order of their leaves", async () => {
  const heads = `
    insert into ops.seal_heads (user_id, seal, version, head, debt_ids, debts_hash)
    select 'user ' || n, 99, 1, sha256(''), null, null from generate_series(1, 2000) n`
  const digest = {
    text: `select ops.seal_digest(row(99, '2026-03-01', 2000, 2000, repeat('0', 64), null)::ops.seals) as digest`
  }
  const computed = {
    text: `
      with leaves as (
        select sha256(convert_to(format('["%s", %s, "%s", null]', h.user_id, h.version, encode(h.head, 'hex')), 'UTF8')) as leaf
        from ops.seal_heads h
      ),
      parts as (
        select string_agg(l.leaf, '\\x'::bytea order by l.leaf) as leaves, substr(l.leaf, 1, 2) as part, count(*) as size
        from leaves l
        group by 2
      )
      select max(p.size) as largest, encode(sha256(
        convert_to(
          format('["mana-credits seal 1", 99, %s, 2000, 2000, "%s"]',
            (extract(epoch from timestamptz '2026-03-01') * 1000000)::bigint, repeat('0', 64)),
          'UTF8')
        || string_agg(sha256(p.leaves), '\\x'::bytea order by p.part)), 'hex') as digest
      from parts p`
  }
  const [[sealed] = [], [byRule] = []] = await afterDamage(db, ["delete from ops.seal_heads", heads], digest, computed)
  expect(byRule).toEqual({ largest: expect.any(Number), digest: sealed.digest })
  expect(byRule.largest).toBeGreaterThan(1)
})

test("books without a user have a seal, too", async () => {
  const emptied = ["ops.seals", "ops.seal_heads", "credits.balances"].map((table) => `delete from ${table}`)
  const first = { text: "select seal::int, users::int, ledger_rows::int, previous_digest from ops.seal()" }
  expect(await afterDamage(db, emptied, first)).toEqual([
    [{ seal: 1, users: 0, ledger_rows: 0, previous_digest: null }]
  ])
})

test("each seal has a digest of its own, and names the one before", async () => {
  const first = await seal()
  const second = await seal()
  expect(second).toMatchObject({ seal: first.seal + 1, previous_digest: first.digest })
  expect(second.digest).not.toBe(first.digest)
})

test("stores the heads that moved since the seal before, and covers all", async () => {
  await seal()
  await use(users.ben, 1)
  const [{ rows }] = await db.query("select count(*) as rows from credits.transactions")
  const sealed = await seal()
  expect(await headsOf(sealed)).toEqual([{ user_id: users.ben }])
  expect(sealed).toMatchObject({ users: 2, ledger_rows: rows })
  expect(await headsOf(await seal())).toEqual([])
})

test("covers debts, which move without a row of the ledger", async () => {
  const purchase = await paid(db)
  await use(purchase.userId, purchase.credits)
  await seal()
  await send(db, dispute(purchase, "closed", { status: "lost" }))
  const sealed = await seal()
  expect(await headsOf(sealed)).toEqual([{ user_id: purchase.userId }])
  expect(await db.rows("ops.verify_seal", { digest: sealed.digest }, "mana_readonly")).toEqual([])
})

test("debts whose rows have other places only are the same debts", async () => {
  const purchase = await paid(db)
  await use(purchase.userId, purchase.credits)
  await send(db, dispute(purchase, "closed", { status: "lost" }))
  await db.call("credits.grant", { userId: purchase.userId, amount: 1, reason: "test", referenceId: "owed" })
  const moved = `update credits.debts set amount = amount where user_id = '${purchase.userId}' and kind = 'incurred'`
  const heads = { text: "select user_id from ops.seal_heads where seal = (select max(seal) from ops.seals)" }
  const [none] = await afterDamage(db, ["select ops.seal()", moved, "select ops.seal()"], heads)
  expect(none).toEqual([])
})

test("waits for no debit, and no debit for it: what isn't committed yet isn't sealed", async () => {
  const [debiting, sealing] = [await session(db), await session(db)]
  await debiting.query("begin")
  await debiting.call("credits.use", { userId: users.ada, amount: 1, appId: "chat", description: "An answer" })
  await sealing.query("begin")
  await sealing.query("set local lock_timeout = '1s'")
  const [sealed] = await sealing.query("select * from ops.seal()")
  await use(users.ben, 1)
  await debiting.query("commit")
  await sealing.query("commit")
  expect(await db.rows("ops.verify_seal", { digest: sealed?.["digest"] }, "mana_ops")).toEqual([])
  expect(await headsOf(await seal())).toEqual([{ user_id: users.ada }, { user_id: users.ben }])
})

test("two at once follow each other", async () => {
  const [first, second] = [await session(db), await session(db)]
  await first.query("begin")
  const [one] = await first.query("select seal::int, digest from ops.seal()")
  const waiting = second.query("select seal::int, previous_digest from ops.seal()")
  await second.waitsFor(first)
  await first.query("commit")
  expect(await waiting).toEqual([{ seal: Number(one?.["seal"]) + 1, previous_digest: one?.["digest"] }])
})

const asOwner = async (statement: string) => {
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("set local role mana_owner")
    return await client.query(statement).then(() => "done", refusalOf)
  } finally {
    await client.query("rollback")
    client.release()
  }
}

test.each(["ops.seals", "ops.seal_heads"])("%s is append-only, for its owner too (CR009)", async (table) => {
  await seal()
  for (const change of [`update ${table} set seal = seal + 1`, `delete from ${table}`, `truncate ${table}`]) {
    expect(await asOwner(change), change).toMatchObject({ sqlstate: "CR009" })
  }
})

test("a seal's digest is one, and no two seals have the same (23505, 23514)", async () => {
  const columns = "insert into ops.seals (seal, sealed_at, users, ledger_rows, digest) values (10000, now(), 0, 0, "
  const { digest } = await seal()
  expect(await asOwner(`${columns} '${digest}')`)).toMatchObject({ sqlstate: "23505" })
  expect(await asOwner(`${columns} '${digest}0')`)).toMatchObject({ sqlstate: "23514" })
  expect(await asOwner(`${columns} '${digest.toUpperCase()}')`)).toMatchObject({ sqlstate: "23514" })
})

test("what is kept of debts is both which and what they were (23514)", async () => {
  const head = "insert into ops.seal_heads values ('ada', 10000, 1, sha256(''), "
  expect(await asOwner(`${head} null, sha256(''))`)).toMatchObject({ sqlstate: "23514" })
  expect(await asOwner(`${head} array[uuidv7()], null)`)).toMatchObject({ sqlstate: "23514" })
})

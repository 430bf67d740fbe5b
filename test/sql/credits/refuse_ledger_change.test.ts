import type pg from "pg"
import { beforeAll, expect, test } from "vitest"
import { database, refusalOf } from "../../support/database.ts"

/** The ledger is append-only: refused to everyone, the superuser included, but for a deliberate break-glass. */
const db = await database()

const changes = [
  "update credits.transactions set amount = 1000 where user_id = 'u' and seq = 1",
  "update credits.transactions set user_id = user_id",
  "delete from credits.transactions where user_id = 'u'",
  "truncate credits.transactions cascade",
  `insert into credits.transactions select * from credits.transactions
   on conflict (user_id, seq) do update set description = 'changed'`,
  `merge into credits.transactions t using (select 1) s on t.user_id = 'u' when matched then delete`
]

const everyone = changes.flatMap((change) => ["superuser", "mana_owner"].map((who) => ({ who, change })))

beforeAll(async () => {
  await db.call("credits.grant", { userId: "u", amount: 100, reason: "test", referenceId: "r" })
  await db.call("credits.use", { userId: "u", amount: 1, appId: "chat", description: "An answer" })
})

/** What comes of the statements, in a transaction that leaves no trace; the owner becomes so by SET ROLE. */
const attempt = async (who: string, statements: ReadonlyArray<string>) => {
  const client = await db.pool.connect()
  const warnings: Array<string | undefined> = []
  const listen = (notice: { readonly message?: string | undefined }) => warnings.push(notice.message)
  client.on("notice", listen)
  try {
    await client.query("begin")
    if (who !== "superuser") await client.query(`set local role ${who}`)
    const results: Array<pg.QueryResult> = []
    for (const statement of statements) results.push(await client.query(statement))
    return { changed: results.at(-1)?.rowCount, warnings }
  } catch (error) {
    return refusalOf(error)
  } finally {
    await client.query("rollback")
    client.off("notice", listen)
    client.release()
  }
}

test.each(everyone)("refuses to $who: $change (CR009)", async ({ who, change }) => {
  expect(await attempt(who, [change])).toMatchObject({ sqlstate: "CR009" })
})

const debt = [
  "set local session_replication_role = replica", // no purchase behind it
  `insert into credits.debts (user_id, purchase_id, kind, amount, created_at)
   values ('u', gen_random_uuid(), 'incurred', 5, now())`,
  "set local session_replication_role = origin"
]

test.each(["update credits.debts set amount = 1", "delete from credits.debts", "truncate credits.debts"])(
  "refuses the same of a debt: %s (CR009)",
  async (change) => {
    expect(await attempt("superuser", [...debt, change])).toMatchObject({ sqlstate: "CR009" })
  }
)

test("the ledger refuses for itself to be emptied, not only what goes with it (CR009)", async () => {
  const emptied = ["alter table credits.debts disable trigger all", "truncate credits.transactions cascade"]
  expect(await attempt("superuser", emptied)).toMatchObject({ sqlstate: "CR009" })
})

test("doesn't hinder a statement that changes no row", async () => {
  expect(await attempt("mana_owner", ["delete from credits.transactions where user_id = 'unheard of'"])).toMatchObject({
    changed: 0
  })
})

const repairs = [
  "update credits.transactions set description = 'changed' where user_id = 'u'",
  "delete from credits.transactions where user_id = 'u' and seq = 2",
  "truncate credits.transactions cascade"
]

test.each(repairs)("lets the owner break the glass, saying why, with a warning: %s", async (repair) => {
  const outcome = await attempt("mana_owner", ["set local mana.break_glass = 'court order 7'", repair])
  expect(outcome).toHaveProperty("changed")
  expect(outcome).toMatchObject({
    warnings: expect.arrayContaining([expect.stringMatching(/^ledger changed by postgres \(\w+\): court order 7$/)])
  })
})

test("keeps the rules of a row though the glass is broken (23514)", async () => {
  const outcome = await attempt("mana_owner", ["set local mana.break_glass = 'greed'", ...changes])
  expect(outcome).toMatchObject({ sqlstate: "23514" })
})

test("really changes what the owner says with the glass broken, and ops.verify() tells", async () => {
  const outcome = await attempt("mana_owner", [
    "set local mana.break_glass = 'a repair'",
    "update credits.transactions set description = 'repaired' where user_id = 'u' and seq = 2",
    "select * from ops.verify() where invariant = 'ledger_hash'"
  ])
  expect(outcome).toMatchObject({ changed: 1 })
})

test("refuses a glass broken without a reason (CR009)", async () => {
  expect(await attempt("mana_owner", ["set local mana.break_glass = ''", ...changes])).toMatchObject({
    sqlstate: "CR009"
  })
})

test("ends the break-glass with its transaction (CR009)", async () => {
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("set local mana.break_glass = 'for now'")
    await client.query("commit")
    await expect(client.query("delete from credits.transactions")).rejects.toMatchObject({ code: "CR009" })
  } finally {
    client.release()
  }
})

test.each(["mana_service", "mana_worker", "mana_ops", "mana_readonly"])(
  "has no break-glass for %s (42501)",
  async (who) => {
    for (const change of changes) {
      expect(await attempt(who, ["set local mana.break_glass = 'let me in'", change])).toMatchObject({
        sqlstate: "42501"
      })
    }
  }
)

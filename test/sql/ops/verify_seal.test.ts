import { beforeAll, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { afterDamage } from "../../support/damage.ts"
import { given } from "../../support/gifts.ts"
import { dispute, paid, send } from "../../support/stripe.ts"

const db = await database()

const ada = "ada"
let digest = ""
let debtor = ""
/** Somebody whose history begins after the seal. */
const late = "late"

const use = (userId: string, amount: number) =>
  db.call("credits.use", { userId, amount, appId: "chat", description: "An answer", idempotencyKey: `k${amount}` })

/** Everything that moves credits, for Ada and others, whom it may be told twice. */
const live = async (round: string) => {
  await db.call("credits.grant", { userId: ada, amount: 100, reason: "test", referenceId: round })
  await use(ada, round === "before" ? 30 : 31)
  const { reservationId } = await db.call("credits.reserve", { userId: ada, amount: 8, reason: "a call" })
  await db.call("credits.commit", { reservationId, amount: 5 })
  await db.call("credits.reserve", { userId: ada, amount: 2, reason: "a call" })
  const { gift } = await given(db, 10)
  await db.call("gifts.redeem", { userId: ada, code: gift.code })
}

beforeAll(async () => {
  await live("before")
  const purchase = await paid(db)
  debtor = purchase.userId
  await use(debtor, 1000)
  await send(db, dispute(purchase, "closed", { status: "lost" }))
  const [sealed] = await db.rows("ops.seal", {}, "mana_ops")
  digest = sealed.digest

  await live("after")
  await db.call("credits.grant", { userId: debtor, amount: 1200, reason: "test", referenceId: "after" })
  await db.call("credits.grant", { userId: late, amount: 1, reason: "test", referenceId: "first" })
})

const verifySeal = (of: string) => ({ text: "select * from ops.verify_seal($1)", values: [of] })

/** What ops.verify() and ops.verify_seal() say after the damage: the names of what they found. */
const found = async (damage: ReadonlyArray<string>, of = digest) => {
  const [books = [], seal = []] = await afterDamage(db, damage, { text: "select * from ops.verify()" }, verifySeal(of))
  const names = (rows: ReadonlyArray<{ readonly invariant: string; readonly user_id: string | null }>) =>
    rows.map(({ invariant, user_id }) => (user_id === null ? invariant : `${invariant} ${user_id}`)).toSorted()
  return { books: names(books), seal: names(seal) }
}

/** Every hash of a user's ledger anew, and the head: what a forger does who knows the rule. */
const rehash = (user: string) => `
  do $$
  declare
    v_transaction credits.transactions;
    v_head bytea := '\\x';
  begin
    for v_transaction in select * from credits.transactions where user_id = '${user}' order by seq loop
      v_head := credits.transaction_hash(v_head, v_transaction);
      update credits.transactions set hash = v_head where user_id = '${user}' and seq = v_transaction.seq;
    end loop;
    update credits.balances set head = v_head where user_id = '${user}';
  end
  $$`

/** And the heads that the seal has kept, as if the forged history had been sealed. */
const rehead = (user: string) => `
  update ops.seal_heads h set head = t.hash
  from credits.transactions t where h.user_id = '${user}' and t.user_id = h.user_id and t.seq = h.version`

const describe = "update credits.transactions set description = 'A lie' where user_id = 'ada' and seq = 2"

/** Ada's first debit of 30 was one of 3: books in which nothing but the past has changed. */
const cheaper = [
  "alter table credits.transactions drop constraint transactions_balance_check",
  "update credits.transactions set amount = -3, balance_after = balance_after + 27 where user_id = 'ada' and seq = 2",
  `update credits.transactions set balance_before = balance_before + 27, balance_after = balance_after + 27
   where user_id = 'ada' and seq > 2`,
  `update credits.usage_stats set credits_used = credits_used - 27 where user_id = 'ada' and app_id = 'chat'`,
  `update credits.balances set balance = balance + 27, total_spent = total_spent - 27 where user_id = 'ada'`,
  rehash(ada)
]

test("finds nothing while history is as it was, however much was added to it since", async () => {
  expect(await found([])).toEqual({ books: [], seal: [] })
  expect(await found([], ` ${digest.toUpperCase()}\n`)).toEqual({ books: [], seal: [] })
})

test("debts hash to the same whatever places their rows have", async () => {
  const last = `(select id from credits.debts where user_id = '${debtor}' order by id desc limit 1)`
  const moved = [
    // As they stand in the table, not in its key.
    "set local enable_indexscan = off",
    "set local enable_bitmapscan = off",
    `insert into credits.debts select user_id, uuidv7(), purchase_id, 'incurred', 1, null, created_at
     from credits.debts where user_id = '${debtor}' limit 1`,
    `insert into ops.seal_heads (user_id, seal, version, head, debt_ids, debts_hash)
     select user_id, 2, 1, head, ids, ops.debts_hash(user_id, ids)
     from credits.balances b, (select array_agg(id) as ids from credits.debts where user_id = '${debtor}') d
     where user_id = '${debtor}'`,
    `update credits.debts set amount = amount where user_id = '${debtor}' and id < ${last}`
  ]
  const asked = {
    text: `select count(*)::int as debts, bool_and(h.debts_hash = ops.debts_hash(h.user_id, h.debt_ids)) as same
           from ops.seal_heads h, unnest(h.debt_ids) where h.seal = 2`
  }
  const [answer] = await afterDamage(db, moved, asked)
  expect(answer).toEqual([{ debts: 3, same: true }])
})

test.each(["", "no digest", "0".repeat(64)])("knows no seal of the digest '%s'", async (of) => {
  expect(await found([], of)).toEqual({ books: [], seal: ["seal_unknown"] })
})

test("finds a history rewritten with every hash and sum made right again, which ops.verify() can't", async () => {
  expect(await found(cheaper)).toEqual({ books: [], seal: [`seal_head ${ada}`] })
})

test("finds it though the heads kept with the seal were forged as well", async () => {
  expect(await found([...cheaper, rehead(ada)])).toEqual({ books: [], seal: ["seal_digest"] })
})

test("finds it though the seal itself was: no digest stands for another history", async () => {
  const forged = [
    ...cheaper,
    rehead(ada),
    "update ops.seals s set digest = ops.seal_digest(s)",
    "update ops.seals s set previous_digest = repeat('0', 64) where s.previous_digest is not null"
  ]
  expect(await found(forged)).toEqual({ books: [], seal: ["seal_unknown"] })
})

test("finds it though another seal was made over the forged history", async () => {
  const forged = [...cheaper, rehead(ada), "update ops.seals s set digest = ops.seal_digest(s)", "select ops.seal()"]
  expect(await found(forged)).toEqual({ books: [], seal: ["seal_unknown"] })
})

test("a seal made later vouches for the digests before it", async () => {
  const [{ digest: next }] = await db.rows("ops.seal", {}, "mana_ops")
  const forged = [
    "update ops.seals set digest = repeat('a', 64) where seal = 1",
    "update ops.seals set previous_digest = repeat('a', 64) where seal = 2"
  ]
  expect(await found(forged, next)).toEqual({ books: [], seal: ["seal_digest"] })
})

test.each([
  { what: "a row rewritten", damage: [describe], seal: [`seal_row ${ada}`] },
  { what: "a row rewritten, its hash as well", damage: [describe, rehash(ada)], seal: [`seal_head ${ada}`] },
  {
    what: "a row in the middle gone",
    damage: ["delete from credits.transactions where user_id = 'ada' and seq = 2"],
    seal: [`seal_row ${ada}`]
  },
  {
    what: "a row gone, and those after it moved up",
    damage: [
      "delete from credits.transactions where user_id = 'ada' and seq = 2",
      ...[3, 4, 5, 6, 7, 8].map(
        (seq) => `update credits.transactions set seq = ${seq - 1} where user_id = 'ada' and seq = ${seq}`
      ),
      rehash(ada)
    ],
    seal: [`seal_head ${ada}`]
  },
  {
    what: "the last sealed rows gone, and all after them",
    damage: ["delete from credits.transactions where user_id = 'ada' and seq >= 4"],
    seal: [`seal_tail ${ada}`]
  },
  {
    what: "a whole ledger gone",
    damage: ["delete from credits.transactions where user_id = 'ada'"],
    seal: [`seal_user ${ada}`]
  },
  {
    what: "a user gone, with everything",
    damage: [
      "delete from credits.transactions where user_id = 'ada'",
      "delete from credits.balances where user_id = 'ada'"
    ],
    seal: [`seal_user ${ada}`]
  },
  {
    what: "a history that is somebody else's now",
    damage: ["update credits.transactions set user_id = 'eve' where user_id = 'ada'", rehash("eve")],
    seal: [`seal_user ${ada}`]
  },
  {
    what: "a sealed row's hash gone",
    damage: [
      "alter table credits.transactions alter hash drop not null",
      "update credits.transactions set hash = null where user_id = 'ada' and seq = 4"
    ],
    seal: [`seal_head ${ada}`, `seal_row ${ada}`]
  },
  {
    what: "a debt of another amount",
    damage: [`update credits.debts set amount = amount - 1 where kind = 'incurred'`],
    seal: ["seal_debts"]
  },
  { what: "debts gone", damage: ["delete from credits.debts"], seal: ["seal_debts"] },
  {
    what: "debts gone, and forgotten by the seal",
    damage: ["delete from credits.debts", "update ops.seal_heads set debt_ids = null, debts_hash = null"],
    seal: ["seal_digest"]
  },
  {
    what: "a user forgotten by the seal",
    damage: ["delete from ops.seal_heads where user_id = 'ada'"],
    seal: ["seal_digest"]
  },
  {
    what: "a user added to the seal",
    damage: [
      "insert into ops.seal_heads select t.user_id, 1, t.seq, t.hash from credits.transactions t where t.user_id = 'late'"
    ],
    seal: ["seal_digest"]
  },
  {
    what: "a seal that covers less",
    damage: [
      `update ops.seal_heads h set version = 1, head = t.hash
       from credits.transactions t where h.user_id = 'ada' and t.user_id = 'ada' and t.seq = 1`
    ],
    seal: ["seal_digest"]
  },
  { what: "the time of a seal", damage: ["update ops.seals set sealed_at = now() + '1s'"], seal: ["seal_digest"] },
  { what: "the number of a seal's users", damage: ["update ops.seals set users = users + 1"], seal: ["seal_digest"] },
  {
    what: "the number of a seal's rows",
    damage: ["update ops.seals set ledger_rows = ledger_rows + 1"],
    seal: ["seal_digest"]
  }
])("finds $what", async ({ damage, seal }) => {
  const expected = seal.map((each) => (each === "seal_debts" ? `seal_debts ${debtor}` : each))
  expect((await found(damage)).seal).toEqual(expected)
})

test("finds nothing wrong with what came after the seal: that is for ops.verify() and the next seal", async () => {
  const last = "update credits.transactions set description = 'A lie' where user_id = 'late'"
  expect(await found([last])).toEqual({ books: [`ledger_hash ${late}`], seal: [] })
})

test("says which row, and what was sealed", async () => {
  const [rows] = await afterDamage(db, [describe], verifySeal(digest))
  expect(rows).toEqual([
    {
      invariant: "seal_row",
      user_id: ada,
      detail: "seq 2 isn't the row that was sealed, or one before it is missing"
    }
  ])
})

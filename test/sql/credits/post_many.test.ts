/** The set-based writer writes what the single one writes: the same postings through both, row by row. */
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { dispute, paid, send } from "../../support/stripe.ts"

const db = await database()
const now = new Date("2027-05-05T05:05:05.555Z")

/** Fields of credits.posting, in its order. */
const postings = [
  [
    "usage",
    -7,
    "revenue:chat",
    "chat",
    "an answer",
    { operation: "chat_qwen" },
    "key-1",
    "00000000-0000-7000-8000-000000000000",
    "user",
    null
  ],
  ["usage", -40, "revenue:picture", "picture", "a hold captured", null, null, null, "service:picture", 50],
  ["grant", 12, "promotions", null, "welcome", { reason: "welcome" }, null, null, "service:auth", null],
  ["refund", 3, "revenue:chat", "chat", "sorry", null, null, null, "ops", null],
  ["adjustment", -100, "adjustments", null, "all of it", null, null, null, "ops", null],
  ["expiry", -1, "promotions", null, "Ünïcödé 𝄞", { nested: { list: [1, "two", null] } }, null, null, "user", null]
] as const

/** Users `<prefix>-0` …, each with 100 credits, 50 of them held where the posting frees a hold. */
const users = async (prefix: string) => {
  for (const [index, posting] of postings.entries()) {
    const userId = `${prefix}-${index}`
    await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "r", now })
    if (posting[9] !== null) {
      const { reservationId } = await db.call("credits.reserve", { userId, amount: posting[9], reason: "test", now })
      await db.query("update credits.reservations set status = 'expired', closed_at = now() where id = $1", [
        reservationId
      ])
    }
  }
}

const posting = `row(p ->> 0, (p ->> 1)::bigint, p ->> 2, p ->> 3, p ->> 4, nullif(p -> 5, 'null'), p ->> 6,
  (p ->> 7)::uuid, p ->> 8, (p ->> 9)::bigint)::credits.posting`

const written = async (prefix: string) => {
  const strip = (rows: ReadonlyArray<Record<string, unknown>>) =>
    rows.map(({ user_id, ...row }) => ({ ...row, user: String(user_id).replace(`${prefix}-`, "") }))
  const like = [`${prefix}-%`]
  return {
    ledger: strip(
      await db.query(
        `select user_id, seq, type, amount, balance_before, balance_after, counter_account, app_id, description,
           metadata, idempotency_key, related_transaction_id, caller, created_at
         from credits.transactions where user_id like $1 order by user_id, seq`,
        like
      )
    ),
    balances: strip(
      await db.query(
        `select user_id, balance, held, debt, total_earned, total_spent, version, updated_at
         from credits.balances where user_id like $1 order by user_id`,
        like
      )
    ),
    usage: strip(await db.query("select * from credits.usage_stats where user_id like $1 order by 1, 2, 3", like)),
    events: strip(
      await db.query(
        "select user_id, type, data, created_at from credits.events where user_id like $1 order by 1, id",
        like
      )
    )
  }
}

test("the same rows as credits.post", async () => {
  await db.query("update credits.settings set low_balance_threshold = 61")
  await users("one")
  await users("many")
  for (const [index, each] of postings.entries()) {
    await db.query(
      `select credits.post(credits.lock_balance($1), (select ${posting} from (values ($2::jsonb)) v (p)), $3)`,
      [`one-${index}`, JSON.stringify(each), now]
    )
  }
  await db.query(
    `insert into credits.idempotency_keys
     select t.user_id, t.caller, t.idempotency_key, sha256(''), '{}', now()
     from (values ('one-0', 'user', 'key-1'), ('many-0', 'user', 'key-1')) t (user_id, caller, idempotency_key)`
  )
  const [{ many }] = await db.query(
    `select credits.post_many(array_agg(row('many-' || i - 1, ${posting})::credits.user_posting), $2) as many
     from jsonb_array_elements($1::jsonb) with ordinality v (p, i)`,
    [JSON.stringify(postings), now]
  )
  expect(many).toBeDefined()
  const one = await written("one")
  expect(await written("many")).toEqual(one)
  expect(one.events).toHaveLength(2) // -40 and -100 cross the threshold

  // And in the same chain: ops.verify(), after each test, recomputes every hash. Here that it is the same function's.
  const [row] = await db.query(
    `select count(*) filter (where t.hash = credits.transaction_hash(p.hash, t)) as chained, count(*) as rows
     from credits.transactions t join credits.transactions p on p.user_id = t.user_id and p.seq = t.seq - 1
     where t.user_id like 'many-%'`
  )
  expect(row).toEqual({ chained: postings.length, rows: postings.length })
})

test("one user twice, or a user without a balance: nothing is written", async () => {
  await db.call("credits.grant", { userId: "twice", amount: 10, reason: "test", referenceId: "r" })
  const grants = (...userIds: ReadonlyArray<string>) =>
    db.query(
      `select credits.post_many(array_agg(row(u, row('grant', 1, 'promotions', null, 'x', null, null, null, 'test', null))::credits.user_posting), now())
       from unnest($1::text[]) u`,
      [userIds]
    )
  const before = await db.books()
  await expect(grants("twice", "twice")).rejects.toMatchObject({ code: "23505" })
  await expect(grants("twice", "nobody")).rejects.toMatchObject({ code: "P0001" })
  expect(await db.books()).toEqual(before)
})

test("what comes in, or is set free beyond what is taken, pays debts first", async () => {
  /** Bought 1,050 credits, spent them but for a hold, and the bank took the money back. */
  const owing = async (held: number) => {
    const purchase = await paid(db)
    const { userId } = purchase
    const hold = { userId, amount: held, reason: "a call", now }
    const { reservationId } = held === 0 ? { reservationId: null } : await db.call("credits.reserve", hold)
    await db.call("credits.use", { userId, amount: 1050 - held, appId: "chat", description: "Answers" })
    await send(db, dispute(purchase, "closed", { status: "lost" }))
    await db.query("update credits.reservations set status = 'expired', closed_at = now() where id = $1", [
      reservationId
    ])
    return userId
  }
  const [granted, freed] = [await owing(0), await owing(100)]
  await db.query(
    `select credits.post_many(array[
       row($1, row('grant', 300, 'promotions', null, 'x', null, null, null, 'test', null)::credits.posting),
       row($2, row('usage', -5, 'revenue:chat', 'chat', 'x', null, null, null, 'test', 100)::credits.posting)
     ]::credits.user_posting[], now())`,
    [granted, freed]
  )
  expect(await db.balanceRow(granted)).toMatchObject({ balance: 0, debt: 750 })
  expect(await db.balanceRow(freed)).toMatchObject({ balance: 0, held: 0, debt: 955 })
})

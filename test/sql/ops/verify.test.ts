import * as fs from "node:fs/promises"
import * as path from "node:path"
import { beforeAll, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { afterDamage, found } from "../../support/damage.ts"

const db = await database()

const now = new Date("2026-03-01T12:00:00Z")

/** Ada: 1 grant of 100, 2 usage of 30, 3 refund of 10 of it, 4 usage of 5 out of a hold; and 20 held. Ben: a grant of 7.
 * Cid: a grant of 7, another by hand, a usage of 4, all of it refunded. */
beforeAll(async () => {
  const ada = { userId: "ada", now }
  await db.call("credits.grant", { ...ada, amount: 100, reason: "test", referenceId: "r" })
  const { transaction } = await db.call("credits.use", {
    ...ada,
    amount: 30,
    appId: "chat",
    description: "An answer",
    // As a grant has, and no grant's.
    metadata: { model: "m", referenceId: "r-7" },
    idempotencyKey: "k"
  })
  await db.call("credits.refund", { ...ada, amount: 10, description: "Sorry", transactionId: transaction.id })
  const hold = { ...ada, amount: 8, reason: "a call", appId: "chat" }
  const { reservationId } = await db.call("credits.reserve", hold)
  await db.call("credits.commit", { reservationId, amount: 5, now })
  await db.call("credits.reserve", { ...hold, amount: 20 })
  const released = await db.call("credits.reserve", { ...hold, amount: 1 })
  await db.call("credits.release", { reservationId: released.reservationId, now })
  await db.call("credits.grant", { userId: "ben", amount: 7, reason: "test", referenceId: "r", now })
  const cid = { userId: "cid", now }
  await db.call("credits.grant", { ...cid, amount: 7, reason: "test", referenceId: "r" })
  await db.rows("ops.grant", { ...cid, amount: 1, who: "ada", why: "goodwill" }, "mana_ops")
  const { transaction: refunded } = await db.call("credits.use", {
    ...cid,
    amount: 4,
    appId: "draw",
    description: "No"
  })
  await db.call("credits.refund", { ...cid, amount: 4, description: "Sorry", transactionId: refunded.id })
})

const balances = (set: string) => `update credits.balances set ${set} where user_id = 'ada'`
const row = (seq: number, set: string) =>
  `update credits.transactions set ${set} where user_id = 'ada' and seq = ${seq}`
const drop = (table: string, constraint: string) => `alter table credits.${table} drop constraint ${constraint}`

test("finds nothing wrong with books that are true, whatever places their rows have", async () => {
  expect(await found(db)).toEqual([])
  for (const seq of [1, 2, 3, 4]) expect(await found(db, row(seq, "seq = seq"))).toEqual([])
})

test.each([
  {
    what: "credits out of nowhere",
    damage: [balances("balance = balance + 1, total_earned = total_earned + 1")],
    broken: ["balance_sum", "balance_totals", "zero_sum"]
  },
  {
    what: "credits moved from one balance to another",
    damage: [
      balances("balance = balance - 1, total_spent = total_spent + 1"),
      "update credits.balances set balance = balance + 1, total_earned = total_earned + 1 where user_id = 'ben'"
    ],
    broken: ["balance_sum", "balance_totals"]
  },
  {
    what: "totals that are too high alike",
    damage: [balances("total_earned = total_earned + 1, total_spent = total_spent + 1")],
    broken: ["balance_totals"]
  },
  { what: "another version", damage: [balances("version = version + 1")], broken: ["balance_version"] },
  { what: "another head", damage: [balances("head = sha256('x')")], broken: ["balance_head"] },
  { what: "more held than is reserved", damage: [balances("held = held + 1")], broken: ["held"] },
  { what: "less held than is reserved", damage: [balances("held = 0")], broken: ["held"] },
  {
    what: "a balance that is gone",
    damage: ["delete from credits.balances where user_id = 'ben'"],
    broken: ["balance_row", "zero_sum"]
  },
  {
    what: "every balance gone",
    damage: ["delete from credits.balances"],
    broken: ["balance_row", "zero_sum"]
  },
  {
    what: "a balance without a ledger",
    damage: ["insert into credits.balances (user_id, balance, total_earned) values ('eve', 5, 5)"],
    broken: ["balance_sum", "balance_totals", "zero_sum"]
  }
])("finds $what", async ({ damage, broken }) => {
  expect(await found(db, ...damage)).toEqual(broken)
})

test.each([
  {
    what: "the last row gone",
    damage: ["delete from credits.transactions where user_id = 'ada' and seq = 4"],
    broken: [
      "balance_head",
      "balance_sum",
      "balance_totals",
      "balance_version",
      "reservation_commit",
      "usage_stats",
      "zero_sum"
    ]
  },
  {
    what: "a row in the middle gone",
    damage: ["delete from credits.transactions where user_id = 'ada' and seq = 3"],
    broken: ["balance_sum", "balance_totals", "ledger_chain", "ledger_hash", "ledger_seq", "zero_sum"]
  },
  {
    what: "the first row gone",
    damage: ["delete from credits.transactions where user_id = 'ada' and seq = 1"],
    broken: ["balance_sum", "balance_totals", "grant", "ledger_chain", "ledger_hash", "ledger_seq", "zero_sum"]
  },
  {
    what: "a whole ledger gone",
    damage: ["delete from credits.transactions where user_id = 'ben'"],
    broken: ["balance_head", "balance_sum", "balance_totals", "balance_version", "grant", "zero_sum"]
  },
  {
    what: "every ledger gone",
    damage: ["delete from credits.transactions"],
    broken: [
      ...["balance_head", "balance_sum", "balance_totals", "balance_version", "grant"],
      ...["reservation_commit", "usage_stats", "zero_sum"]
    ]
  },
  {
    what: "a row forged at the end",
    damage: [
      `insert into credits.transactions
       select user_id, 5, uuidv7(), type, 50, 75, 125, counter_account, null, description, null, null, null, caller,
         created_at, hash
       from credits.transactions where user_id = 'ada' and seq = 1`
    ],
    broken: ["balance_head", "balance_sum", "balance_totals", "balance_version", "ledger_hash", "zero_sum"]
  },
  {
    what: "a row numbered anew",
    damage: [row(4, "seq = 5")],
    broken: ["balance_version", "ledger_hash", "ledger_seq"]
  },
  {
    what: "another amount",
    damage: [drop("transactions", "transactions_balance_check"), row(1, "amount = 101")],
    broken: ["balance_sum", "balance_totals", "ledger_amount", "ledger_hash", "zero_sum"]
  },
  {
    what: "another amount that adds up",
    damage: [row(1, "amount = 101, balance_after = 101")],
    broken: ["balance_sum", "balance_totals", "ledger_chain", "ledger_hash", "zero_sum"]
  },
  {
    what: "another amount in the ledger, the balance and every row between",
    damage: [
      row(1, "amount = 101, balance_after = 101"),
      "update credits.transactions set balance_before = balance_before + 1, balance_after = balance_after + 1 where user_id = 'ada' and seq > 1",
      balances("balance = balance + 1, total_earned = total_earned + 1")
    ],
    broken: ["ledger_hash"]
  },
  {
    what: "a row of somebody else",
    damage: ["update credits.transactions set user_id = 'eve' where user_id = 'ben'"],
    broken: [
      "balance_head",
      "balance_row",
      "balance_sum",
      "balance_totals",
      "balance_version",
      "grant",
      "grant_reference",
      "ledger_hash"
    ]
  }
])("finds $what in the ledger", async ({ damage, broken }) => {
  expect((await found(db, ...damage)).toSorted()).toEqual(broken)
})

test.each([
  "id = uuidv7()",
  "type = 'clawback'",
  "counter_account = 'revenue:other'",
  "app_id = 'other'",
  "app_id = null",
  "description = 'Another answer'",
  "metadata = '{}'",
  "metadata = null",
  "idempotency_key = 'other'",
  "idempotency_key = null",
  "related_transaction_id = uuidv7()",
  "caller = 'service:other'",
  "created_at = created_at + interval '1 microsecond'",
  "hash = sha256('x')"
])("finds a ledger row rewritten: %s", async (set) => {
  expect(await found(db, row(2, set))).toContain("ledger_hash")
})

test.each([
  {
    what: "a hold of another amount",
    damage: ["update credits.reservations set amount = amount + 1 where status = 'open'"],
    broken: ["held"]
  },
  { what: "a hold that is gone", damage: ["delete from credits.reservations where status = 'open'"], broken: ["held"] },
  {
    what: "a hold that was closed without setting its credits free",
    damage: ["update credits.reservations set status = 'expired', closed_at = now() where status = 'open'"],
    broken: ["held"]
  },
  {
    what: "a hold that is open again",
    damage: [
      "update credits.reservations set status = 'open', closed_at = null, answer = null where status = 'released'"
    ],
    broken: ["held"]
  },
  {
    what: "a commit of another amount",
    damage: ["update credits.reservations set committed_amount = 4 where status = 'committed'"],
    broken: ["reservation_commit"]
  },
  {
    what: "a commit that names no row of the ledger",
    damage: ["update credits.reservations set transaction_id = uuidv7() where status = 'committed'"],
    broken: ["reservation_commit"]
  },
  {
    what: "a commit that names a row that is no charge",
    damage: [
      `update credits.reservations set transaction_id = (
         select id from credits.transactions where user_id = 'ada' and seq = 1
       ) where status = 'committed'`
    ],
    broken: ["reservation_commit"]
  }
])("finds $what", async ({ damage, broken }) => {
  expect(await found(db, ...damage)).toEqual(broken)
})

test.each([
  {
    what: "a refund beyond its charge",
    damage: [row(2, "amount = -9, balance_after = 91")],
    broken: "refund_cap"
  },
  {
    what: "a refund of what is no charge",
    damage: [
      row(3, "related_transaction_id = (select id from credits.transactions where user_id = 'ada' and seq = 1)")
    ],
    broken: "refund_cap"
  },
  {
    what: "a refund of what was taken, but isn't a charge",
    damage: [row(2, "type = 'adjustment'")],
    broken: "refund_cap"
  },
  {
    what: "a grant without its ledger row",
    damage: ["update credits.grants set transaction_id = uuidv7() where user_id = 'ada'"],
    broken: "grant"
  },
  {
    what: "a grant that names another row than its own",
    damage: ["update credits.grants set transaction_id = uuidv7() where user_id = 'ada'"],
    broken: "grant_reference"
  },
  {
    what: "a grant whose row is no grant",
    damage: [
      `update credits.grants set transaction_id = (
         select id from credits.transactions where user_id = 'ada' and seq = 3
       ) where user_id = 'ada'`
    ],
    broken: "grant"
  },
  {
    what: "a grant remembered by another reference",
    damage: ["update credits.grants set reference_id = 'other' where user_id = 'ada'"],
    broken: "grant_reference"
  },
  {
    what: "a grant remembered of somebody else",
    damage: ["update credits.grants set user_id = 'eve' where user_id = 'ada'"],
    broken: "grant_reference"
  },
  {
    what: "a commit whose row is no charge any more",
    damage: [row(4, "type = 'adjustment'")],
    broken: "reservation_commit"
  },
  {
    what: "a grant forgotten, which could be given again",
    damage: ["delete from credits.grants where user_id = 'ada'"],
    broken: "grant_reference"
  },
  {
    what: "an idempotency key forgotten, which could charge again",
    damage: ["delete from credits.idempotency_keys"],
    broken: "idempotency_key"
  },
  {
    what: "an idempotency key remembered of another caller",
    damage: ["update credits.idempotency_keys set caller = 'service:other'"],
    broken: "idempotency_key"
  },
  {
    what: "another key remembered",
    damage: ["update credits.idempotency_keys set key = 'other'"],
    broken: "idempotency_key"
  },
  {
    what: "a key remembered of somebody else",
    damage: ["update credits.idempotency_keys set user_id = 'ben'"],
    broken: "idempotency_key"
  },
  {
    what: "a usage that is too low",
    damage: ["update credits.usage_stats set credits_used = credits_used - 1"],
    broken: "usage_stats"
  },
  {
    what: "a usage with another count",
    damage: ["update credits.usage_stats set count = count + 1"],
    broken: "usage_stats"
  },
  { what: "a usage that is gone", damage: ["delete from credits.usage_stats"], broken: "usage_stats" },
  {
    what: "a usage that never was",
    damage: ["insert into credits.usage_stats values ('ben', '2026-03-01', 'chat', 1, 1)"],
    broken: "usage_stats"
  },
  {
    what: "a usage on another day",
    damage: ["update credits.usage_stats set day = day + 1"],
    broken: "usage_stats"
  }
])("finds $what", async ({ damage, broken }) => {
  expect(await found(db, ...damage)).toContain(broken)
})

test("says whose books are wrong and what is wrong with them", async () => {
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query(balances("held = 21"))
    const { rows } = await client.query("select * from ops.verify()")
    expect(rows).toEqual([{ invariant: "held", user_id: "ada", detail: "held 21, open reservations 20" }])
  } finally {
    await client.query("rollback")
    client.release()
  }
})

test.each([
  {
    what: "a usage that only usage_stats has",
    damage: "insert into credits.usage_stats values ('ben', '2026-03-02', 'draw', 3, 2)",
    row: {
      invariant: "usage_stats",
      user_id: "ben",
      detail: "draw on 2026-03-02: usage_stats 3 credits in 2, ledger 0 in 0"
    }
  },
  {
    what: "a usage that only the ledger has",
    damage: "delete from credits.usage_stats where user_id = 'ada'",
    row: {
      invariant: "usage_stats",
      user_id: "ada",
      detail: "chat on 2026-03-01: usage_stats 0 credits in 0, ledger 35 in 2"
    }
  },
  {
    what: "held for no hold",
    damage: "update credits.balances set held = 3 where user_id = 'ben'",
    row: { invariant: "held", user_id: "ben", detail: "held 3, open reservations 0" }
  },
  {
    what: "a commit of another amount",
    damage: "update credits.reservations set committed_amount = 4 where status = 'committed'",
    row: {
      invariant: "reservation_commit",
      user_id: "ada",
      detail: expect.stringMatching(/ says it charged 4, the ledger 5$/)
    }
  },
  {
    what: "a commit that the ledger doesn't have",
    damage: "update credits.reservations set transaction_id = uuidv7() where status = 'committed'",
    row: {
      invariant: "reservation_commit",
      user_id: "ada",
      detail: expect.stringMatching(/ says it charged 5, the ledger 0$/)
    }
  },
  {
    what: "a refund of what is no charge",
    damage: row(3, "related_transaction_id = (select id from credits.transactions where user_id = 'ada' and seq = 1)"),
    row: { invariant: "refund_cap", user_id: "ada", detail: expect.stringMatching(/ of 0 credits, refunded 10$/) }
  },
  {
    what: "a refund beyond its charge",
    damage: row(2, "amount = -9, balance_after = 91"),
    row: { invariant: "refund_cap", user_id: "ada", detail: expect.stringMatching(/ of 9 credits, refunded 10$/) }
  },
  {
    what: "a ledger without a balance",
    damage: "delete from credits.balances where user_id = 'ben'",
    row: {
      invariant: "balance_row",
      user_id: "ben",
      detail: "the ledger has rows of this user, credits.balances has none"
    }
  }
])("and in numbers: $what", async ({ damage, row: expected }) => {
  const [rows = []] = await afterDamage(db, [damage], { text: "select * from ops.verify()" })
  expect(rows.filter(({ invariant }) => invariant === expected.invariant)).toEqual([expected])
})

test("every invariant that is checked is broken by a test", async () => {
  const checks = await db.query(`
    select p.proname, p.prosrc from pg_proc p
    where p.pronamespace = 'ops'::regnamespace and p.proname ~ '^verify_'`)
  const invariants = checks.flatMap(({ prosrc }) =>
    [...prosrc.matchAll(/select\s+'([a-z_]+)'/g)].map(([, invariant]) => invariant)
  )
  expect(invariants.length).toBeGreaterThan(15)
  const folder = import.meta.dirname
  const files = (await fs.readdir(folder)).filter((file) => /^verify.*\.test\.ts$/.test(file))
  const texts = await Promise.all(files.map((file) => fs.readFile(path.join(folder, file), "utf8")))
  // As "held", or with whose books it is: `seal_head ${ada}`.
  const isNamed = (invariant: string | undefined) =>
    texts.some((text) => new RegExp(`["\`]${invariant}["\` ]`).test(text))
  expect(invariants.filter((invariant) => !isNamed(invariant))).toEqual([])
})

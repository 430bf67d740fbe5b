import * as fs from "node:fs/promises"
import type pg from "pg"
import { expect, test } from "vitest"
import { database, refusalOf } from "../support/database.ts"
import { ours } from "../support/schema.ts"

/**
 * What the tables themselves refuse, whatever a function does: every constraint that test/golden/schema.txt names is
 * broken here once, and each break names the constraint that stopped it. A new table needs a row in `rows`, a new check
 * one in `breaks`.
 */
const db = await database()

const uuid = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, "0")}`
const [id, other] = [uuid(1), uuid(2)]
const now = "2026-03-01T12:00:00Z"
const later = "2026-04-01T12:00:00Z"
const digest = `\\x${"00".repeat(32)}`

/** One row a table that keeps every rule; foreign keys aren't looked at. */
const rows: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "credits.balances": { user_id: "u", balance: 5, held: 2, total_earned: 7, total_spent: 2 },
  "credits.debts": { user_id: "u", id, purchase_id: id, kind: "incurred", amount: 5, created_at: now },
  "credits.events": { user_id: "u", type: "credits.low", data: {}, created_at: now },
  "credits.grants": { user_id: "u", reference_id: "r", reason: "r", transaction_id: id, created_at: now },
  "credits.idempotency_keys": {
    user_id: "u",
    caller: "user",
    key: "k",
    request_hash: digest,
    answer: {},
    created_at: now
  },
  "credits.operations": {
    operation: "op",
    name: "n",
    description: "d",
    category: "ai",
    app: "chat",
    credits: 1,
    unit: "u",
    sort_order: 1
  },
  "credits.packages": {
    id: "p",
    name: "n",
    description: "d",
    credits: 100,
    price_euro_cents: 100,
    sort_order: 1,
    stripe_price_id: "price_1",
    metadata: {}
  },
  "credits.purchase_disputes": {
    user_id: "u",
    purchase_id: id,
    id: "du_1",
    amount_euro_cents: 5,
    withdrawn_euro_cents: 5,
    reinstated_euro_cents: 0,
    outcome: "lost",
    created_at: now
  },
  "credits.purchase_refunds": {
    user_id: "u",
    purchase_id: id,
    id: "re_1",
    amount_euro_cents: 5,
    failed: false,
    created_at: now
  },
  "credits.purchases": {
    user_id: "u",
    id,
    package_id: "p",
    credits: 100,
    price_euro_cents: 100,
    livemode: false,
    success_url: "https://a.test",
    cancel_url: "https://a.test",
    caller: "user",
    payment_intent_id: "pi_1",
    checkout_session_id: "cs_1",
    checkout_url: "https://b.test",
    paid_at: now,
    status: "completed",
    credits_kept: 100,
    transaction_id: id,
    completed_at: now,
    created_at: now,
    updated_at: now
  },
  "credits.refund_requests": {
    user_id: "u",
    id,
    purchase_id: id,
    amount_euro_cents: 5,
    who: "Ada",
    why: "slow",
    next_attempt_at: now,
    created_at: now
  },
  "credits.reservations": {
    user_id: "u",
    id,
    status: "committed",
    amount: 5,
    reason: "r",
    caller: "user",
    expires_at: later,
    created_at: now,
    closed_at: now,
    committed_amount: 5,
    transaction_id: id,
    answer: {}
  },
  "credits.service_key_days": { key_id: id, day: "2026-03-01", spent: 1 },
  "credits.service_keys": {
    id,
    app_id: "chat",
    scopes: ["use"],
    prefix: "abcdefg1",
    hash: digest,
    daily_cap: 5,
    first_id: uuid(3),
    replaces_id: uuid(4),
    created_at: now,
    created_by: "Ada"
  },
  "credits.settings": {},
  "credits.stripe_customers": { user_id: "u", livemode: false, customer_id: "cus_1", created_at: now },
  "credits.stripe_events": {
    id: "evt_1",
    type: "t",
    created: now,
    livemode: false,
    payload: {},
    outcome: "kept",
    reason: "r",
    received_at: now
  },
  "credits.stripe_watermarks": { livemode: false, events_until: now },
  "credits.sync_charge_errors": {
    user_id: "u",
    sqlstate: "XX000",
    message: "m",
    attempts: 1,
    first_failed_at: now,
    last_failed_at: now,
    next_attempt_at: now
  },
  "credits.sync_charges": {
    user_id: "u",
    period_start: now,
    period_end: later,
    interval: "monthly",
    credits: 30,
    transaction_id: id,
    created_at: now
  },
  "credits.sync_prices": { interval: "weekly", months: 1, credits: 30, sort_order: 1 },
  "credits.sync_subscriptions": {
    user_id: "u",
    status: "active",
    interval: "monthly",
    anchor: now,
    months_paid: 1,
    next_charge_at: later,
    created_at: now,
    updated_at: now
  },
  "credits.transactions": {
    user_id: "u",
    seq: 1,
    id,
    type: "grant",
    amount: 5,
    balance_before: 0,
    balance_after: 5,
    counter_account: "promotions",
    description: "d",
    caller: "user",
    created_at: now,
    hash: digest
  },
  "credits.usage_stats": { user_id: "u", day: "2026-03-01", app_id: "chat", credits_used: 1, count: 1 },
  "gifts.gift_codes": {
    id,
    code: "0123456789AB",
    creator_id: "u",
    creator_name: "Ada",
    type: "personalized",
    status: "cancelled",
    total_credits: 5,
    target_email: "a@b.test",
    message: "m",
    expires_at: later,
    created_at: now,
    closed_at: now,
    escrow_transaction_id: id,
    return_transaction_id: id
  },
  "gifts.gift_redemptions": { gift_id: id, user_id: "u", transaction_id: id, redeemed_at: now },
  "gifts.misses": { guesser: "user u", missed_at: [now], last_missed_at: now },
  "ops.seal_heads": { user_id: "u", seal: 1, version: 1, head: digest, debt_ids: [id], debts_hash: digest },
  "ops.functions_applied": { checksum: "0".repeat(64), applied_at: now },
  "ops.seals": { seal: 1, sealed_at: now, users: 1, ledger_rows: 1, digest: "0".repeat(64) }
}

const long = (length: number) => `repeat('x', ${length})`

/** What breaks each check, as the `set` of an update of the row above. */
const breaks: Readonly<Record<string, ReadonlyArray<string>>> = {
  balances_held_check: ["held = 6"],
  balances_totals_check: ["total_earned = 8", "total_spent = 3", "balance = 6"],
  debts_amount_check: [
    "amount = 0",
    "amount = -5",
    `transaction_id = '${id}'`,
    "kind = 'cancelled'",
    `kind = 'cancelled', amount = -5, transaction_id = '${id}'`,
    "kind = 'paid', amount = -5",
    `kind = 'paid', transaction_id = '${id}'`,
    "kind = 'forgiven'"
  ],
  events_attempts_check: ["attempts = -1"],
  events_data_check: ["data = '[]'"],
  events_delivery_check: ["deliver_at = null", "delivered_at = now()", "parked_at = now()"],
  events_type_check: ["type = 'low'", "type = 'Credits.low'", "type = 'credits.low '"],
  grants_reason_check: ["reason = ''", `reason = ${long(65)}`],
  grants_reference_id_check: ["reference_id = ''", `reference_id = ${long(129)}`],
  operations_category_check: ["category = 'other'"],
  operations_credits_check: ["credits = 0", "credits = 1000001"],
  operations_operation_check: ["operation = 'Op'", "operation = ''", `operation = ${long(65)}`],
  packages_credits_check: ["credits = 0", "credits = 1000000001"],
  packages_description_check: ["description = ''", `description = ${long(501)}`],
  packages_id_check: ["id = 'P'", "id = ''", `id = ${long(65)}`],
  packages_metadata_check: ["metadata = '[]'"],
  packages_name_check: ["name = ''", `name = ${long(101)}`],
  packages_price_euro_cents_check: ["price_euro_cents = 49", "price_euro_cents = 100000000"],
  packages_stripe_price_id_check: ["stripe_price_id = 'prod_1'", "stripe_price_id = 'price_'"],
  purchase_disputes_amounts_check: [
    "amount_euro_cents = -1",
    "withdrawn_euro_cents = -1",
    "reinstated_euro_cents = -1"
  ],
  purchase_disputes_outcome_check: ["outcome = 'open'"],
  purchase_refunds_amount_check: ["amount_euro_cents = 0"],
  purchases_amounts_check: ["charge_refunded_euro_cents = -1", "refunded_euro_cents = -1", "disputed_euro_cents = -1"],
  purchases_checkout_check: [
    "checkout_url = null",
    "checkout_session_id = null",
    "success_url = null, cancel_url = null"
  ],
  purchases_credits_check: ["credits = 0, credits_kept = 0", "credits = 1000000001"],
  purchases_credits_kept_check: ["credits_kept = -1", "credits_kept = 101"],
  purchases_dispute_check: ["dispute = 'other'"],
  purchases_paid_check: [
    "transaction_id = null",
    "completed_at = null",
    "status = 'pending'",
    "paid_at = null, transaction_id = null, completed_at = null, status = 'pending'",
    "paid_at = null"
  ],
  purchases_price_euro_cents_check: ["price_euro_cents = 0", "price_euro_cents = 100000000"],
  purchases_status_check: ["status = 'lost'"],
  purchases_urls_check: ["cancel_url = null"],
  refund_requests_amount_check: ["amount_euro_cents = 0"],
  refund_requests_status_check: [
    "refund_id = 're_1'",
    "closed_at = now()",
    "next_attempt_at = null",
    "status = 'sent'",
    "status = 'sent', refund_id = 're_1', next_attempt_at = null",
    "status = 'sent', refund_id = 're_1', closed_at = now()",
    "status = 'sent', closed_at = now(), next_attempt_at = null",
    "status = 'refused', closed_at = now()",
    "status = 'refused', next_attempt_at = null",
    "status = 'refused', refund_id = 're_1', closed_at = now(), next_attempt_at = null",
    "status = 'other'"
  ],
  reservations_amount_check: ["amount = 0, committed_amount = 0", "amount = 1000000001"],
  reservations_answer_check: ["answer = null"],
  reservations_closed_check: ["closed_at = null"],
  reservations_committed_check: [
    "committed_amount = null",
    "transaction_id = null",
    "committed_amount = 0",
    "committed_amount = 6",
    "status = 'released'"
  ],
  reservations_expires_at_check: ["expires_at = created_at"],
  reservations_reason_check: ["reason = ''", `reason = ${long(201)}`],
  reservations_status_check: ["status = 'gone', answer = null, committed_amount = null, transaction_id = null"],
  seal_heads_debts_check: ["debt_ids = null", "debts_hash = null"],
  functions_applied_checksum_check: ["checksum = checksum || '0'", "checksum = repeat('A', 64)", "checksum = ''"],
  seals_digest_check: ["digest = digest || '0'", "digest = repeat('A', 64)", "digest = ''"],
  service_keys_app_id_check: ["app_id = ' x'", "app_id = 'x '", "app_id = 'ü'"],
  service_keys_created_by_check: ["created_by = ''", `created_by = ${long(129)}`],
  service_keys_daily_cap_check: ["daily_cap = 0"],
  service_keys_expires_at_check: ["expires_at = created_at - interval '1 second'"],
  service_keys_first_id_check: ["first_id = id", "replaces_id = null"],
  service_keys_prefix_check: ["prefix = 'abcdefg'", "prefix = 'abcdefg12'", "prefix = 'ABCDEFG1'"],
  service_keys_revoked_check: ["revoked_at = now()", "revoked_by = 'Ada'"],
  service_keys_scopes_check: ["scopes = '{}'", "scopes = array[null]::credits.service_scope[]"],
  settings_id_check: ["id = 2"],
  settings_low_balance_threshold_check: ["low_balance_threshold = 0", "low_balance_threshold = 1000000001"],
  stripe_customers_customer_id_check: ["customer_id = 'cus_'", "customer_id = 'acct_1'"],
  stripe_customers_email_check: ["customer_id = null, email = 'a@'", `customer_id = null, email = ${long(255)}`],
  stripe_customers_forgotten_check: ["email = 'a@b.test'"],
  stripe_events_closed_at_check: ["closed_at = now()", "outcome = 'applied', reason = null"],
  stripe_events_next_attempt_at_check: [
    "outcome = 'applied', reason = null, closed_at = now(), next_attempt_at = now()"
  ],
  stripe_events_outcome_check: ["outcome = 'lost', reason = null, closed_at = now()"],
  stripe_events_reason_check: ["reason = null"],
  sync_charge_errors_attempts_check: ["attempts = 0"],
  sync_charges_credits_check: ["credits = 0"],
  sync_charges_period_check: ["period_end = period_start"],
  sync_prices_credits_check: ["credits = 0", "credits = 1000001"],
  sync_prices_interval_check: ["interval = 'Weekly'", "interval = ''", `interval = ${long(33)}`],
  sync_prices_months_check: ["months = 0", "months = 121"],
  sync_subscriptions_anchor_check: ["anchor = anchor + interval '1 microsecond'"],
  sync_subscriptions_gift_check: [
    "gifted_by = 'Ada'",
    "gifted_at = now(), next_charge_at = null",
    "gifted_by = 'Ada', gifted_at = now(), gift_revoked_by = 'Ada', next_charge_at = null",
    "gift_revoked_by = 'Ada', gift_revoked_at = now()"
  ],
  sync_subscriptions_months_paid_check: ["months_paid = -1"],
  sync_subscriptions_next_charge_at_check: [
    "next_charge_at = null",
    "status = 'inactive'",
    "gifted_by = 'Ada', gifted_at = now()"
  ],
  sync_subscriptions_paused_check: [
    "paused_at = now()",
    "status = 'paused', next_charge_at = null",
    "status = 'paused', next_charge_at = null, paused_at = now(), paused_by = 'Ada'",
    "paused_by = 'Ada', paused_why = 'why'"
  ],
  sync_subscriptions_status_check: ["status = 'other', next_charge_at = null"],
  transactions_amount_check: [
    "amount = 0, balance_after = 0",
    "type = 'usage'",
    "type = 'clawback'",
    "type = 'expiry'",
    "type = 'grant', amount = -5, balance_before = 5, balance_after = 0",
    "type = 'purchase', amount = -5, balance_before = 5, balance_after = 0",
    "type = 'refund', amount = -5, balance_before = 5, balance_after = 0"
  ],
  transactions_balance_check: ["amount = 6", "balance_after = 6", "balance_before = 1"],
  gift_codes_closed_check: ["closed_at = null"],
  gift_codes_code_check: [
    "code = '0123456789A'",
    "code = '0123456789ABC'",
    "code = '0123456789AI'",
    "code = '0123456789ab'"
  ],
  gift_codes_creator_name_check: ["creator_name = ''", `creator_name = ${long(101)}`],
  gift_codes_expires_at_check: ["expires_at = created_at"],
  gift_codes_message_check: ["message = ''", `message = ${long(501)}`],
  gift_codes_return_check: ["return_transaction_id = null", "status = 'redeemed'"],
  gift_codes_status_check: ["status = 'lost', return_transaction_id = null"],
  gift_codes_target_email_check: [
    "target_email = null",
    "type = 'simple'",
    "target_email = 'a@'",
    `target_email = ${long(255)}`
  ],
  gift_codes_total_credits_check: ["total_credits = 0", "total_credits = 10001"],
  gift_codes_type_check: ["type = 'other', target_email = null"],
  misses_missed_at_check: ["missed_at = '{}'", "missed_at = array_fill(now(), array[31])"]
}

/** What each domain takes, and what it doesn't. */
const domains: Readonly<
  Record<string, { readonly takes: ReadonlyArray<string>; readonly not: ReadonlyArray<string> }>
> = {
  "credits.app_id": { takes: ["'x'", long(64)], not: ["''", long(65)] },
  "credits.description": { takes: ["'x'", long(500)], not: ["''", long(501)] },
  "credits.digest": { takes: ["sha256('')"], not: ["'\\x'", "sha256('') || '\\x00'"] },
  "credits.idempotency_key": { takes: ["'x'", long(255)], not: ["''", long(256)] },
  "credits.metadata": { takes: ["'{}'"], not: ["'[]'", "'null'", "'1'"] },
  "credits.seq": { takes: ["1"], not: ["0", "-1"] },
  "credits.system_account": {
    takes: ["'stripe'", "'revenue:chat'", `'a:' || ${long(64)}`],
    not: ["''", "'Stripe'", "'revenue:'", `'a:' || ${long(65)}`]
  },
  "credits.total": { takes: ["0", "9007199254740991"], not: ["-1", "9007199254740992"] },
  "credits.user_id": { takes: ["'x'", long(128)], not: ["''", long(129)] }
}

const names = async (query: string) => (await db.query(query)).map(({ name }) => String(name))

/** A session of a superuser, past triggers and foreign keys, whose every step leaves no trace. */
const alone = async <A>(f: (client: pg.PoolClient) => Promise<A>) => {
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("set local session_replication_role = replica")
    return await f(client)
  } finally {
    await client.query("rollback")
    client.release()
  }
}

const insert = (client: pg.PoolClient, table: string) => {
  const row = rows[table] ?? {}
  const columns = Object.keys(row).map((column) => `"${column}"`)
  const text =
    columns.length === 0 ? "default values" : `(${columns.join()}) select ${columns.map((c) => `r.${c}`).join()}`
  return client.query(
    `insert into ${table} ${text} ${columns.length === 0 ? "" : `from jsonb_populate_record(null::${table}, $1) r`}`,
    columns.length === 0 ? [] : [JSON.stringify(row)]
  )
}

/** The constraint (or column) that stopped a statement, by SQLSTATE; "done" if nothing did. */
const stopped = async (client: pg.PoolClient, statement: string) => {
  await client.query("savepoint before")
  const outcome = await client.query(statement).then(
    () => "done",
    (error: unknown) => {
      const { sqlstate } = refusalOf(error)
      const { constraint, column } = error instanceof Error ? { constraint: "", column: "", ...error } : {}
      return `${sqlstate} ${constraint || column}`
    }
  )
  await client.query("rollback to before")
  return outcome
}

interface Table {
  readonly name: string
  readonly notNull: ReadonlyArray<string>
  readonly checks: ReadonlyArray<string>
  readonly keys: ReadonlyArray<{ readonly name: string; readonly columns: ReadonlyArray<string> }>
  readonly references: ReadonlyArray<{ readonly name: string; readonly columns: ReadonlyArray<string> }>
}

/** What there should be; the catalog would say nothing of what is missing. */
const golden = await fs.readFile(new URL("../golden/schema.txt", import.meta.url), "utf8")

const list = (columns = "") => columns.split(", ").map((column) => column.replaceAll('"', ""))

const expected = golden
  .split("\n\n")
  .filter((part) => part.startsWith("table "))
  .map((part): Table => {
    const found = (pattern: RegExp) =>
      [...part.matchAll(pattern)].map(([, name = "", columns]) => ({ name, columns: list(columns) }))
    return {
      name: /^table (\S+),/.exec(part)?.[1] ?? "",
      notNull: found(/^ {2}(?!constraint )(\w+) (?!.* (?:identity|generated)).* not null/gm).map(({ name }) => name),
      checks: found(/^ {2}constraint (\w+) CHECK/gm).map(({ name }) => name),
      keys: found(/^ {2}(?:constraint|CREATE UNIQUE INDEX) (\w+) (?:PRIMARY KEY|UNIQUE|ON .*) \((.*?)\)/gm).filter(
        ({ name }) => !name.endsWith("_check") && !name.endsWith("_fkey")
      ),
      references: found(/^ {2}constraint (\w+) FOREIGN KEY \((.*?)\) REFERENCES/gm)
    }
  })
const tables = expected.map((table) => [table.name, table] as const)

test("the golden file was read as it is meant", () => {
  const of = (name: string) => expected.find((table) => table.name === name)
  expect(of("credits.transactions")).toEqual({
    name: "credits.transactions",
    notNull: expect.arrayContaining(["user_id", "seq", "amount", "hash"]),
    checks: ["transactions_amount_check", "transactions_balance_check"],
    keys: [
      { name: "transactions_pkey", columns: ["user_id", "seq"] },
      { name: "transactions_user_id_id_key", columns: ["user_id", "id"] }
    ],
    references: []
  })
  expect(of("credits.grants")?.references).toEqual([
    { name: "grants_transaction_id_fkey", columns: ["user_id", "transaction_id"] },
    { name: "grants_user_id_fkey", columns: ["user_id"] }
  ])
})

test("there is a row for every table", () => {
  expect(Object.keys(rows).toSorted()).toEqual(expected.map(({ name }) => name).toSorted())
})

const emptied = async (client: pg.PoolClient, table: string) => {
  await client.query(`delete from ${table}`)
  await insert(client, table)
}

test.each(tables)(
  "%s: every check refuses what it is there for, and takes what is right (23514)",
  async (table, { checks }) => {
    await alone(async (client) => {
      await emptied(client, table)
      for (const check of checks) {
        for (const set of breaks[check] ?? ["nothing breaks it"]) {
          expect(await stopped(client, `update ${table} set ${set}`), set).toBe(`23514 ${check}`)
        }
      }
    })
  }
)

test.each(tables)("%s: no column that must be there is null (23502)", async (table, { notNull }) => {
  await alone(async (client) => {
    await emptied(client, table)
    for (const column of notNull) {
      expect(await stopped(client, `update ${table} set "${column}" = null`)).toBe(`23502 ${column}`)
    }
  })
})

/** Another value of a column that is part of some key. */
const different = (column: string, type: string) =>
  ["code", "digest", "prefix"].includes(column)
    ? `translate("${column}", '0123', '1230')`
    : ({
        uuid: `'${other}'::uuid`,
        bigint: `${column} + 1`,
        integer: `${column} + 1`,
        boolean: `not ${column}`,
        bytea: `sha256(${column})`
      }[type] ??
      (type.startsWith("timestamp") || type === "date" ? `${column} + interval '1 day'` : `${column} || '1'`))

test.each(tables)("%s: every key is one (23505)", async (table, { keys }) => {
  const columns: ReadonlyArray<{ readonly name: string; readonly type: string; readonly generated: string }> =
    await db.query(
      `select a.attname as name, a.attgenerated as generated,
         format_type(case when t.typtype = 'd' then t.typbasetype else t.oid end, null) as type
       from pg_attribute a join pg_type t on t.oid = a.atttypid
       where a.attrelid = $1::regclass and a.attnum > 0 and not a.attisdropped`,
      [table]
    )
  await alone(async (client) => {
    await emptied(client, table)
    const keyed = new Set(keys.flatMap((key) => key.columns))
    for (const key of keys) {
      const written = columns.filter(({ generated }) => generated === "")
      const copied = written.map(({ name, type }) =>
        keyed.has(name) && !key.columns.includes(name) ? different(name, type) : `"${name}"`
      )
      const target = written.map(({ name }) => `"${name}"`).join()
      const copy = `insert into ${table} (${target}) overriding system value select ${copied.join()} from ${table}`
      expect(await stopped(client, copy), copy).toBe(`23505 ${key.name}`)
    }
  })
})

test.each(tables)("%s: what it refers to has to be there (23503)", async (table, { references, checks }) => {
  for (const { name, columns } of references) {
    const column = columns.at(-1) ?? ""
    await alone(async (client) => {
      await emptied(client, table)
      // Nothing else stops it.
      const others = [...checks, ...references.map((each) => each.name)].filter((each) => each !== name)
      for (const each of others) await client.query(`alter table ${table} drop constraint if exists ${each}`)
      await client.query(`alter table ${table} disable trigger user`)
      await client.query("set local session_replication_role = origin")
      const value = /(^|_)id$/.test(column) && !/^(user|package)_id$/.test(column) ? `'${other}'` : "'nobody'"
      expect(await stopped(client, `update ${table} set "${column}" = ${value}`)).toBe(`23503 ${name}`)
    })
  }
})

test("every domain takes what it is for, and nothing else (23514)", async () => {
  const found = await names(`select t.oid::regtype::text as name from pg_type t
    join pg_namespace n on n.oid = t.typnamespace where t.typtype = 'd' and ${ours} order by 1`)
  expect(Object.keys(domains).toSorted()).toEqual(found.toSorted())
  await alone(async (client) => {
    for (const [domain, { takes, not }] of Object.entries(domains)) {
      for (const value of takes) expect(await stopped(client, `select (${value})::${domain}`), value).toBe("done")
      for (const value of not) {
        expect(await stopped(client, `select (${value})::${domain}`), value).toMatch(/^23514 /)
      }
    }
  })
})

import { randomUUID } from "node:crypto"
import { expect, test } from "vitest"
import { database, refusalOf } from "../../support/database.ts"
import { invalid, keyReused, notEnough } from "../../support/refusals.ts"
import { session, unindexed } from "../../support/session.ts"

const db = await database()

const debit = { amount: 30, appId: "chat", description: "An answer" }
const useMany = async (items: unknown, more: object = {}) =>
  (await db.call("credits.use_many", { items, ...more })).results

const refused = (error: object) => ({ ok: false, error })
const taken = (userId: string, amount: number, balance: number) => ({
  ok: true,
  transaction: expect.objectContaining({ userId, amount: -amount }),
  newBalance: expect.objectContaining({ balance })
})

test("decides each item for itself and answers in the order asked", async () => {
  const rich = await db.userWith(100)
  const poor = await db.userWith(10)
  const results = await useMany([
    { userId: rich, ...debit },
    { userId: poor, ...debit },
    { userId: "unheard of", ...debit },
    { userId: rich, ...debit, amount: 0 },
    { userId: poor, ...debit, amount: 10 },
    { userId: rich, ...debit, amount: null, operation: "research_deep", quantity: 2 }
  ])
  expect(results).toEqual([
    taken(rich, 30, 70),
    refused(notEnough(30, 10)),
    refused(notEnough(30, 0)),
    refused(invalid("amount")),
    taken(poor, 10, 0),
    taken(rich, 50, 20)
  ])
  expect(await db.balanceRow("unheard of")).toBeUndefined()
})

test.each([
  { what: "an ordinary item", more: {} },
  { what: "an item with metadata", more: { metadata: { a: 1 } } },
  { what: "an item with metadata of null", more: { metadata: null } },
  { what: "an item with an operation", more: { amount: null, operation: "chat_gpt4" } },
  { what: "several units of an operation", more: { amount: null, operation: "chat_gpt4", quantity: 2 } },
  { what: "an operation with metadata", more: { amount: null, operation: "chat_gpt4", metadata: { a: 1 } } }
])("answers $what exactly as credits.use answers it", async ({ more }) => {
  const userId = await db.userWith(100)
  // A user's first is decided by the query, the second never is.
  const requests = ["first", "second"].map((idempotencyKey) => ({ userId, ...debit, ...more, idempotencyKey }))
  const answers = await useMany(requests)
  for (const [index, request] of requests.entries()) {
    const { transaction, newBalance } = answers[index]
    expect(await db.call("credits.use", request)).toEqual({ transaction, newBalance, replayed: true })
  }
})

test.each([
  { what: "a quantity without an operation", change: { quantity: 0 } },
  { what: "an amount of zero", change: { amount: 0 } },
  { what: "an amount of zero under a used key", change: { amount: 0, idempotencyKey: "used" } },
  { what: "no units of an operation", change: { amount: null, operation: "chat_gpt4", quantity: 0 } },
  { what: "a unit of an operation too many", change: { amount: null, operation: "chat_gpt4", quantity: 1_000_001 } },
  { what: "an amount beside an operation", change: { amount: 0, operation: "chat_gpt4" } }
])("judges $what as credits.use does (CR001, CR003)", async ({ change }) => {
  const one = await db.userWith(100)
  const other = await db.userWith(100)
  for (const userId of [one, other]) await db.call("credits.use", { userId, ...debit, idempotencyKey: "used" })
  const alone = await db.call("credits.use", { userId: one, ...debit, ...change }).then(() => "taken", refusalOf)
  const [item] = await useMany([{ userId: other, ...debit, ...change }])
  expect(item.ok ? "taken" : item.error).toEqual(alone)
})

test("takes the price of as many units as a debit may be of, and no more (CR001)", async () => {
  const prices = { cheap: 1, dear: 2000, odd: 52_579 }
  for (const [operation, credits] of Object.entries(prices)) {
    await db.query(
      `insert into credits.operations (operation, name, description, category, app, credits, unit, sort_order)
       values ($1, $1, $1, 'ai', 'chat', $2, 'unit', 1000)`,
      [operation, credits]
    )
  }
  const units = async (operation: string, quantity: number) => {
    const userId = await db.userWith(1_000_000_000)
    await db.call("credits.grant", { userId, amount: 1_000_000_000, reason: "test", referenceId: "as much again" })
    return useMany([{ userId, ...debit, amount: null, operation, quantity }])
  }
  expect(await units("cheap", 0)).toEqual([refused(invalid("quantity"))])
  expect(await units("cheap", 1_000_000)).toEqual([expect.objectContaining({ ok: true })])
  expect(await units("cheap", 1_000_001)).toEqual([refused(invalid("quantity"))])
  expect(await units("dear", 500_000)).toEqual([expect.objectContaining({ ok: true })])
  expect(await units("dear", 500_001)).toEqual([refused(invalid("quantity"))])
  // 1,000,000,001 credits.
  expect(await units("odd", 19_019)).toEqual([refused(invalid("quantity"))])
  await db.query("delete from credits.operations where operation = any ($1)", [Object.keys(prices)])
})

test("takes metadata of 8 KiB as PostgreSQL writes it, and no more (CR001)", async () => {
  // {"a": ""} has 9 bytes, an ä two.
  const ofBytes = (bytes: number) => ({ a: "ä".repeat((bytes - 9) >> 1) + "a".repeat((bytes - 9) % 2) })
  const [one, other] = [await db.userWith(100), await db.userWith(100)]
  const results = await useMany([
    { userId: one, ...debit, metadata: ofBytes(8192) },
    { userId: other, ...debit, metadata: ofBytes(8193) }
  ])
  expect(results).toEqual([taken(one, 30, 70), refused(invalid("metadata"))])
})

test("takes from one user several times until nothing is left", async () => {
  const userId = await db.userWith(100)
  const results = await useMany(Array.from({ length: 5 }, () => ({ userId, ...debit })))
  expect(results).toEqual([
    taken(userId, 30, 70),
    taken(userId, 30, 40),
    taken(userId, 30, 10),
    refused(notEnough(30, 10)),
    refused(notEnough(30, 10))
  ])
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 10, version: 4 })
})

test("takes once for a key that is in it twice, and refuses it for another request (CR003)", async () => {
  const userId = await db.userWith(100)
  const item = { userId, ...debit, idempotencyKey: "k" }
  const [first, again, other] = await useMany([item, item, { ...item, amount: 31 }])
  expect(first).toEqual(taken(userId, 30, 70))
  expect(again).toEqual({ ...first, replayed: true })
  expect(other).toEqual(refused(keyReused("k")))
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 70, version: 2 })
})

test("answers a replay of the whole batch with the first answers, and takes nothing", async () => {
  const userId = await db.userWith(100)
  const items = ["a", "b"].map((idempotencyKey) => ({ userId, ...debit, idempotencyKey }))
  const first = await useMany(items)
  const before = await db.books()
  expect(await useMany(items)).toEqual(first.map((result: object) => ({ ...result, replayed: true })))
  expect(await db.books()).toEqual(before)
})

test("doesn't take the credits of a hold (CR002)", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.reserve", { userId, amount: 80, reason: "a long call" })
  expect(await useMany([{ userId, ...debit }])).toEqual([refused(notEnough(30, 20))])
})

const malformed = [
  { what: "a number for an item", item: 1, path: "" },
  { what: "null for an item", item: null, path: "" },
  { what: "an array for an item", item: [], path: "" },
  { what: "nothing in it", item: {}, path: "userId" },
  { what: "a user id that is null", item: { ...debit, userId: null }, path: "userId" },
  { what: "a user id that is a number", item: { ...debit, userId: 1 }, path: "userId" },
  { what: "an empty user id", item: { ...debit, userId: "" }, path: "userId" },
  { what: "an overlong user id", item: { ...debit, userId: "u".repeat(129) }, path: "userId" },
  { what: "an amount in quotes", item: { amount: "30" }, path: "amount" },
  { what: "a fraction", item: { amount: 0.5 }, path: "amount" },
  { what: "a fraction above one", item: { amount: 1.000001 }, path: "amount" },
  { what: "1e30", item: { amount: 1e30 }, path: "amount" },
  { what: "2^53", item: { amount: 2 ** 53 }, path: "amount" },
  { what: "2^63", item: { amount: 2 ** 63 }, path: "amount" },
  { what: "zero", item: { amount: 0 }, path: "amount" },
  { what: "a negative amount", item: { amount: -1 }, path: "amount" },
  { what: "an amount of null", item: { amount: null }, path: "amount" },
  { what: "true for an amount", item: { amount: true }, path: "amount" },
  { what: "an array for an amount", item: { amount: [1] }, path: "amount" },
  { what: "no app id", item: { appId: null }, path: "appId" },
  { what: "an app id that is an object", item: { appId: {} }, path: "appId" },
  { what: "an overlong app id", item: { appId: "a".repeat(65) }, path: "appId" },
  { what: "an empty app id", item: { appId: "" }, path: "appId" },
  { what: "a description that is a number", item: { description: 5 }, path: "description" },
  { what: "an overlong description", item: { description: "d".repeat(501) }, path: "description" },
  { what: "no description", item: { description: null }, path: "description" },
  { what: "an empty description", item: { description: "" }, path: "description" },
  { what: "a key that is a number", item: { idempotencyKey: 1 }, path: "idempotencyKey" },
  { what: "an empty key", item: { idempotencyKey: "" }, path: "idempotencyKey" },
  { what: "an overlong key", item: { idempotencyKey: "k".repeat(256) }, path: "idempotencyKey" },
  { what: "metadata that is an array", item: { metadata: [] }, path: "metadata" },
  { what: "metadata that is text", item: { metadata: "text" }, path: "metadata" },
  { what: "metadata that is too much", item: { metadata: { a: "x".repeat(8200) } }, path: "metadata" },
  { what: "an operation and an amount", item: { operation: "chat_gpt4" }, path: "amount" },
  { what: "an operation that isn't text", item: { amount: null, operation: 1 }, path: "operation" },
  { what: "an unknown operation", item: { amount: null, operation: "flying" }, path: "operation" },
  { what: "a quantity in quotes", item: { amount: null, operation: "chat_gpt4", quantity: "2" }, path: "quantity" },
  { what: "half a unit", item: { amount: null, operation: "chat_gpt4", quantity: 0.5 }, path: "quantity" },
  { what: "a unit and a half", item: { amount: null, operation: "chat_gpt4", quantity: 1.5 }, path: "quantity" },
  { what: "1e30 units", item: { amount: null, operation: "chat_gpt4", quantity: 1e30 }, path: "quantity" }
]

test("refuses each malformed item alone, and takes the ones around it (CR001)", async () => {
  const userId = await db.userWith(malformed.length + 1)
  const good = { userId, amount: 1, appId: "chat", description: "fine" }
  const items = malformed.flatMap(({ item }) => [
    item !== null && typeof item === "object" && !Array.isArray(item) && Object.keys(item).length > 0
      ? { userId, ...debit, ...item }
      : item,
    good
  ])
  const results = await useMany(items)
  malformed.forEach(({ what, path }, index) => {
    expect(results[2 * index], what).toEqual(refused(invalid(path)))
    expect(results[2 * index + 1], `after ${what}`).toMatchObject({ ok: true })
  })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 1 })
})

test("refuses each malformed item of a user who asks for nothing else, too (CR001)", async () => {
  const items = await Promise.all(
    malformed.map(async ({ item }) =>
      item !== null && typeof item === "object" && !Array.isArray(item) && Object.keys(item).length > 0
        ? { userId: await db.userWith(100), ...debit, ...item }
        : item
    )
  )
  const before = await db.books()
  const results = await useMany(items)
  malformed.forEach(({ what, path }, index) => expect(results[index], what).toEqual(refused(invalid(path))))
  expect(await db.books()).toEqual(before)
})

test("takes no number for a user id, though a user is called so (CR001)", async () => {
  await db.call("credits.grant", { userId: "7", amount: 100, reason: "test", referenceId: "r" })
  expect(await useMany([{ ...debit, userId: 7 }])).toEqual([refused(invalid("userId"))])
  expect(await db.balanceRow("7")).toMatchObject({ balance: 100 })
})

test("a key is its user's and caller's own, however many others have the same", async () => {
  for (let user = 0; user < 3; user++) {
    const userId = await db.userWith(100)
    expect(await useMany([{ userId, ...debit, idempotencyKey: "everybody's" }])).toEqual([taken(userId, 30, 70)])
  }
  const userId = await db.userWith(100)
  const item = { userId, ...debit, idempotencyKey: "every caller's" }
  for (const [index, caller] of ["service:a", "service:b", "service:c"].entries()) {
    expect(await useMany([item], { caller })).toEqual([taken(userId, 30, 70 - 30 * index)])
  }
})

test("what isn't the item's fault ends the whole call, and nothing of it is written", async () => {
  const [one, two] = [await db.userWith(100), await db.userWith(100)]
  const items = [
    { userId: one, ...debit },
    { userId: two, ...debit },
    { userId: two, ...debit, amount: null, operation: "chat_gpt4" }
  ]
  await db.query("alter function credits.price(text, bigint) rename to lost")
  try {
    expect(await db.refused("credits.use_many", { items })).toMatchObject({ sqlstate: "42883" })
  } finally {
    await db.query("alter function credits.lost(text, bigint) rename to price")
  }
  expect(await db.balanceRow(one)).toMatchObject({ balance: 100 })
})

test("locks the balances it needs, in order, and no others", async () => {
  // They lie in the table in the order of their making.
  const [last, first, stranger] = ["in-order-z", "in-order-a", "in-order-s"]
  for (const userId of [last, first, stranger]) {
    await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "r" })
  }
  const [holder, elsewhere] = [await session(db), await session(db)]
  await elsewhere.query("begin")
  await elsewhere.call("credits.use", { userId: stranger, ...debit })
  await holder.query("begin")
  await holder.call("credits.use", { userId: first, ...debit })
  const batch = await unindexed(db)
  const answer = batch.call("credits.use_many", {
    items: [
      { userId: last, ...debit },
      { userId: first, ...debit }
    ]
  })
  await batch.waitsFor(holder)
  // Waiting for the first, it doesn't keep the last from anybody.
  await db.call("credits.use", { userId: last, ...debit })
  await holder.query("commit")
  expect(await answer).toEqual({ results: [taken(last, 30, 40), taken(first, 30, 40)] })
})

test("says whose balance it takes below the threshold, and nobody else's", async () => {
  await db.query("update credits.settings set low_balance_threshold = 70")
  const cases = [
    { has: 100, takes: 30, isSaid: false },
    { has: 100, takes: 31, isSaid: true },
    { has: 70, takes: 1, isSaid: true },
    { has: 69, takes: 1, isSaid: false }
  ]
  const userIds = await Promise.all(cases.map(({ has }) => db.userWith(has)))
  await useMany(cases.map(({ takes }, index) => ({ userId: userIds[index], ...debit, amount: takes })))
  await db.query("update credits.settings set low_balance_threshold = null")
  const rows = await db.query("select user_id from credits.events where type = 'credits.low_balance'")
  const said = new Set(rows.map(({ user_id }) => user_id))
  expect(userIds.map((userId) => said.has(userId))).toEqual(cases.map(({ isSaid }) => isSaid))
})

test("answers in the order asked, whatever order the rows come in", async () => {
  const merging = await session(db)
  for (const join of ["hashjoin", "nestloop"]) await merging.query(`set enable_${join} = off`)
  const userIds = ["asked-c", "asked-a", "asked-b"]
  for (const userId of userIds) {
    await db.call("credits.grant", { userId, amount: 100, reason: "test", referenceId: "r" })
  }
  expect(await merging.call("credits.use_many", { items: userIds.map((userId) => ({ userId, ...debit })) })).toEqual({
    results: userIds.map((userId) => taken(userId, 30, 70))
  })
})

test("a batch of strangers waits for a balance no longer than 50 ms (55P03)", async () => {
  const holder = await session(db)
  const userId = await db.userWith(100)
  await holder.query("begin")
  await holder.call("credits.use", { userId, ...debit })
  const items = [{ userId, ...debit, caller: "user" }]
  const since = performance.now()
  expect(await db.refused("credits.use_many", { items, caller: null })).toMatchObject({ sqlstate: "55P03" })
  // Its own limit, not the test server's of 15 seconds.
  expect(performance.now() - since).toBeLessThan(5000)
})

test("takes what is just within every limit, alone or again for the same user", async () => {
  const userId = "u".repeat(128)
  for (const referenceId of ["a", "b", "c", "d"]) {
    await db.call("credits.grant", { userId, amount: 1_000_000_000, reason: "test", referenceId })
  }
  const longest = { userId, amount: 1_000_000_000, appId: "a".repeat(64), description: "d".repeat(500) }
  const results = await useMany([
    { ...longest, idempotencyKey: "k".repeat(255) },
    { ...longest, idempotencyKey: "l".repeat(255) }
  ])
  expect(results).toEqual([taken(userId, 1_000_000_000, 3_000_000_000), taken(userId, 1_000_000_000, 2_000_000_000)])
  expect(await useMany([{ ...longest, amount: 1_000_000_001 }])).toEqual([refused(invalid("amount"))])
})

test("doesn't take from an account that is opened while it waits for another's lock", async () => {
  const [holder, opener] = [await session(db), await session(db)]
  const userId = await db.userWith(100)
  await holder.query("begin")
  await holder.call("credits.use", { userId, ...debit })
  const batch = await session(db)
  const answer = batch.call("credits.use_many", {
    items: [
      { userId, ...debit },
      { userId: "opened meanwhile", ...debit }
    ]
  })
  await batch.waitsFor(holder)
  await opener.call("credits.grant", { userId: "opened meanwhile", amount: 100, reason: "test", referenceId: "r" })
  await holder.query("commit")
  expect(await answer).toEqual({ results: [taken(userId, 30, 40), refused(notEnough(30, 0))] })
  expect(await db.balanceRow("opened meanwhile")).toMatchObject({ balance: 100 })
})

test("reads a whole number however JSON writes it", async () => {
  const userId = await db.userWith(100)
  const items = ["2.0", "1e1", "30"].map(
    (amount) => `{"userId": "${userId}", "amount": ${amount}, "appId": "chat", "description": "d"}`
  )
  expect(await useMany(`[${items.join()}]`)).toEqual([
    taken(userId, 2, 98),
    taken(userId, 10, 88),
    taken(userId, 30, 58)
  ])
})

test.each([
  { what: "null", items: null },
  { what: "JSON's null", items: "null" },
  { what: "an object", items: { items: [] } },
  { what: "text", items: '"text"' },
  { what: "no items", items: [] },
  { what: "1001 items", items: Array.from({ length: 1001 }, () => ({ userId: "u", ...debit })) }
])("refuses $what (CR001)", async ({ items }) => {
  expect(await db.refused("credits.use_many", { items })).toEqual(invalid("items"))
})

test("can't be called with a NUL in it", async () => {
  const userId = await db.userWith(100)
  const items = [
    { userId, ...debit },
    { userId, ...debit, description: "a\u0000b" }
  ]
  expect(await db.refused("credits.use_many", { items })).toMatchObject({ sqlstate: "22P05" })
})

test("takes 1000 items of 100 users in one transaction", async () => {
  const userIds = Array.from({ length: 100 }, (_each, index) => `many-${index}`)
  for (const userId of userIds) {
    await db.call("credits.grant", { userId, amount: 9, reason: "test", referenceId: "r" })
  }
  const items = Array.from({ length: 1000 }, (_each, index) => ({
    userId: `many-${index % 100}`,
    amount: 1,
    appId: "chat",
    description: "one of many",
    idempotencyKey: randomUUID()
  }))
  const results = await useMany(items)
  expect(results.slice(0, 900).every((result: { readonly ok: boolean }) => result.ok)).toBe(true)
  expect(results.slice(900)).toEqual(Array.from({ length: 100 }, () => refused(notEnough(1, 0))))
  expect(
    await db.query(
      "select count(distinct xmin::text) as transactions from credits.idempotency_keys where user_id ~ 'many-'"
    )
  ).toEqual([{ transactions: 1 }])
})

const callersOf = async (userId: string) => {
  const rows = await db.query("select caller from credits.transactions where user_id = $1 and type = 'usage'", [userId])
  return rows.map(({ caller }) => caller)
}

test("without a caller each item names its own, and CR001 refuses one that names none", async () => {
  const userId = await db.userWith(10)
  const item = { userId, amount: 1, appId: "chat", description: "one" }
  const results = await useMany([{ ...item, caller: "user" }, item, { ...item, caller: 7 }], { caller: null })
  expect(results).toMatchObject([
    { ok: true },
    { ok: false, error: { sqlstate: "CR001", detail: { issues: [{ path: "caller" }] } } },
    { ok: false, error: { sqlstate: "CR001", detail: { issues: [{ path: "caller" }] } } }
  ])
  expect(await callersOf(userId)).toEqual(["user"])

  const alone = await Promise.all(
    [undefined, null, 7, ["user"]].map(async (caller) => ({ caller, id: await db.userWith(10) }))
  )
  const nameless = await useMany(
    alone.map(({ caller, id }) => ({ ...item, userId: id, caller })),
    { caller: null }
  )
  expect(nameless).toEqual(alone.map(() => refused(invalid("caller"))))
})

test("with a caller an item's own counts for nothing", async () => {
  const userId = await db.userWith(10)
  const item = { userId, amount: 1, appId: "chat", description: "one", caller: "user" }
  expect(await useMany([item], { caller: "service:a" })).toMatchObject([{ ok: true }])
  expect(await callersOf(userId)).toEqual(["service:a"])
})

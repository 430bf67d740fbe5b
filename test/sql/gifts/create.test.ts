import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { daysAfter, events, given, movements } from "../../support/gifts.ts"
import { badTexts, invalid, keyReused, notEnough } from "../../support/refusals.ts"
import { session } from "../../support/session.ts"

const db = await database()

test("takes the credits into escrow at once and answers with the gift", async () => {
  const userId = await db.userWith(100)
  const gift = await db.call("gifts.create", {
    userId,
    totalCredits: 30,
    message: "Happy birthday",
    creatorName: "Ann"
  })
  expect(gift).toEqual({
    id: expect.stringMatching(/^[0-9a-f]{8}-[0-9a-f]{4}-7/),
    code: expect.stringMatching(/^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/),
    type: "simple",
    status: "active",
    totalCredits: 30,
    redeemed: false,
    targetEmail: null,
    message: "Happy birthday",
    expiresAt: daysAfter(gift.createdAt, 90).toISOString(),
    createdAt: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/),
    closedAt: null,
    newBalance: 70
  })
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 70, total_spent: 30, version: 2 })
  expect(await movements(db, gift.id)).toEqual([{ user_id: userId, amount: -30 }])
})

test("tells of it, but not the code", async () => {
  const { creatorId, gift } = await given(db, 30, { targetEmail: "ben@example.org" })
  const told = await events(db, creatorId)
  expect(told).toEqual([
    {
      type: "gift.created",
      data: {
        giftId: gift.id,
        type: "personalized",
        credits: 30,
        expiresAt: gift.expiresAt,
        transactionId: expect.any(String)
      }
    }
  ])
})

test("keeps the code where people who read tables can't see it", async () => {
  const { gift, creatorId } = await given(db, 30, { idempotencyKey: "k" })
  const code = gift.code.replaceAll("-", "")
  const stored = await db.query("select id, code from gifts.gift_codes where creator_id = $1", [creatorId])
  expect(stored).toEqual([{ id: gift.id, code }])
  for (const role of ["mana_readonly", "mana_ops"] as const) {
    const pool = db.poolAs(role)
    expect((await pool.query("select id from gifts.gift_codes where creator_id = $1", [creatorId])).rowCount).toBe(1)
    await expect(pool.query("select code from gifts.gift_codes")).rejects.toMatchObject({ code: "42501" })
    for (const table of ["transactions", "idempotency_keys", "events"]) {
      const { rows } = await pool.query(`select string_agg(t::text, ' ') as everything from credits.${table} t`)
      expect(rows[0].everything, table).toContain(gift.id)
      expect(rows[0].everything.replaceAll("-", ""), table).not.toContain(code)
    }
  }
})

test("makes a personalized gift for an address, said or not", async () => {
  const targetEmail = "  Ben.Meier@Example.ORG\n"
  for (const type of ["personalized", undefined]) {
    const { gift } = await given(db, 10, { type, targetEmail })
    expect(gift).toMatchObject({ type: "personalized", targetEmail: "ben.meier@example.org" })
  }
})

test("takes an address of 254 characters", async () => {
  const targetEmail = `${"b".repeat(242)}@example.org`
  expect((await given(db, 10, { targetEmail })).gift).toMatchObject({ targetEmail })
})

test("lets a gift end after 1 to 366 days of 24 hours", async () => {
  const now = new Date("2026-03-28T12:00:00Z") // the clocks go forward in Europe the night after
  for (const expirationDays of [1, 366]) {
    const { gift } = await given(db, 1, { expirationDays, now })
    expect(gift.expiresAt).toBe(daysAfter(now, expirationDays).toISOString())
  }
})

test("takes 10,000 credits, and 500 characters of four bytes", async () => {
  const message = "𝄞".repeat(500)
  expect((await given(db, 10_000, { message })).gift).toMatchObject({ totalCredits: 10_000, message })
})

test("keeps the message as typed, blanks around it aside; nothing but blanks is no message", async () => {
  expect((await given(db, 1, { message: " <script>\n\n& so on\n" })).gift.message).toBe("<script>\n\n& so on")
  expect((await given(db, 1, { message: " \n" })).gift.message).toBeNull()
})

test.each([
  { what: "blanks", creatorName: "  ", shown: null },
  { what: "an e-mail address", creatorName: "ann@example.org", shown: null },
  { what: "an e-mail address among words", creatorName: "Ann <ann@example.org>", shown: null },
  { what: "a name with blanks around it", creatorName: " Ann \n", shown: "Ann" },
  { what: "a name that turns words around", creatorName: "\u202eAnn\u2066\n", shown: "Ann" },
  { what: "a very long name", creatorName: "A".repeat(200), shown: "A".repeat(100) }
])("shows no more than a name where the name is $what", async ({ creatorName, shown }) => {
  const { gift } = await given(db, 1, { creatorName })
  expect((await db.call("gifts.look_up", { code: gift.code })).gift.creatorName).toBe(shown)
})

test("gives a replay the first answer, code and all, and takes nothing", async () => {
  const userId = await db.userWith(30)
  const request = { userId, totalCredits: 30, targetEmail: "ben@example.org", idempotencyKey: "k" }
  const first = await db.call("gifts.create", request)
  const before = await db.books()
  const again = await db.call("gifts.create", { ...request, type: "personalized", targetEmail: " BEN@example.org" })
  expect(again).toEqual({ ...first, replayed: true })
  expect(await db.books()).toEqual(before)
})

test.each([
  { what: "another amount", change: { totalCredits: 11 } },
  { what: "another message", change: { message: "Hi" } },
  { what: "an address", change: { targetEmail: "ben@example.org" } },
  { what: "another expiry", change: { expirationDays: 30 } }
])("refuses a key for $what (CR003)", async ({ change }) => {
  const userId = await db.userWith(100)
  const request = { userId, totalCredits: 10, idempotencyKey: "k" }
  await db.call("gifts.create", request)
  expect(await db.refused("gifts.create", { ...request, ...change })).toEqual(keyReused("k"))
})

test("makes one gift of many calls with one key at once", async () => {
  const userId = await db.userWith(100)
  const request = { userId, totalCredits: 10, idempotencyKey: "k" }
  const answers = await Promise.all(Array.from({ length: 20 }, () => db.call("gifts.create", request)))
  expect(new Set(answers.map((answer) => answer.code)).size).toBe(1)
  expect(answers.filter((answer) => answer.replayed !== true)).toHaveLength(1)
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 90 })
})

test("gives no more than can be spent (CR002)", async () => {
  const userId = await db.userWith(100)
  await db.call("credits.reserve", { userId, amount: 80, reason: "a long call" })
  expect(await db.refused("gifts.create", { userId, totalCredits: 21 })).toEqual(notEnough(21, 20))
  expect(await db.call("gifts.create", { userId, totalCredits: 20 })).toMatchObject({ newBalance: 0 })
  expect(await db.refused("gifts.create", { userId: "unheard of", totalCredits: 1 })).toEqual(notEnough(1, 0))
})

test("waits for a gift under way, and gives no more than it left (CR002)", async () => {
  const userId = await db.userWith(10)
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("gifts.create", { userId, totalCredits: 6 })
  const second = b.call("gifts.create", { userId, totalCredits: 6 })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await second).toEqual(notEnough(6, 4))
})

test("takes ten gifts at once from a balance for seven", async () => {
  const userId = await db.userWith(70)
  const outcomes = await Promise.allSettled(
    Array.from({ length: 10 }, () => db.call("gifts.create", { userId, totalCredits: 10 }))
  )
  expect(outcomes.filter(({ status }) => status === "fulfilled")).toHaveLength(7)
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 0 })
})

test.each([
  { path: "totalCredits", change: { totalCredits: null } },
  { path: "totalCredits", change: { totalCredits: 0 } },
  { path: "totalCredits", change: { totalCredits: -5 } },
  { path: "totalCredits", change: { totalCredits: 10_001 } },
  { path: "type", change: { type: "secret" } },
  { path: "targetEmail", change: { type: "personalized" } },
  { path: "targetEmail", change: { type: "personalized", targetEmail: "  " } },
  { path: "targetEmail", change: { type: "simple", targetEmail: "ben@example.org" } },
  { path: "targetEmail", change: { targetEmail: "ben" } },
  { path: "targetEmail", change: { targetEmail: "ben meier@example.org" } },
  { path: "targetEmail", change: { targetEmail: "ben@example@org" } },
  { path: "targetEmail", change: { targetEmail: `${"b".repeat(243)}@example.org` } },
  { path: "expirationDays", change: { expirationDays: null } },
  { path: "expirationDays", change: { expirationDays: 0 } },
  { path: "expirationDays", change: { expirationDays: 367 } },
  { path: "message", change: { message: "𝄞".repeat(501) } },
  { path: "idempotencyKey", change: { idempotencyKey: "" } },
  ...badTexts(128).map(({ text }) => ({ path: "userId", change: { userId: text } }))
])("refuses a bad $path: $change (CR001)", async ({ path, change }) => {
  const userId = await db.userWith(20_000)
  expect(await db.refused("gifts.create", { userId, totalCredits: 10, ...change })).toEqual(invalid(path))
})

test("draws again when a code is taken, five times at most", async () => {
  const { gift } = await given(db, 10)
  const taken = gift.code.replaceAll("-", "")
  const userId = await db.userWith(20)
  const [{ source }] = await db.query("select pg_get_functiondef('gifts.new_code()'::regprocedure) as source")
  try {
    await db.query("create sequence public.draws; grant usage on sequence public.draws to mana_owner")
    await db.query(`
      create or replace function gifts.new_code() returns text language sql volatile
      return case when nextval('public.draws') < 5 then '${taken}' else 'ZZZZZZZZZZZZ' end`)
    expect(await db.call("gifts.create", { userId, totalCredits: 10 })).toMatchObject({ code: "ZZZZ-ZZZZ-ZZZZ" })
    await db.query("alter sequence public.draws restart")
    await db.query(`create or replace function gifts.new_code() returns text language sql return '${taken}'`)
    expect(await db.refused("gifts.create", { userId, totalCredits: 10 })).toMatchObject({ sqlstate: "P0001" })
  } finally {
    await db.query(source)
    await db.query("drop sequence public.draws")
  }
})

import { beforeEach, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { session } from "../../support/session.ts"
import { after, hours, only, outbox, start, types } from "./outbox.ts"

const db = await database()
const { emit, claim, delivered, failed, row } = outbox(db)

beforeEach(async () => {
  await db.query("delete from credits.events")
})

test("a failed delivery holds back only that user's later events", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two")
  await emit("bob", "a.one")
  await emit("bob", "a.two")
  const claimed = await claim(0)
  await failed(only(claimed.filter(({ userId }) => userId === "ann")), 1)
  await delivered(only(claimed.filter(({ userId }) => userId === "bob")), 1)
  expect(types(await claim(2))).toEqual(["bob a.two"])
  expect(types(await claim(11))).toEqual(["ann a.one"])
})

test("it is tried again after longer and longer, up to three days, then parked; the user's next one goes on", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two", after(1 * hours))
  let clock = 0
  const waits: Array<number> = []
  for (;;) {
    const event = only(await claim(clock))
    expect(event).toMatchObject({ type: "a.one", attempt: waits.length + 1 })
    const { nextAttemptAt } = await failed(event, clock)
    if (nextAttemptAt === null) break
    const next = (new Date(nextAttemptAt).getTime() - start.getTime()) / 1000
    expect(await claim(next - 1)).toEqual([])
    waits.push(next - clock)
    clock = next
  }
  expect(waits.slice(0, 8)).toEqual([10, 30, 90, 270, 810, 2430, 7290, 6 * hours])
  expect(Math.max(...waits)).toBe(6 * hours)
  expect(clock).toBe(72 * hours)
  expect(await db.rows("ops.parked_events", {}, "mana_readonly")).toMatchObject([
    {
      user_id: "ann",
      type: "a.one",
      last_error: "HTTP 500",
      attempts: waits.length + 1,
      parked_at: after(72 * hours)
    }
  ])

  // The next one has stood behind it for 71 hours; its three days are over an hour later, not three days later.
  const next = only(await claim(72 * hours))
  expect(next).toMatchObject({ type: "a.two", attempt: 1 })
  expect(await failed(next, 72 * hours)).toMatchObject({ parked: false })
  expect(await failed(only(await claim(74 * hours)), 74 * hours)).toMatchObject({ parked: true })
})

test("what was delivered meanwhile stays delivered", async () => {
  await emit("ann", "a.one")
  const event = only(await claim(0))
  await delivered(event, 1)
  expect(await failed(event, 2)).toEqual({ parked: false, nextAttemptAt: null })
  expect(await row(event)).toMatchObject({ delivered_at: after(1), last_error: null })
  expect(await claim(100 * hours)).toEqual([])
})

test("says nothing of anybody else's event, nor of one that nobody has claimed", async () => {
  await emit("ann", "a.one")
  const [unclaimed] = await db.query("select * from credits.events")
  const nothing = { parked: false, nextAttemptAt: null }
  expect(await db.call("events.failed", { userId: "ann", id: unclaimed.id, error: "HTTP 500" })).toEqual(nothing)
  expect(await db.query("select * from credits.events")).toEqual([unclaimed])

  const event = only(await claim(0))
  const claimed = await row(event)
  expect(await failed({ ...event, userId: "bob" }, 1)).toEqual(nothing)
  expect(await row(event)).toEqual(claimed)
})

test("is said of one user's events one at a time, whichever they are; of another user's at once", async () => {
  for (const userId of ["ann", "ann", "bob"]) await emit(userId, "a.one")
  const [event, other] = await claim(0)
  const say = { userId: "ann", id: event?.id, error: "HTTP 500", now: after(1) }
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("events.failed", { ...say, error: "HTTP 500" })
  await db.call("events.failed", { ...say, userId: "bob", id: other?.id })
  const later = b.call("events.failed", { ...say, id: 0 })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await later).toEqual({ parked: false, nextAttemptAt: null })
})

test("says nothing of a later event of the user that is on its way, when an earlier one is sent again", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two")
  const first = only(await claim(0))
  await delivered(first, 1)
  const second = only(await claim(1))
  await db.rows("ops.replay_event", { userId: "ann", id: first.id, now: after(2) }, "mana_ops")
  const again = only(await claim(2))
  expect(again.id).toBe(first.id)
  const before = await row(second)
  await failed(again, 3)
  expect(await row(second)).toEqual(before)
})

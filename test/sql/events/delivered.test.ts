import { beforeEach, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { session } from "../../support/session.ts"
import { after, hours, only, outbox } from "./outbox.ts"

const db = await database()
const { emit, claim, delivered, row } = outbox(db)

beforeEach(async () => {
  await db.query("delete from credits.events")
})

test("says it was taken; may be said twice, the first time stays", async () => {
  await emit("ann", "a.one")
  const event = only(await claim(0))
  expect(await delivered(event, 1)).toEqual({ delivered: true })
  expect(await delivered(event, 2)).toEqual({ delivered: true })
  expect(await row(event)).toMatchObject({ delivered_at: after(1), deliver_at: null })
  expect(await claim(100 * hours)).toEqual([])
})

test("said a second time, it doesn't wake an event that is on its way", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two")
  const first = only(await claim(0))
  await delivered(first, 1)
  const second = only(await claim(1))
  await delivered(first, 2)
  expect(await claim(3)).toEqual([])
  expect(await row(second)).toMatchObject({ attempts: 1 })
})

test("says nothing of anybody else's event", async () => {
  await emit("ann", "a.one")
  const event = only(await claim(0))
  const before = await row(event)
  await delivered({ ...event, userId: "bob" }, 1)
  expect(await row(event)).toEqual(before)
})

test("wakes the user's next event, and not those behind it", async () => {
  await emit("ann", "a.one")
  await emit("ann", "a.two")
  await emit("ann", "a.three")
  await delivered(only(await claim(0)), 1)
  const due = await db.query("select type, deliver_at from credits.events order by id")
  expect(due).toEqual([
    { type: "a.one", deliver_at: null },
    { type: "a.two", deliver_at: after(1) },
    { type: "a.three", deliver_at: after(60) }
  ])
})

test("is said of one user's events one at a time, whichever they are; of another user's at once", async () => {
  for (const userId of ["ann", "ann", "bob"]) await emit(userId, "a.one")
  const [event, other] = await claim(0)
  const say = { userId: "ann", id: event?.id, now: after(1) }
  const [a, b] = [await session(db), await session(db)]
  await a.query("begin")
  await a.call("events.failed", { ...say, error: "HTTP 500" })
  await db.call("events.delivered", { ...say, userId: "bob", id: other?.id })
  const later = b.call("events.delivered", { ...say, id: 0 })
  await b.waitsFor(a)
  await a.query("commit")
  expect(await later).toEqual({ delivered: true })
})

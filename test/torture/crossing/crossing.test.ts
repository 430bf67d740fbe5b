import { expect, test } from "vitest"
import { authService, serviceKey, startService } from "../../http/support.ts"
import { database } from "../../support/database.ts"
import { crossing } from "./crossing.ts"

const db = await database()
// 56 other clients stand in front of the same accounts: on a slow machine a request may wait long for its turn, and a
// 503 for that is no deadlock.
const service = await startService(db, await authService(), { connectTimeout: "30 seconds" })

test("64 clients cross each other on 4 accounts for a while: no deadlock", { timeout: 60_000 }, async () => {
  const seed = Number(process.env["MANA_TEST_SEED"] ?? Date.now() % 1_000_000)
  const { facts, wrong } = await crossing(db, {
    ...{ seed, milliseconds: 2000, kinds: 30, accounts: 4, clients: 64, throughHttp: 8 },
    door: { url: service.url, serviceKey },
    say: () => undefined
  })
  expect(wrong, `MANA_TEST_SEED=${seed}`).toEqual([])
  expect(facts["kinds of call"]).toBeGreaterThan(30)
})

import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { given, nobodysCode } from "../support/gifts.ts"
import { freePort, severalStarts, start } from "../support/program.ts"

const db = await database()

const serving = async () => {
  const port = await freePort()
  const program = start(["serve"], {
    DATABASE_URL: db.urlAs("mana_service"),
    MANA_AUTH_URL: "http://127.0.0.1:1",
    MANA_SERVICE_KEY: "a-service-key",
    RUN_WORKER: "false",
    HOST: "127.0.0.1",
    PORT: String(port)
  })
  await program.says('"listening"')
  return { ...program, origin: `http://127.0.0.1:${port}` }
}

test("two processes count the same guesser's misses together", { timeout: severalStarts }, async () => {
  const services = await Promise.all([serving(), serving()])
  const { gift } = await given(db, 10)
  const ask = async (origin: string, code: string) => (await fetch(`${origin}/api/v1/gifts/${code}`)).status
  const missed = await Promise.all(
    services.flatMap(({ origin }) => Array.from({ length: 20 }, () => ask(origin, nobodysCode)))
  )
  expect(missed.filter((status) => status === 404)).toHaveLength(30)
  expect(missed.filter((status) => status === 429)).toHaveLength(10)
  expect(await Promise.all(services.map(({ origin }) => ask(origin, gift.code)))).toEqual([429, 429])
  for (const service of services) service.signal("SIGTERM")
  expect(await Promise.all(services.map(({ ended }) => ended))).toEqual([0, 0])
})

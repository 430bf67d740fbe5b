/**
 * The faults of `npm run torture` for a few seconds each, one after the other on one stage, with clients at work all the
 * while and one reckoning at the end.
 */
import * as path from "node:path"
import { afterAll, beforeAll, expect, test } from "vitest"
import { type Archive, backUp, makeArchive } from "./backup.ts"
import { cutConnections } from "./cut-connections.ts"
import { deployNext } from "./deploy.ts"
import { exhaustPool } from "./exhaust-pool.ts"
import { freezePostgres } from "./freeze-postgres.ts"
import { fillDisk, smallDisk, smallSettings } from "./full-disk.ts"
import { killPostgres } from "./kill-postgres.ts"
import { killService } from "./kill-service.ts"
import { reckon, type Trouble } from "./load.ts"
import { prepare } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"

const seed = Number(process.env["TORTURE_SEED"] ?? Date.now() % 1_000_000)
console.log(`torture: TORTURE_SEED=${seed}`)

const { task, end } = await prepare({ seed, milliseconds: 20_000, say: () => undefined })
const disk = await smallDisk(task, 400)
let archive: Archive
let stage: Stage
let clients: ReturnType<Stage["startClients"]>

beforeAll(async () => {
  archive = await makeArchive(task)
  stage = await openStage(task, {
    proxied: true,
    ...(disk.folder === undefined ? {} : { dataDir: path.join(disk.folder, "data") }),
    settings: [...smallSettings, ...archive.settings, "max_connections=60"]
  })
  clients = stage.startClients(2, 6)
}, 60_000)
afterAll(async () => {
  const wrong = await end()
  if (wrong.length > 0) throw new Error(wrong.join("\n"))
}, 60_000)

/** What went wrong, or how often the trouble happened. */
const outcome = ({ facts, wrong = [] }: Trouble, what: string) => (wrong.length > 0 ? wrong : Number(facts[what]))

const slow = { timeout: 60_000 }

test("PostgreSQL is killed", slow, async () => {
  const trouble = await killPostgres(stage, 0, { work: 500, away: 300, atLeast: 1 })
  expect(outcome(trouble, "kills of PostgreSQL")).toBeGreaterThan(0)
})

test("the service is killed between commit and answer", slow, async () => {
  const trouble = await killService(stage, 0, 1)
  expect(outcome(trouble, "retries that got the first answer")).toBeGreaterThan(0)
})

test("PostgreSQL stands still", slow, async () => {
  const trouble = await freezePostgres(stage, 1, { frozen: 1, work: 300 })
  expect(outcome(trouble, "times PostgreSQL stood still")).toBeGreaterThan(0)
})

test("connections are cut", slow, async () => {
  const trouble = await cutConnections(stage, 0, { share: 0.1, atLeast: 5 })
  expect(outcome(trouble, "connections cut in the middle of a statement")).toBeGreaterThan(0)
})

test("no connection is free", slow, async () => {
  const trouble = await exhaustPool(stage, 1, { most: 400 })
  expect(outcome(trouble, "times somebody else took every connection")).toBeGreaterThan(0)
})

// Mounting takes root on Linux; whoever tests as somebody else has the long version in a container.
test.skipIf(disk.folder === undefined)("the disk is full", slow, async () => {
  const { folder = "" } = disk
  const trouble = await fillDisk(stage, folder, 1, { full: 800, work: 200 })
  expect(outcome(trouble, "times the disk was full")).toBeGreaterThan(0)
})

test("a backup is taken, and restored to a point in time", slow, async () => {
  const trouble = await backUp(stage, archive, { milliseconds: 1, work: 300 })
  expect(outcome(trouble, "acknowledged before the points, all there")).toBeGreaterThan(50)
})

test("the next version comes, and both are at work", slow, async () => {
  const trouble = await deployNext(stage, 300, { behindReader: false })
  expect(outcome(trouble, "the migration took, ms")).toBeGreaterThan(0)
})

test("what was acknowledged is there once, and nothing else", slow, async () => {
  await clients.stop()
  const { facts, wrong } = await reckon(stage, { mayLose: true })
  expect(wrong).toEqual([])
  expect(facts["acknowledged"]).toBeGreaterThan(50)
})

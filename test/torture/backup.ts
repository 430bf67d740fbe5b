/**
 * Fault 7: a backup taken and restored by PostgreSQL's own means while the service is at work: a copy of the data
 * folder between pg_backup_start and pg_backup_stop (what pg_basebackup does), an archive of the write-ahead log, and a
 * second server brought from both to a point in time. Every acknowledged operation of before it is there, and none after.
 */
import { execFile } from "node:child_process"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { promisify } from "node:util"
import pg from "pg"
import { askAgain, post, serviceKey } from "./again.ts"
import { check } from "./checker.ts"
import { type Entry, readJournal } from "./journal.ts"
import { readLedger } from "./ledger.ts"
import { type Trouble, underLoad } from "./load.ts"
import { root } from "./next.ts"
import { operations } from "./operations.ts"
import { stablePort } from "./ports.ts"
import { startPostgres } from "./postgres.ts"
import { startNode } from "./processes.ts"
import type { Scenario, Task } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"
import { sleep, until } from "./wait.ts"

/** Of a running server, and nothing to a copy of it: PostgreSQL's manual names them. */
const notCopied = new Set(["postmaster.pid", "postmaster.opts", "pg_internal.init"])
const copiedEmpty = new Set([
  ...["pg_wal", "pg_replslot", "pg_dynshmem", "pg_notify", "pg_serial", "pg_snapshots", "pg_stat_tmp", "pg_subtrans"]
])

/** As it is on the disk at each moment: what changes meanwhile is made good by the log. Keeps owners and modes. */
const copyFolder = async (from: string, to: string): Promise<number> => {
  const { mode, uid, gid } = await fs.stat(from)
  await fs.mkdir(to, { mode })
  await fs.chown(to, uid, gid)
  let files = 0
  for (const entry of await fs.readdir(from, { withFileTypes: true })) {
    const [source, target] = [path.join(from, entry.name), path.join(to, entry.name)]
    if (notCopied.has(entry.name) || entry.name.startsWith("pgsql_tmp")) continue
    if (entry.isDirectory()) {
      if (copiedEmpty.has(entry.name)) {
        await fs.mkdir(target, { mode })
        await fs.chown(target, uid, gid)
      } else files += await copyFolder(source, target)
      continue
    }
    try {
      await fs.copyFile(source, target)
      await fs.chown(target, uid, gid)
      files += 1
    } catch (error) {
      // Dropped since its folder was read.
      if (!(error instanceof Error && "code" in error && error.code === "ENOENT")) throw error
    }
  }
  return files
}

/** What `pg_basebackup` does, which the embedded server's package doesn't hold. */
const takeBackup = async (stage: Stage, to: string) => {
  await fs.mkdir(to)
  await fs.copyFile(path.join(stage.dataDir, "password"), path.join(to, "password"))
  return stage.admin(async (client) => {
    await client.query("select pg_backup_start('torture', fast => true)")
    const files = await copyFolder(path.join(stage.dataDir, "postgres"), path.join(to, "postgres"))
    const { rows } = await client.query("select labelfile, spcmapfile from pg_backup_stop(wait_for_archive => true)")
    await fs.writeFile(path.join(to, "postgres/backup_label"), rows[0].labelfile)
    if (rows[0].spcmapfile !== "") throw new Error("there are table spaces, which this doesn't copy")
    return files
  })
}

/** Names a moment in the log, and waits until the archive holds it. Between `from` and `to`, by our clock. */
const markPoint = (stage: Stage, name: string) =>
  stage.admin(async (client) => {
    const from = Date.now()
    await client.query("select pg_create_restore_point($1)", [name])
    const to = Date.now()
    const { rows } = await client.query("select pg_walfile_name(pg_switch_wal()) as file")
    const file = String(rows[0].file)
    await until(
      `${file} is archived`,
      async () => (await client.query("select last_archived_wal >= $1 as done from pg_stat_archiver", [file])).rows[0],
      ({ done }) => done === true
    )
    return { from, to }
  })

/** What clients knew at a moment. What Stripe was paid is Stripe's to tell: its webhook may have come later. */
const knownThen = (entries: ReadonlyArray<Entry>, from: number, to: number): ReadonlyArray<Entry> => {
  const payments = new Set(
    entries.flatMap((entry) => (entry.event === "asked" && entry.request.kind === "pay" ? [entry.request.op] : []))
  )
  return entries.filter((entry) =>
    entry.event === "asked" ? entry.at <= to : entry.at <= from && !payments.has(entry.op)
  )
}

const connected = async <A>(url: string, use: (client: pg.Client) => Promise<A>): Promise<A> => {
  const client = new pg.Client({ connectionString: url })
  client.on("error", () => undefined)
  await client.connect()
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

const heads = "select user_id, version::text, encode(head, 'hex') as head from credits.balances where version > 0"

/** Whose history on the other side isn't the beginning of what it is here, by the hashes of the rows. */
const forked = async (stage: Stage, restored: pg.Client) => {
  const { rows: ends } = await restored.query(heads)
  const { rows } = await stage.admin((client) =>
    client.query(
      `select e.user_id from jsonb_to_recordset($1) e (user_id text, version bigint, head text)
       where not exists (
         select from credits.transactions t where t.user_id = e.user_id and t.seq = e.version and t.hash = decode(e.head, 'hex')
       )`,
      [JSON.stringify(ends)]
    )
  )
  return { users: ends.length, forked: rows.map(({ user_id }) => String(user_id)) }
}

const login = "torture_app"
const database = "torture"

/** The service on the restored database, worker and all: ready, and with the memory of what it answered before. */
const tryService = async (stage: Stage, port: number, acknowledged: ReturnType<typeof operations>) => {
  const wrong: Array<string> = []
  const http = await stablePort()
  const log = path.join(stage.task.folder, "restored-service.log")
  const running = startNode({
    args: ["test/torture/service.ts"],
    log,
    env: {
      DATABASE_URL: `postgres://${login}:${login}@127.0.0.1:${port}/${database}`,
      MANA_AUTH_URL: "http://127.0.0.1:1",
      MANA_SERVICE_KEY: serviceKey,
      HOST: "127.0.0.1",
      PORT: `${http}`,
      LOG_LEVEL: "Warning",
      TORTURE_STRIPE_PORT: `${stage.stripe.connection.port}`
    }
  })
  const end = async () => {
    running.kill("SIGKILL")
    await running.ended
  }
  stage.task.onEnd(end)
  const origin = `http://127.0.0.1:${http}`
  await until(
    "the service on the restored database is ready",
    async () => (running.isOver() ? "ended" : stage.ready(origin)),
    (status) => status === 200 || status === "ended"
  )
  if (running.isOver()) throw new Error(`the service ended: ${await fs.readFile(log, "utf8")}`)

  const again = await askAgain(origin, acknowledged)
  wrong.push(...again.wrong)
  const grant = { userId: "after the restore", amount: 5, reason: "torture", referenceId: "after" }
  const fresh = await post(origin, { path: "/api/v1/internal/credits/grant", body: grant })
  if (fresh.status !== 200) wrong.push(`a grant after the restore is answered ${fresh.status} ${fresh.text}`)
  await end()
  return { wrong, again: again.count }
}

/** One backup and one restore, under load from before the one until after the point of the other. */
const backUpAndRestore = async (stage: Stage, archive: string, name: string, work: number) => {
  const { folder, say } = stage.task
  const to = path.join(folder, name)
  const since = performance.now()
  const files = await takeBackup(stage, to)
  const took = Math.round(performance.now() - since)
  say(`${name}: ${files} files copied in ${took} ms`)
  await sleep(work)
  const point = await markPoint(stage, name)
  // Work goes on: what comes now must not be on the other side.
  await sleep(work / 4)

  await fs.writeFile(path.join(to, "postgres/recovery.signal"), "")
  const restored = await startPostgres({
    dataDir: to,
    settings: [
      `restore_command=cp "${archive}/%f" "%p"`,
      `recovery_target_name=${name}`,
      "recovery_target_action=promote",
      "archive_mode=off"
    ]
  })
  stage.task.onEnd(() => restored.stop())
  const url = restored.url(database)
  await until(
    "the restored server has reached its point",
    () => connected(url, async (client) => (await client.query("select pg_is_in_recovery() as yes")).rows[0]),
    ({ yes }) => yes === false
  )
  return { point, restored, url, files, took }
}

const verdictOf = async (stage: Stage, made: Awaited<ReturnType<typeof backUpAndRestore>>) => {
  const { point, restored, url } = made
  const wrong: Array<string> = []
  const entries = stage.journals().flatMap((file) => [...readJournal(file)])
  const then = knownThen(entries, point.from, point.to)
  const { ledger, broken, history } = await connected(url, async (client) => ({
    ledger: await readLedger(client),
    broken: (await client.query("select * from ops.verify()")).rows,
    history: await forked(stage, client)
  }))
  for (const line of check(then, ledger)) wrong.push(line)
  for (const row of broken) wrong.push(`ops.verify(): ${JSON.stringify(row)}`)
  for (const userId of history.forked) wrong.push(`the history of ${userId} isn't what it was`)

  const acknowledged = operations(then)
  const service = await tryService(stage, restored.port, acknowledged)
  wrong.push(...service.wrong)
  // As a person types it.
  const verify = await promisify(execFile)(process.execPath, ["src/main.ts", "verify"], {
    cwd: root,
    env: { ...process.env, DATABASE_URL: `postgres://${login}:${login}@127.0.0.1:${restored.port}/${database}` }
  }).then(
    ({ stdout }) => stdout.trim(),
    (error: unknown) => `failed: ${String(error)}`
  )
  if (verify !== "The books are true.") wrong.push(`verify says: ${verify}`)
  await restored.stop()
  const done = [...acknowledged.values()].filter((operation) => operation.done !== undefined).length
  const { files, took } = made
  const later = operations(entries).size - acknowledged.size
  return { wrong, done, later, files, took, again: service.again, rows: ledger.rows.length }
}

export interface Archive {
  readonly folder: string
  /** What has the server fill it. */
  readonly settings: ReadonlyArray<string>
}

export const makeArchive = async (task: Task): Promise<Archive> => {
  const folder = path.join(task.folder, "archive")
  await fs.mkdir(folder)
  // The server may be somebody else.
  await fs.chmod(folder, 0o777)
  return {
    folder,
    settings: [
      "archive_mode=on",
      // A file is there whole or not at all.
      `archive_command=cp "%p" "${folder}/%f.part" && mv "${folder}/%f.part" "${folder}/%f"`
    ]
  }
}

/** For as long as it has, once at least: a backup, `work` milliseconds of work, a point, and the other side. */
export const backUp = async (
  stage: Stage,
  archive: Archive,
  { milliseconds, work }: { readonly milliseconds: number; readonly work: number }
): Promise<Trouble> => {
  const deadline = performance.now() + milliseconds
  const verdicts: Array<Awaited<ReturnType<typeof verdictOf>>> = []
  do {
    const made = await backUpAndRestore(stage, archive.folder, `point_${verdicts.length + 1}`, work)
    verdicts.push(await verdictOf(stage, made))
  } while (performance.now() < deadline)
  const sum = (pick: (verdict: (typeof verdicts)[number]) => number) =>
    verdicts.reduce((total, each) => total + pick(each), 0)
  return {
    facts: {
      "backups restored": verdicts.length,
      "files copied": sum(({ files }) => files),
      "milliseconds of copying": sum(({ took }) => took),
      "acknowledged before the points, all there": sum(({ done }) => done),
      "asked after the points, none there": sum(({ later }) => later),
      "answered again the same": sum(({ again }) => again),
      "ledger rows restored": sum(({ rows }) => rows)
    },
    wrong: verdicts.flatMap(({ wrong }) => wrong)
  }
}

export const scenario: Scenario = {
  name: "backup",
  about: "backups and restores to a point in time under load: all that was acknowledged is on the other side",
  minutes: 2,
  run: async (task) => {
    const archive = await makeArchive(task)
    const stage = await openStage(task, { settings: archive.settings })
    return underLoad(stage, { processes: 2, lanes: 8, pause: 10 }, () =>
      backUp(stage, archive, { milliseconds: task.milliseconds, work: Math.min(task.milliseconds / 2, 10_000) })
    )
  }
}

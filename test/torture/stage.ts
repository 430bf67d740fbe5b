/** What a scenario plays on: PostgreSQL, the service in processes of its own, Stripe, tokens, people with credits. */
import * as fs from "node:fs/promises"
import * as http from "node:http"
import * as path from "node:path"
import { Effect, Exit, Scope } from "effect"
import pg from "pg"
import { migrateToCurrent } from "../../src/database/migrate.ts"
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { makeIssuer } from "../../src/dev/issuer.ts"
import { startStripeSimulator } from "../../src/dev/stripe/simulator.ts"
import { ask } from "./ask.ts"
import { type Journal, openJournal } from "./journal.ts"
import { makeLane } from "./lane.ts"
import { stablePort } from "./ports.ts"
import { startPostgres } from "./postgres.ts"
import { type Running, startNode } from "./processes.ts"
import { type Proxy, startProxy } from "./proxy.ts"
import type { Task } from "./scenario.ts"
import { until } from "./wait.ts"

const database = "torture"
const login = "torture_app"
/** Somebody else who connects to the same server. */
const hoarder = "torture_hoarder"
const serviceKey = "torture-service-key"
/** Names the rows that were there before. */
export const seeding = "torture seed"

/** No answer may take longer: a statement's time, a connection's, and what a busy machine adds. */
export const bound = 20_000

// As on a small server; durable by default. Crash recovery shouldn't have an hour of writing to redo.
const settings = ["shared_buffers=128MB", "max_wal_size=512MB", "checkpoint_timeout=1min"]

export interface StageOptions {
  /** Processes of the service; one unless said otherwise. */
  readonly services?: number
  /** The service reaches PostgreSQL over a wire that can be cut. */
  readonly proxied?: boolean
  /** Of PostgreSQL, as `name=value`. */
  readonly settings?: ReadonlyArray<string>
  /** Of the service. */
  readonly env?: Readonly<Record<string, string>>
  /** How far each service's clock is ahead, in milliseconds. */
  readonly clocks?: ReadonlyArray<number>
  /** Where PostgreSQL keeps its data; in the task's folder unless said otherwise. */
  readonly dataDir?: string
  /** People who spend; few, so that they get in each other's way. */
  readonly users?: number
}

export interface Service {
  readonly origin: string
  readonly log: string
  readonly process: () => Running
  /** How often it was started. */
  readonly starts: () => number
  readonly start: () => Promise<void>
  readonly kill: () => Promise<void>
}

/** Publishes the keys of the tokens, as the auth service does. */
const startIssuer = async (task: Task) => {
  const port = await stablePort()
  const origin = `http://127.0.0.1:${port}`
  const issuer = await Effect.runPromise(makeIssuer(origin, path.join(task.folder, "token-key.json")))
  const server = http.createServer((_, response) => {
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(issuer.jwks))
  })
  await new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
  task.onEnd(async () => {
    server.close()
    server.closeAllConnections()
  })
  return { origin, token: (sub: string) => Effect.runPromise(issuer.token({ sub, name: sub })) }
}

const startStripe = async (task: Task, webhookUrl: string) => {
  const scope = await Effect.runPromise(Scope.make())
  task.onEnd(() => Effect.runPromise(Scope.close(scope, Exit.void)))
  return Effect.runPromise(
    startStripeSimulator({ port: await stablePort(), webhookUrl }).pipe(Effect.provideService(Scope.Scope, scope))
  )
}

/** Credits for everybody, and subscriptions that fall due one after the other while the run goes on. */
const seed = async (client: pg.Client, users: ReadonlyArray<string>, dueWithin: number) => {
  await client.query(`select credits.grant(u, 100000, 'seed', 'seed', p_caller => $2) from unnest($1::text[]) u`, [
    users,
    seeding
  ])
  const due = Math.ceil(dueWithin / 300)
  // Every tenth has no credits left for the second month.
  await client.query(
    `select credits.grant('due-' || i, case when i % 10 = 0 then 40 else 500 end, 'seed', 'seed', p_caller => $2),
       sync.activate('due-' || i, p_caller => $2, p_now => now() + i * interval '300 ms' - interval '1 month')
     from generate_series(1, $1::int) i`,
    [due, seeding]
  )
  return due
}

export const openStage = async (task: Task, options: StageOptions = {}) => {
  const dataDir = options.dataDir ?? path.join(task.folder, "data")
  const postgres = await startPostgres({ dataDir, settings: [...settings, ...(options.settings ?? [])] })
  task.onEnd(() => postgres.stop())
  const admin = async <A>(use: (client: pg.Client) => Promise<A>, at = database): Promise<A> => {
    const client = new pg.Client({ connectionString: postgres.url(at) })
    client.on("error", () => undefined)
    await client.connect()
    try {
      return await use(client)
    } finally {
      await client.end()
    }
  }
  await admin((client) => client.query(`create database ${database}`), "postgres")
  await Effect.runPromise(migrateToCurrent({ url: postgres.url(database) }))
  const names = Array.from({ length: options.users ?? 24 }, (_, index) => `user-${index}`)
  const due = await admin(async (client) => {
    await client.query(`create role ${login} login password '${login}' in role mana_service, mana_worker`)
    await client.query(`create role ${hoarder} login password '${hoarder}'`)
    return seed(client, names, task.milliseconds)
  })

  const proxy: Proxy | undefined = options.proxied === true ? await startProxy(postgres.port) : undefined
  if (proxy !== undefined) task.onEnd(() => proxy.close())
  const issuer = await startIssuer(task)
  const ports = await Promise.all(Array.from({ length: options.services ?? 1 }, stablePort))
  const origins = ports.map((port) => `http://127.0.0.1:${port}`)
  const stripe = await startStripe(task, `${origins[0]}/api/v1/webhooks/stripe`)

  const ready = async (origin: string) => {
    const agent = new http.Agent()
    const answer = await ask(agent, { origin, method: "GET", path: "/health/ready", headers: {}, patience: 5_000 })
    agent.destroy()
    return "status" in answer ? answer.status : answer.lost
  }

  const makeService = (port: number, index: number): Service => {
    const origin = `http://127.0.0.1:${port}`
    const log = path.join(task.folder, `service-${index}.log`)
    const clock = options.clocks?.[index]
    let starts = 0
    let running: Running | undefined
    const current = () => {
      if (running === undefined) throw new Error("the service was never started")
      return running
    }
    return {
      origin,
      log,
      process: current,
      starts: () => starts,
      start: async () => {
        starts += 1
        running = startNode({
          args: [...(clock === undefined ? [] : ["--import", "./test/torture/clock.ts"]), "test/torture/service.ts"],
          log,
          env: {
            DATABASE_URL: `postgres://${login}:${login}@127.0.0.1:${proxy?.port ?? postgres.port}/${database}`,
            MANA_AUTH_URL: issuer.origin,
            MANA_SERVICE_KEY: serviceKey,
            HOST: "127.0.0.1",
            PORT: `${port}`,
            BASE_URL: "https://credits.example",
            LOG_LEVEL: "Warning",
            STRIPE_SECRET_KEY: stripe.apiKey,
            STRIPE_WEBHOOK_SECRET: stripe.webhookSecret,
            TORTURE_STRIPE_PORT: `${stripe.connection.port}`,
            ...(clock === undefined ? {} : { TORTURE_CLOCK_AHEAD: `${clock}` }),
            ...options.env
          }
        })
        await until(
          "the service is ready",
          async () => (current().isOver() ? "ended" : ready(origin)),
          (status) => status === 200 || status === "ended"
        )
        if (current().isOver()) throw new Error(`the service ended: ${await fs.readFile(log, "utf8")}`)
      },
      kill: async () => {
        current().kill("SIGKILL")
        await current().ended
      }
    }
  }
  const services = ports.map(makeService)
  task.onEnd(async () => {
    for (const { starts, kill } of services) if (starts() > 0) await kill()
  })
  await Promise.all(services.map((service) => service.start()))

  const tokens = Object.fromEntries(
    await Promise.all(names.map(async (name) => [name, await issuer.token(name)] as const))
  )
  const tokensFile = path.join(task.folder, "tokens.json")
  await fs.writeFile(tokensFile, JSON.stringify(tokens))

  const journals: Array<string> = []
  const newJournal = (name: string): { readonly file: string; readonly journal: Journal } => {
    const file = path.join(task.folder, `${name}.jsonl`)
    journals.push(file)
    return { file, journal: openJournal(file) }
  }

  /** Clients in processes of their own, until `stop`. */
  const startClients = (processes: number, lanes: number, pause = 30) => {
    const started = Array.from({ length: processes }, (_, index) => {
      const name = `c${index}`
      const { file } = newJournal(name)
      const orders = {
        name,
        seed: task.seed * 100 + index,
        lanes,
        journal: file,
        origins,
        simulator: stripe.url,
        serviceKey,
        tokens: tokensFile,
        patience: bound + 10_000,
        pause
      }
      const log = path.join(task.folder, `${name}.log`)
      return { log, ...startNode({ args: ["test/torture/client.ts", JSON.stringify(orders)], log }) }
    })
    task.onEnd(async () => {
      for (const { kill, ended } of started) {
        kill("SIGKILL")
        await ended
      }
    })
    return {
      /** Every client finishes what it is at. */
      stop: async () => {
        for (const { kill } of started) kill("SIGTERM")
        for (const { ended, log } of started) {
          const code = await ended
          if (code !== 0) throw new Error(`a client ended with ${code}: ${await fs.readFile(log, "utf8")}`)
        }
      }
    }
  }

  /** A client in this process, for what has to be done step by step. */
  const makeOwnLane = (name: string, at: ReadonlyArray<string> = origins) => {
    const { journal } = newJournal(name)
    const random = randomFrom(task.seed)
    const lane = makeLane({
      origins: at,
      simulator: stripe.url,
      serviceKey,
      tokens,
      journal,
      random,
      patience: bound + 10_000
    })
    task.onEnd(async () => lane.end())
    return lane
  }

  return {
    task,
    dataDir,
    postgres,
    proxy,
    services,
    stripe,
    users: names,
    due,
    admin,
    hoarderUrl: `postgres://${hoarder}:${hoarder}@127.0.0.1:${postgres.port}/${database}`,
    ready,
    journals: (): ReadonlyArray<string> => journals,
    startClients,
    makeOwnLane
  }
}

export type Stage = Awaited<ReturnType<typeof openStage>>

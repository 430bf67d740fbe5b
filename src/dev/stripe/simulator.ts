/**
 * A Stripe of our own, for `npm run dev` and the tests: a real HTTP server that the unmodified `stripe` library talks
 * to, signed webhooks, a checkout page. Nothing of it is part of what `serve` runs.
 *
 *     const simulator = yield* startStripeSimulator({ webhookUrl: "http://127.0.0.1:3061/api/v1/webhooks/stripe" })
 *     const stripe = new Stripe(simulator.apiKey, simulator.connection)
 */
import { randomBytes } from "node:crypto"
import * as fs from "node:fs/promises"
import * as path from "node:path"
import { Duration, Effect, Schedule, type Scope } from "effect"
import { type Api, callApi } from "./api-call.ts"
import { control } from "./control-routes.ts"
import { type Controls, makeControls } from "./controls.ts"
import { makeFaults } from "./faults.ts"
import { visit } from "./pages.ts"
import { letTimePass } from "./payments.ts"
import { type Incoming, listen, type Reply, StripeSimulatorError } from "./server.ts"
import { makeWebhooks } from "./webhooks.ts"
import { emptyState, type EventType, makeWorld, type State } from "./world.ts"

export interface StripeSimulatorOptions {
  /** A free one unless said otherwise. Checkout pages outlive a restart only on a fixed one. */
  readonly port?: number
  /** Made up unless said otherwise. */
  readonly apiKey?: string
  /** Made up unless said otherwise. */
  readonly webhookSecret?: string
  /** Where events go. May be said later, by `webhooks.target`; until then they wait. */
  readonly webhookUrl?: string
  /** The types of event that the webhook gets; all unless said otherwise. */
  readonly webhookTypes?: ReadonlyArray<EventType>
  /** Before an event that wasn't taken is sent again, doubled each time. 100 ms unless said otherwise. */
  readonly webhookRetryAfter?: Duration.Input
  /** How often it is sent again. 5 unless said otherwise. */
  readonly webhookRetries?: number
  /** After this the bank decides on a direct debit; without it, when it is told (`decideDebit`). */
  readonly debitDecidedAfter?: Duration.Input
  /** Keeps everything over a restart. In memory only without it. */
  readonly stateFile?: string
  /** Milliseconds since 1970; the machine's clock unless said otherwise. Signatures always carry the machine's. */
  readonly now?: () => number
}

export interface StripeSimulator extends Controls {
  readonly url: string
  /** The second argument of `new Stripe(apiKey, …)`. */
  readonly connection: { readonly host: string; readonly port: number; readonly protocol: "http" }
  readonly apiKey: string
  readonly webhookSecret: string
}

const readState = (file: string): Effect.Effect<State, StripeSimulatorError> =>
  Effect.tryPromise({
    try: async () => {
      const text = await fs.readFile(file, "utf8").catch(() => "{}")
      const kept: State = { ...emptyState(), ...JSON.parse(text) }
      // Whoever used those keys when the simulator ended got no answer.
      for (const [key, it] of Object.entries(kept.answers)) if (it.answer === undefined) delete kept.answers[key]
      return kept
    },
    catch: () => new StripeSimulatorError({ message: `${file} isn't the simulator's. Delete it to begin anew.` })
  })

/** Beside, then moved into place: half a file is never read. */
const writeState = (file: string, text: string) =>
  Effect.tryPromise({
    try: async () => {
      await fs.mkdir(path.dirname(file), { recursive: true })
      await fs.writeFile(`${file}.new`, text)
      await fs.rename(`${file}.new`, file)
    },
    catch: (cause) => new StripeSimulatorError({ message: `Can't write ${file}: ${String(cause)}` })
  })

const keepState = Effect.fnUntraced(function* (file: string, state: State) {
  let written = ""
  const save = Effect.suspend(() => {
    const text = JSON.stringify(state)
    if (text === written) return Effect.void
    written = text
    return writeState(file, text)
  }).pipe(
    Effect.tapError((error) => Effect.logWarning(error.message)),
    Effect.ignore
  )
  yield* Effect.forkScoped(Effect.repeat(save, Schedule.spaced("500 millis")))
  yield* Effect.addFinalizer(() => save)
})

const secret = (prefix: string) => `${prefix}${randomBytes(12).toString("hex")}`

export const startStripeSimulator = Effect.fnUntraced(function* (
  options: StripeSimulatorOptions = {}
): Effect.fn.Return<StripeSimulator, StripeSimulatorError, Scope.Scope> {
  const { url, port, serve } = yield* listen(options.port ?? 0)
  const apiKey = options.apiKey ?? secret("sk_test_simulator_")
  const webhookSecret = options.webhookSecret ?? secret("whsec_simulator_")
  const state = options.stateFile === undefined ? emptyState() : yield* readState(options.stateFile)
  if (options.stateFile !== undefined) yield* keepState(options.stateFile, state)

  const now = options.now ?? Date.now
  const faults = makeFaults()
  const webhooks = yield* makeWebhooks(state, {
    secret: webhookSecret,
    url: options.webhookUrl,
    types: options.webhookTypes,
    retryAfter: options.webhookRetryAfter ?? "100 millis",
    retries: options.webhookRetries ?? 5
  })
  const world = makeWorld({
    state,
    url,
    now: () => Math.floor(now() / 1000),
    debitDecidedAfter:
      options.debitDecidedAfter === undefined ? undefined : Duration.toSeconds(options.debitDecidedAfter),
    audience: webhooks.audience,
    onEvent: webhooks.send
  })
  yield* Effect.forkScoped(
    Effect.repeat(
      Effect.sync(() => letTimePass(world)),
      Schedule.spaced("250 millis")
    )
  )
  const controls = makeControls(world, webhooks, faults)
  const api: Api = { world, apiKey, faults }

  const handle = async ({ method, path: at, query, body, headers }: Incoming): Promise<Reply> => {
    letTimePass(world)
    if (at.startsWith("/v1/")) {
      return callApi(api, { method, path: at, form: method === "GET" ? query : body, headers })
    }
    const request = { method, path: at, query, body, acceptLanguage: headers["accept-language"] }
    const page = visit(world, request)
    if (page !== undefined) return { way: "page", page }
    const told = control(controls, request, url)
    if (told !== undefined) return { way: "page", page: await Effect.runPromise(told) }
    return {
      way: "page",
      page: { status: 404, headers: { "content-type": "text/plain" }, body: "Nothing here. See /simulator.\n" }
    }
  }
  serve(handle)
  return { ...controls, url, connection: { host: "127.0.0.1", port, protocol: "http" }, apiKey, webhookSecret }
})

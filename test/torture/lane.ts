/** One client: asks one thing at a time, writes it down, asks again when it hears nothing. */
import * as http from "node:http"
import { Predicate } from "effect"
import { type Answer, ask, type Credentials, headersOf, type NoAnswer } from "./ask.ts"
import type { Journal, Request } from "./journal.ts"
import { sleep } from "./wait.ts"

export interface LaneOptions extends Credentials {
  readonly origins: ReadonlyArray<string>
  /** Where the Stripe simulator listens. */
  readonly simulator: string
  readonly journal: Journal
  readonly random: () => number
  /** Milliseconds without an answer until it counts as a hang. */
  readonly patience: number
}

export interface Heard {
  readonly status: number
  readonly body: unknown
}

const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}

/** A field of an answer. */
export const field = (body: unknown, ...names: ReadonlyArray<string>): unknown => {
  let value = body
  for (const name of names) value = Predicate.hasProperty(value, name) ? value[name] : undefined
  return value
}

export const text = (body: unknown, ...names: ReadonlyArray<string>) => {
  const value = field(body, ...names)
  return typeof value === "string" ? value : undefined
}

const isAnswer = (answer: Answer | NoAnswer): answer is Answer => "status" in answer

/** Goes on for half a minute at most, whatever has become of the service. */
const longest = 30_000

export const makeLane = (options: LaneOptions) => {
  const { origins, simulator, journal, random, patience } = options
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 })

  /** One attempt, on the record. */
  const attempt = async (request: Request): Promise<Answer | NoAnswer> => {
    const isPayment = request.kind === "pay"
    const body = request.body === undefined ? undefined : JSON.stringify(request.body)
    const answer = await ask(agent, {
      origin: isPayment ? simulator : (origins[Math.floor(random() * origins.length)] ?? ""),
      method: request.method,
      path: request.path,
      headers: isPayment ? { "content-type": "application/x-www-form-urlencoded" } : headersOf(request, options),
      body: isPayment ? new URLSearchParams({ id: String(request.body?.["id"]) }).toString() : body,
      patience
    })
    const { op } = request
    const at = Date.now()
    if (!isAnswer(answer)) {
      journal.write({ event: "lost", op, at, ms: answer.ms, reason: answer.lost })
      return answer
    }
    const { status, headers, ms } = answer
    journal.write({
      event: "answered",
      op,
      at,
      ms,
      status,
      replayed: headers["idempotency-replayed"] === "true",
      retryAfter: headers["retry-after"] ?? null,
      body: parsed(answer.text)
    })
    return answer
  }

  /** Writes down what is going to be asked for. */
  const note = (request: Request) => journal.write({ event: "asked", at: Date.now(), request })

  /** Asks until there is an answer that says what became of it, for half a minute at most. */
  const insist = async (request: Request, givesUp: () => boolean = () => false) => {
    const since = performance.now()
    for (;;) {
      const answer = await attempt(request)
      if (isAnswer(answer) && answer.status !== 503) {
        return { status: answer.status, headers: answer.headers, body: parsed(answer.text) }
      }
      if (request.key === undefined || givesUp() || performance.now() - since > longest) return undefined
      await sleep(20 + random() * 180)
    }
  }

  /**
   * Asks for something until it knows. What has no key is asked once. Now and then it gives up after a failure, or asks
   * again though it has been answered: nobody can tell a lost answer from a lost request.
   */
  const send = async (request: Request, how: { readonly stubborn?: boolean } = {}): Promise<Heard | undefined> => {
    note(request)
    const answer = await insist(request, () => how.stubborn !== true && random() < 0.03)
    if (answer !== undefined && answer.status < 300 && request.key !== undefined && random() < 0.04) {
      await attempt(request)
    }
    return answer
  }

  return { note, attempt, insist, send, end: () => agent.destroy() }
}

export type Lane = ReturnType<typeof makeLane>

/** What the journals say, by operation: what was asked, what was answered, what was lost. */
import { isDeepStrictEqual } from "node:util"
import type { Answered, Entry, Kind, Request } from "./journal.ts"
import { field } from "./lane.ts"

export interface Operation {
  readonly request: Request
  /** In the order in which they came. */
  readonly answers: ReadonlyArray<Answered>
  /** Attempts of which nobody knows what became: no answer, or 503. */
  readonly open: number
  /** The first answer that says that it was done. */
  readonly done: Answered | undefined
  /** Said no before anything was lost: then nothing may have been done. */
  readonly isRefused: boolean
}

const isDone = ({ status }: Answered) => status >= 200 && status < 300

export const operations = (entries: ReadonlyArray<Entry>): ReadonlyMap<string, Operation> => {
  const requests = new Map<string, Request>()
  const outcomes = new Map<string, Array<Answered | undefined>>()
  for (const entry of entries) {
    if (entry.event === "asked") {
      requests.set(entry.request.op, entry.request)
      continue
    }
    const outcome = entry.event === "lost" || entry.status === 503 ? undefined : entry
    outcomes.set(entry.op, [...(outcomes.get(entry.op) ?? []), outcome])
  }
  return new Map(
    [...requests].map(([op, request]) => {
      const all = outcomes.get(op) ?? []
      const answers = all.filter((each) => each !== undefined)
      const [first] = all
      return [
        op,
        {
          request,
          answers,
          // Written down and stopped before an answer counts as open too.
          open: all.length === 0 ? 1 : all.length - answers.length,
          done: answers.find(isDone),
          isRefused: first !== undefined && first.status >= 400 && first.status < 500 && !answers.some(isDone)
        }
      ] as const
    })
  )
}

/** What may be answered besides 503, as the contract has it for what our clients do. Nothing is ever gone: no 404. */
const statuses: Readonly<Record<Kind, ReadonlyArray<number>>> = {
  use: [200, 402],
  personalUse: [200, 402],
  useBatch: [200],
  reserve: [200, 402],
  commit: [200],
  release: [200],
  refund: [200],
  grant: [200],
  giftCreate: [201, 402],
  giftRedeem: [200, 409],
  giftCancel: [200, 409],
  purchase: [200],
  pay: [200],
  activate: [200, 402, 409],
  deactivate: [200, 409],
  changeInterval: [200, 409],
  chargeRun: [200],
  balance: [200]
}

/** What a person asks for, and may be told to ask for less often: the quicker the service, the more our clients ask. */
const isAPersons: ReadonlySet<Kind> = new Set([
  "personalUse",
  "giftCreate",
  "giftRedeem",
  "giftCancel",
  "purchase",
  "activate",
  "deactivate",
  "changeInterval"
])

/** The part of an answer that stays the same however often it is asked for. */
const lasting = (kind: Kind, body: unknown): unknown => {
  if (kind === "balance") return null
  return kind === "grant" ? field(body, "transactionId") : body
}

export interface Manners {
  /** No answer may take longer, in milliseconds. */
  readonly bound: number
  /** Whether a connection may break: where the service itself is killed. */
  readonly mayLose: boolean
  /** Answers that are in order besides, whatever was asked. */
  readonly besides?: ReadonlyArray<number>
}

/** What is wrong with the answers as such, whatever is in the books. */
export const badManners = (
  entries: ReadonlyArray<Entry>,
  { bound, mayLose, besides = [] }: Manners
): ReadonlyArray<string> => {
  const all = operations(entries)
  const wrong: Array<string> = []
  for (const entry of entries) {
    if (entry.event === "asked") continue
    const kind = all.get(entry.op)?.request.kind
    const what = `${kind} ${entry.op}`
    if (kind === undefined) {
      wrong.push(`${entry.op} was answered and never asked`)
    } else if (entry.event === "lost") {
      if (!mayLose || entry.reason.startsWith("silence")) wrong.push(`${what} got no answer: ${entry.reason}`)
    } else if (entry.status === 503 || (entry.status === 429 && isAPersons.has(kind))) {
      if (entry.retryAfter === null) wrong.push(`${what} got a ${entry.status} without Retry-After`)
    } else if (!statuses[kind].includes(entry.status) && !besides.includes(entry.status)) {
      wrong.push(`${what} got a ${entry.status}: ${JSON.stringify(entry.body)}`)
    }
    if (entry.ms > bound) wrong.push(`${what} took ${Math.round(entry.ms)} ms`)
  }
  for (const { request, answers } of all.values()) {
    const done = answers.filter(isDone)
    const [first, ...others] = done
    if (first === undefined || request.key === undefined) continue
    const { kind, op } = request
    for (const other of others) {
      if (!isDeepStrictEqual(lasting(kind, other.body), lasting(kind, first.body))) {
        wrong.push(
          `${kind} ${op} was answered ${JSON.stringify(first.body)} and then ${JSON.stringify(other.body)} for the same key`
        )
      }
    }
    const isMarked = kind !== "balance" && kind !== "grant" && kind !== "useBatch"
    if (isMarked && done.filter(({ replayed }) => !replayed).length > 1) {
      wrong.push(`${kind} ${op} was done anew for the same key`)
    }
  }
  return wrong
}

/** Requests and answers in numbers, for the report. */
export const figures = (entries: ReadonlyArray<Entry>): Readonly<Record<string, string | number>> => {
  const byStatus = new Map<string, number>()
  const times: Array<number> = []
  for (const entry of entries) {
    if (entry.event === "asked") continue
    const name = entry.event === "lost" ? `no answer (${entry.reason})` : `answers ${entry.status}`
    byStatus.set(name, (byStatus.get(name) ?? 0) + 1)
    times.push(entry.ms)
  }
  const all = operations(entries)
  const kinds = new Map<string, number>()
  for (const { request } of all.values()) kinds.set(request.kind, (kinds.get(request.kind) ?? 0) + 1)
  times.sort((a, b) => a - b)
  return {
    operations: all.size,
    "of kinds": [...kinds].map(([kind, count]) => `${kind} ${count}`).join(", "),
    acknowledged: [...all.values()].filter(({ done }) => done !== undefined).length,
    "acknowledged after a failure": [...all.values()].filter(({ done, open }) => done !== undefined && open > 0).length,
    "never answered, or given up": [...all.values()].filter(({ answers }) => answers.length === 0).length,
    ...Object.fromEntries([...byStatus].toSorted(([a], [b]) => (a < b ? -1 : 1))),
    "longest answer, ms": Math.round(times.at(-1) ?? 0),
    "99th percentile, ms": Math.round(times[Math.floor(times.length * 0.99)] ?? 0)
  }
}

/** A request's body: JSON, bounded, and whatever is wrong with it said in words. */
import type { IncomingMessage } from "node:http"
import { Effect } from "effect"
import { PayloadTooLarge } from "../contract/errors.ts"
import { makeProblem } from "../contract/problem.ts"
import { invalid } from "./invalid.ts"

/** Of a body that isn't wanted, so much is thrown away so that the sender reads our answer; then we hang up. */
const patience = 4 * 1024 * 1024

const tooLarge = (limitBytes: number) =>
  makeProblem(PayloadTooLarge, `The body is larger than ${limitBytes} bytes.`, { limitBytes })

const wrong = (message: string) => invalid({ path: "", message })

const brokenOff = wrong("The body broke off.")

/** Reads the rest without keeping it. */
export const discard = (source: IncomingMessage) => {
  let seen = 0
  source.on("data", (chunk: Buffer) => {
    seen += chunk.length
    if (seen > patience) source.destroy()
  })
}

type Refusal = ReturnType<typeof tooLarge> | typeof brokenOff

/** Reads to the end, and goes on with the bytes. */
const readBytes = <A>(source: IncomingMessage, limit: number, use: (bytes: Buffer) => Effect.Effect<A, Refusal>) =>
  Effect.async<A, Refusal>((resume) => {
    // Asked a second time, or gone before we came to read it.
    if (source.readableEnded || source.destroyed) return resume(Effect.fail(brokenOff))
    if (Number(source.headers["content-length"] ?? 0) > limit) {
      discard(source)
      return resume(Effect.fail(tooLarge(limit)))
    }
    const chunks: Array<Buffer> = []
    let size = 0
    const onData = (chunk: Buffer) => {
      size += chunk.length
      if (size <= limit) return void chunks.push(chunk)
      source.off("data", onData)
      discard(source)
      resume(Effect.fail(tooLarge(limit)))
    }
    source.on("data", onData)
    source.once("end", () => resume(use(Buffer.concat(chunks))))
    // The client went away, or was too slow: the server ends the connection then (listener.ts).
    const onGone = () => resume(Effect.fail(brokenOff))
    source.once("error", onGone)
    source.once("close", onGone)
  })

const isJson = /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?$/i
const utf8 = new TextDecoder("utf-8", { fatal: true })

const notJson = wrong("The body must be JSON: send Content-Type: application/json.")
const notUtf8 = wrong("The body isn't UTF-8.")

const read = <A>(source: IncomingMessage, limit: number, use: (text: string) => Effect.Effect<A, Refusal>) => {
  const { "content-type": type = "application/json", "content-length": length } = source.headers
  // Clients name a type even where they send nothing.
  if (!isJson.test(type) && length !== "0") return Effect.fail(notJson)
  return readBytes(source, limit, (bytes) => {
    let text
    try {
      text = utf8.decode(bytes)
    } catch {
      return Effect.fail(notUtf8)
    }
    return use(text)
  })
}

/** A body of at most so many bytes as text; for a webhook, whose signature is over just that. */
export const bodyText = (source: IncomingMessage, limit: number) => read(source, limit, Effect.succeed)

/** Far deeper than anything of ours, and shallow enough for what walks through it level by level, call within call. */
const maxDepth = 1100

const isTooDeep = (value: unknown) => {
  const rest: Array<{ readonly value: unknown; readonly depth: number }> = [{ value, depth: 0 }]
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    if (typeof next.value !== "object" || next.value === null) continue
    if (next.depth >= maxDepth) return true
    for (const inner of Object.values(next.value)) rest.push({ value: inner, depth: next.depth + 1 })
  }
  return false
}

const tooDeep = wrong(`The body must not be nested deeper than ${maxDepth} levels.`)
const notWellFormed = wrong("The body isn't well-formed JSON.")
const noObject = wrong("The body must be a JSON object.")

const parse = (text: string): Effect.Effect<object, Refusal> => {
  // No body is an object without fields: where none is required, none need be sent.
  if (text.trim() === "") return Effect.succeed({})
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return Effect.fail(notWellFormed)
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return Effect.fail(noObject)
  return isTooDeep(value) ? Effect.fail(tooDeep) : Effect.succeed(value)
}

/** A body of at most so many bytes as a JSON object. */
export const bodyJson = (source: IncomingMessage, limit: number) => read(source, limit, parse)

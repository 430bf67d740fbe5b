/** A request's body: bounded, UTF-8, a JSON object no deeper than what walks through it can take. */
import { isUtf8 } from "node:buffer"
import { ByteSize, Effect } from "effect"
import { HttpIncomingMessage, type HttpServerError, HttpServerRequest } from "effect/http"
import { type InvalidRequest, PayloadTooLarge } from "../../contract/problems.ts"
import { invalid } from "./invalid.ts"

type Request = HttpServerRequest.HttpServerRequest
type Refusal = InvalidRequest | PayloadTooLarge

const tooLarge = (limitBytes: number) =>
  new PayloadTooLarge({ detail: `The body is larger than ${limitBytes} bytes.`, limitBytes })

const wrong = (message: string) => invalid({ path: "", message })

const isTooLarge = ({ reason }: HttpServerError.HttpServerError) =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"

/** A body of at most so many bytes as text; for a webhook, whose signature is over just that. */
export const readText = (request: Request, limitBytes: number): Effect.Effect<string, Refusal> => {
  if (Number(request.headers["content-length"] ?? 0) > limitBytes) return Effect.fail(tooLarge(limitBytes))
  return request.arrayBuffer.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(limitBytes)),
    Effect.mapError((error) => (isTooLarge(error) ? tooLarge(limitBytes) : wrong("The body broke off."))),
    Effect.flatMap((bytes) => {
      const buffer = Buffer.from(bytes)
      return isUtf8(buffer) ? Effect.succeed(buffer.toString()) : Effect.fail(wrong("The body isn't UTF-8."))
    })
  )
}

/** Far deeper than anything of ours, and shallow enough for what walks through it level by level, call within call. */
const maxDepth = 1100

/** JSON nested that deep has an opening and a closing bracket for each level. */
const isTooDeep = (text: string) => {
  if (text.length < 2 * maxDepth) return false
  const rest: Array<{ readonly value: unknown; readonly depth: number }> = [{ value: JSON.parse(text), depth: 0 }]
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    if (typeof next.value !== "object" || next.value === null) continue
    if (next.depth >= maxDepth) return true
    for (const inner of Object.values(next.value)) rest.push({ value: inner, depth: next.depth + 1 })
  }
  return false
}

const notWellFormed = wrong("The body isn't well-formed JSON.")

const jsonObject = (text: string): Effect.Effect<string, Refusal> => {
  // No body is an object without fields: where none is required, none need be sent.
  if (text.trim() === "") return Effect.succeed("{}")
  try {
    if (isTooDeep(text)) return Effect.fail(wrong(`The body must not be nested deeper than ${maxDepth} levels.`))
    // The schema takes an array for an object whose fields are all optional.
    if (/^\s*\[/.test(text)) return Effect.fail(Array.isArray(JSON.parse(text)) ? wrong(noObject) : notWellFormed)
  } catch {
    return Effect.fail(notWellFormed)
  }
  return Effect.succeed(text)
}

const noObject = "The body must be a JSON object."

const isJson = /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?$/i

/** What the library takes for JSON, and what it doesn't. */
const contentType = ({ "content-type": type = "application/json", "content-length": length }: Request["headers"]) =>
  // Clients name a type even where they send nothing.
  isJson.test(type) || length === "0" ? "application/json" : "application/octet-stream"

/** The same request; reading its text dies of the problem that a bad body is answered with (request-problems.ts). */
export const withCheckedBody = (request: Request, limitBytes: number): Request => {
  const text = Effect.flatMap(readText(request, limitBytes), jsonObject)
  return Object.create(request, {
    headers: { value: { ...request.headers, "content-type": contentType(request.headers) } },
    text: { value: Effect.orDie(text) }
  })
}

export const notJson = wrong("The body must be JSON: send Content-Type: application/json.")

/** A request's body: bounded, UTF-8, a JSON object no deeper than what walks through it can take. */
import { isUtf8 } from "node:buffer"
import { ByteSize, Context, Effect, Layer } from "effect"
import { HttpIncomingMessage, type HttpServerError, HttpServerRequest, type HttpServerResponse } from "effect/http"
import type { unhandled } from "effect/Types"
import { JsonBody, MaxBodyBytes } from "../../contract/body.ts"
import { type InvalidRequest, PayloadTooLarge } from "../../contract/problems.ts"
import { invalid, notWellFormed } from "./invalid.ts"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse
type Refusal = InvalidRequest | PayloadTooLarge

const tooLarge = (limitBytes: number) =>
  new PayloadTooLarge({ detail: `The body is larger than ${limitBytes} bytes.`, limitBytes })

const wrong = (message: string) => invalid({ path: "", message })

const isTooLarge = ({ reason }: HttpServerError.HttpServerError) =>
  reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge"

const utf8 = new TextDecoder()

const readBytes = (request: Request, limitBytes: number): Effect.Effect<Buffer, Refusal> => {
  if (Number(request.headers["content-length"] ?? 0) > limitBytes) return Effect.fail(tooLarge(limitBytes))
  return request.arrayBuffer.pipe(
    Effect.provideService(HttpIncomingMessage.MaxBodySize, ByteSize.bytes(limitBytes)),
    Effect.mapError((error) => (isTooLarge(error) ? tooLarge(limitBytes) : wrong("The body broke off."))),
    Effect.flatMap((bytes) => {
      const buffer = Buffer.from(bytes)
      return isUtf8(buffer) ? Effect.succeed(buffer) : Effect.fail(wrong("The body isn't UTF-8."))
    })
  )
}

/** Far deeper than anything of ours, and shallow enough for what walks through it level by level, call within call. */
const maxDepth = 1100

const isTooDeep = (json: unknown) => {
  const rest: Array<{ readonly value: unknown; readonly depth: number }> = [{ value: json, depth: 0 }]
  for (let next = rest.pop(); next !== undefined; next = rest.pop()) {
    if (typeof next.value !== "object" || next.value === null) continue
    if (next.depth >= maxDepth) return true
    for (const inner of Object.values(next.value)) rest.push({ value: inner, depth: next.depth + 1 })
  }
  return false
}

/** The fault of a body that is long or does not begin as an object, found before its schema is asked. */
const jsonFault = (text: string): string | undefined => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch {
    return notWellFormed
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) return "The body must be a JSON object."
  return isTooDeep(json) ? `The body must not be nested deeper than ${maxDepth} levels.` : undefined
}

const openingBrace = "{".charCodeAt(0)

/** Most bodies: an object, and too short to be nested too deep, which takes two brackets a level. */
const isPlain = (bytes: Buffer) => bytes[0] === openingBrace && bytes.length < 2 * maxDepth

const isJson = /^application\/json\s*(;\s*charset="?utf-?8"?\s*)?;?$/i

const hasJson = ({ "content-type": type = "application/json", "content-length": length }: Request["headers"]) =>
  // Clients name a type even where they send nothing.
  isJson.test(type) || length === "0"

/** No body is an object without fields: where none is required, none need be sent. */
const withoutBody = (request: Request): Request =>
  Object.create(request, {
    headers: { value: { ...request.headers, "content-type": "application/json" } },
    text: { value: Effect.succeed("{}") }
  })

const notJson = wrong("The body must be JSON: send Content-Type: application/json.")

/** A body of at most so many bytes as text; for a webhook, whose signature is over just that. */
export const readText = (request: Request, limitBytes: number): Effect.Effect<string, Refusal> =>
  hasJson(request.headers)
    ? Effect.map(readBytes(request, limitBytes), (bytes) => bytes.toString())
    : Effect.fail(notJson)

export const jsonBody = Layer.succeed(JsonBody, (httpEffect, { endpoint }) => {
  if (endpoint.payload.size === 0) return httpEffect
  const limitBytes = Context.get(endpoint.annotations, MaxBodyBytes)

  const checked = (request: Request, bytes: Buffer): Effect.Effect<Response, unhandled | Refusal> => {
    if (isPlain(bytes)) return httpEffect
    // As the library decodes it: without a byte order mark.
    const text = utf8.decode(bytes)
    if (text.trim() === "") {
      return Effect.provideService(httpEffect, HttpServerRequest.HttpServerRequest, withoutBody(request))
    }
    const fault = jsonFault(text)
    return fault === undefined ? httpEffect : Effect.fail(wrong(fault))
  }

  return Effect.flatMap(HttpServerRequest.HttpServerRequest, (request): Effect.Effect<Response, unhandled | Refusal> =>
    hasJson(request.headers)
      ? Effect.flatMap(readBytes(request, limitBytes), (bytes) => checked(request, bytes))
      : Effect.fail(notJson)
  )
})

/** A client's HTTP: keep-alive, one answer or none, never longer than its patience. */
import * as http from "node:http"
import type { Request } from "./journal.ts"

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  readonly ms: number
}

export interface NoAnswer {
  readonly lost: string
  readonly ms: number
}

export interface Asking {
  readonly origin: string
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | undefined
  /** Milliseconds until it gives up on an answer. */
  readonly patience: number
}

export const ask = (agent: http.Agent, { origin, method, path, headers, body, patience }: Asking) => {
  const { promise, resolve } = Promise.withResolvers<Answer | NoAnswer>()
  const since = performance.now()
  const ms = () => Math.round((performance.now() - since) * 10) / 10
  // The first that happens counts: a request that was given up fails besides.
  const lost = (reason: string) => resolve({ lost: reason, ms: ms() })
  const length = body === undefined ? {} : { "content-length": `${Buffer.byteLength(body)}` }
  const type = body === undefined ? {} : { "content-type": "application/json" }
  const request = http.request(
    new URL(path, origin),
    { agent, method, headers: { ...type, ...length, ...headers } },
    (response) => {
      const chunks: Array<Buffer> = []
      response.on("data", (chunk: Buffer) => chunks.push(chunk))
      response.on("error", (error) => lost(error.message))
      response.on("end", () => {
        const { statusCode: status = 0, headers: given } = response
        resolve({ status, headers: given, text: Buffer.concat(chunks).toString(), ms: ms() })
      })
    }
  )
  const timer = setTimeout(() => {
    lost(`silence for ${patience} ms`)
    request.destroy()
  }, patience)
  request.on("error", (error: NodeJS.ErrnoException) => lost(error.code ?? error.message))
  request.end(body)
  return promise.finally(() => clearTimeout(timer))
}

/** What opens the service's doors. */
export interface Credentials {
  readonly serviceKey: string
  /** Tokens by user. */
  readonly tokens: Readonly<Record<string, string>>
}

/** The app in whose name the clients ask. */
export const app = "torture"

export const headersOf = (request: Request, { serviceKey, tokens }: Credentials): Readonly<Record<string, string>> => ({
  ...(request.byUser
    ? { authorization: `Bearer ${tokens[request.userId] ?? ""}` }
    : { "x-service-key": serviceKey, "x-app-id": app }),
  ...(request.key === undefined ? {} : { "idempotency-key": request.key })
})

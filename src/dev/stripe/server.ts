/** The simulator's HTTP server, on the loopback interface only. Plain `node:http`: faults reach down to the socket. */
import * as http from "node:http"
import type { AddressInfo } from "node:net"
import { Data, Effect, type Scope } from "effect"
import type { Outcome } from "./api-call.ts"
import type { PageReply } from "./pages.ts"

export class StripeSimulatorError extends Data.TaggedError("StripeSimulatorError")<{ readonly message: string }> {}

export interface Incoming {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly query: string
  readonly body: string
  readonly headers: http.IncomingHttpHeaders
}

export type Reply = Outcome | { readonly way: "page"; readonly page: PageReply }

// As large as the largest call we expect, many times over.
const mostBytes = 1024 * 1024

const bodyOf = async (request: http.IncomingMessage) => {
  const chunks: Array<Uint8Array> = []
  let bytes = 0
  for await (const chunk of request) {
    const part = Buffer.from(chunk)
    bytes += part.length
    if (bytes > mostBytes) throw new Error("The body is too large.")
    chunks.push(part)
  }
  return Buffer.concat(chunks).toString()
}

const send = (response: http.ServerResponse, reply: Reply) => {
  if (reply.way === "page") {
    response.writeHead(reply.page.status, reply.page.headers).end(reply.page.body)
    return
  }
  // Silence: the client's patience ends it, or the simulator's end.
  if (reply.way === "hang") return
  if (reply.way === "reset") {
    response.socket?.resetAndDestroy()
    return
  }
  const body = Buffer.from(JSON.stringify(reply.answer.body, null, 2))
  response.writeHead(reply.answer.status, {
    ...reply.answer.headers,
    "content-type": "application/json",
    "content-length": body.length
  })
  if (reply.way === "cut-off") response.write(body.subarray(0, body.length / 2), () => response.socket?.destroy())
  else response.end(body)
}

export interface Listening {
  readonly url: string
  readonly port: number
  /** Nothing is answered before this. */
  readonly serve: (handle: (incoming: Incoming) => Promise<Reply>) => void
}

/** Listens until the scope ends. Port 0 takes a free one. */
export const listen = Effect.fnUntraced(function* (
  port: number
): Effect.fn.Return<Listening, StripeSimulatorError, Scope.Scope> {
  let open: (handle: (incoming: Incoming) => Promise<Reply>) => void = () => undefined
  const handler = new Promise<(incoming: Incoming) => Promise<Reply>>((resolve) => {
    open = resolve
  })
  const answer = async (request: http.IncomingMessage, response: http.ServerResponse) => {
    const [path = "/", query = ""] = (request.url ?? "/").split("?")
    const handle = await handler
    const body = await bodyOf(request)
    const method = request.method === "POST" ? "POST" : "GET"
    send(response, await handle({ method, path, query, body, headers: request.headers }))
  }
  // Longer than a client keeps an idle connection: resets happen only when asked for.
  const server = http.createServer({ keepAliveTimeout: 120_000 }, (request, response) => {
    answer(request, response).catch((error: unknown) => {
      // A bug of the simulator's, or a client that left; either way nobody mistakes it for Stripe's answer.
      if (!response.headersSent) response.writeHead(500, { "content-type": "text/plain" })
      response.end(`The Stripe simulator failed: ${String(error)}\n`)
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void, StripeSimulatorError>((resume) => {
      server.once("error", (error) =>
        resume(new StripeSimulatorError({ message: `The Stripe simulator can't listen: ${error.message}` }))
      )
      server.listen(port, "127.0.0.1", () => resume(Effect.void))
    }),
    () =>
      Effect.callback<void>((resume) => {
        server.close(() => resume(Effect.void))
        server.closeAllConnections()
      })
  )
  const address: AddressInfo | string | null = server.address()
  const bound = typeof address === "object" && address !== null ? address.port : port
  return { url: `http://127.0.0.1:${bound}`, port: bound, serve: open }
})

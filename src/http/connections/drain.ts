/** The end of a server: no new connections, every request in flight answered, and what takes too long cut off. */
import type { Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/** Makes the function that begins the end. Idle connections are closed at once by node itself. */
export const drain = (server: Server, timeoutMs: number) => {
  const unanswered = new Set<ServerResponse>()
  server.on("request", (_, response) => {
    unanswered.add(response)
    response.once("close", () => unanswered.delete(response))
  })
  return () => {
    // A kept-alive connection ends with its response: with the last one, where several requests were sent at once.
    const lastOf = new WeakMap<Socket, ServerResponse>()
    const last = (response: ServerResponse) => {
      const { socket } = response.req
      const before = lastOf.get(socket)
      if (before !== undefined && !before.headersSent) before.removeHeader("connection")
      lastOf.set(socket, response)
      if (!response.headersSent) response.setHeader("connection", "close")
      response.once("close", () => server.closeIdleConnections())
    }
    server.prependListener("request", (_, response) => last(response))
    for (const response of unanswered) last(response)
    const cutOff = setTimeout(() => server.closeAllConnections(), timeoutMs)
    server.once("close", () => clearTimeout(cutOff))
  }
}

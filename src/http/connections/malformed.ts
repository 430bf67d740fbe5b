/** Answers bytes that aren't HTTP and requests that take too long to arrive, and ends their connection. */
import type * as http from "node:http"
import type * as net from "node:net"
import { securityHeaders } from "../middleware/security-headers.ts"

const headerLines = Object.entries(securityHeaders)
  .map(([name, value]) => `${name}: ${value}\r\n`)
  .join("")

const problemOf = (status: number, reason: string) => {
  const problem = { type: "about:blank", title: reason, status, detail: reason, code: "invalid_request" }
  return JSON.stringify({ ...problem, message: reason, issues: [{ path: "", message: reason }] })
}

export const refuseConnection = (error: Error & { readonly code?: string }, socket: net.Socket) => {
  // It comes for each further piece of nonsense until the connection has ended.
  if (socket.writableEnded) return
  const [status, reason] =
    error.code === "ERR_HTTP_REQUEST_TIMEOUT"
      ? ([408, "Request Timeout"] as const)
      : error.code === "HPE_HEADER_OVERFLOW"
        ? ([431, "Request Header Fields Too Large"] as const)
        : ([400, "Bad Request"] as const)
  const body = problemOf(status, reason)
  if (socket.writable) {
    socket.write(
      `HTTP/1.1 ${status} ${reason}\r\nContent-Type: application/problem+json\r\n${headerLines}` +
        `Content-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`
    )
  }
  // Whether or not the other side reads it.
  socket.destroySoon()
}

/** Of all that may be expected we know `100-continue`. */
export const refuseExpectation = (_: http.IncomingMessage, response: http.ServerResponse) => {
  response.writeHead(417, { ...securityHeaders, "content-type": "application/problem+json", connection: "close" })
  response.end(problemOf(417, "Expectation Failed"))
}

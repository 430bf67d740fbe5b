/**
 * Attacks: thousands of requests sent at once on one connection, all of them begun before anybody else's; clients that ask
 * and never read, until the responses fill the memory. One list of the responses under way bounds both, with one listener
 * a response: each further one costs a request 10 µs.
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/**
 * Requests of one connection under way, or begun in one turn of the event loop. Clients and proxies send the next one
 * after the response.
 */
const maxUnderWay = 20

/** Between two looks at what clients haven't read. */
const unsentCheckMs = 50

interface Connection {
  underWay: number
}

export const openResponses = (server: Server, maxUnsentBytes: number) => {
  /** In the order of their requests. */
  const open = new Set<ServerResponse>()
  const connections = new WeakMap<Socket, Connection>()
  let ended: Array<Connection> = []
  let unsentCheck: NodeJS.Timeout | undefined

  const connectionOf = (socket: Socket) => {
    const known = connections.get(socket)
    if (known !== undefined) return known
    const connection = { underWay: 0 }
    connections.set(socket, connection)
    return connection
  }

  const countEnded = () => {
    for (const connection of ended) connection.underWay -= 1
    ended = []
  }

  /** Ends the connections whose responses have waited longest: clients that read have taken theirs long before. */
  const checkUnsent = () => {
    unsentCheck = undefined
    const unsent = [...open].filter((response) => response.writableLength > 0)
    let total = unsent.reduce((bytes, response) => bytes + response.writableLength, 0)
    for (const response of unsent) {
      if (total <= maxUnsentBytes) break
      total -= response.writableLength
      response.req.socket.destroy()
    }
    if (unsent.length > 0) scheduleCheck()
  }
  const scheduleCheck = () => {
    unsentCheck ??= setTimeout(checkUnsent, unsentCheckMs).unref()
  }

  function forget(this: ServerResponse) {
    open.delete(this)
    // Not at once: a response given in the same turn has kept everybody else waiting, too.
    if (ended.length === 0) setImmediate(countEnded)
    ended.push(connectionOf(this.req.socket))
  }

  return {
    /** Counts a request; false where it isn't to be begun: a connection with too many is ended. */
    begin: ({ socket }: IncomingMessage, response: ServerResponse) => {
      const connection = connectionOf(socket)
      connection.underWay += 1
      if (connection.underWay > maxUnderWay) socket.destroy()
      if (socket.destroyed) return false
      open.add(response)
      response.once("close", forget)
      scheduleCheck()
      return true
    },

    /** Whether a request that came whole on this connection waits for its response. */
    isWaitedOn: (socket: Socket) => [...open].some(({ req }) => req.socket === socket && req.complete),

    /**
     * The end of the server: every request in flight is answered, and what takes too long cut off. A kept-alive connection
     * ends with its response: with the last one, where several requests were sent at once. Node closes idle ones itself.
     */
    drain: (timeoutMs: number) => {
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
      for (const response of open) last(response)
      const cutOff = setTimeout(() => server.closeAllConnections(), timeoutMs)
      server.once("close", () => clearTimeout(cutOff))
    }
  }
}

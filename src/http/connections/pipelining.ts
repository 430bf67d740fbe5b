/** Attack: thousands of requests sent at once on one connection, all of them begun before anybody else's. */
import type { IncomingMessage, ServerResponse } from "node:http"
import type { Socket } from "node:net"

/**
 * Requests of one connection under way, or begun in one turn of the event loop. Clients and proxies send the next one
 * after the response.
 */
const maxUnderWay = 20

export const pipelining = () => {
  const underWay = new WeakMap<Socket, Set<IncomingMessage>>()
  return {
    /** Counts a request; false where it isn't to be begun: a connection with too many is ended. */
    begin: (request: IncomingMessage, response: ServerResponse) => {
      const { socket } = request
      const requests = underWay.get(socket) ?? new Set()
      underWay.set(socket, requests.add(request))
      if (requests.size > maxUnderWay) socket.destroy()
      if (socket.destroyed) return false
      // Not at once: a response given in the same turn has kept everybody else waiting, too.
      response.once("close", () => setImmediate(() => requests.delete(request)))
      return true
    },
    /** Whether a request that came whole on this connection waits for its response. */
    isWaitedOn: (socket: Socket) => [...(underWay.get(socket) ?? [])].some((request) => request.complete)
  }
}

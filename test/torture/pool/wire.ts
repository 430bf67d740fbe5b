/** The network between a client and Postgres, where a scenario can cut it. */
import { once } from "node:events"
import * as net from "node:net"

export interface Proxy {
  /** The address with which to connect through it. */
  readonly url: string
  /** Ends every connection that there is, without a goodbye. */
  readonly cut: () => void
  /** Lets this many more bytes of the next answers through, then cuts. */
  readonly cutAnswersAfter: (bytes: number) => void
  /** Connections of which a side hasn't hung up yet. */
  readonly open: () => number
  readonly close: () => Promise<void>
}

interface Pair {
  readonly client: net.Socket
  readonly server: net.Socket
}

export const startProxy = async (to: string): Promise<Proxy> => {
  const target = new URL(to)
  const pairs = new Set<Pair>()
  let budget = Number.POSITIVE_INFINITY

  const cutPair = (pair: Pair) => {
    pairs.delete(pair)
    // A reset: neither side is told that the other is done.
    pair.client.resetAndDestroy()
    pair.server.resetAndDestroy()
  }
  const listener = net.createServer((client) => {
    const server = net.connect({ host: target.hostname, port: Number(target.port), noDelay: true })
    client.setNoDelay(true)
    const pair = { client, server }
    pairs.add(pair)
    for (const socket of [client, server]) {
      socket.on("error", () => undefined)
    }
    // Each side hangs up when the other one has, and a client that has is rid of its connection.
    client.on("close", () => {
      pairs.delete(pair)
      server.destroy()
    })
    server.on("close", () => client.end())
    client.on("data", (chunk) => server.write(chunk))
    server.on("data", (chunk) => {
      if (chunk.length <= budget) {
        budget -= chunk.length
        client.write(chunk)
        return
      }
      // What was let through arrives before the end.
      client.write(chunk.subarray(0, budget), () => cutPair(pair))
      budget = Number.POSITIVE_INFINITY
    })
    client.on("end", () => server.end())
    server.on("end", () => client.end())
  })
  listener.listen(0, "127.0.0.1")
  await once(listener, "listening")
  const address = listener.address()
  const url = new URL(to)
  url.port = String(typeof address === "object" && address !== null ? address.port : 0)
  return {
    url: url.href,
    cut: () => {
      for (const pair of pairs) cutPair(pair)
    },
    cutAnswersAfter: (bytes) => {
      budget = bytes
    },
    open: () => pairs.size,
    close: async () => {
      for (const pair of pairs) cutPair(pair)
      await new Promise((resolve) => listener.close(resolve))
    }
  }
}

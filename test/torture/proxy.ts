/**
 * A wire between the service and PostgreSQL that sees what goes over it: TCP on loopback, reading along just enough of
 * the protocol to know when a statement was sent and when the server has committed it.
 */
import { once } from "node:events"
import * as net from "node:net"
import { stablePort } from "./ports.ts"

/** `committed`: the server is ready for the next query, and the client hasn't been told. `sent`: the statement is on its way. */
type Moment = "sent" | "committed"

interface Ambush {
  readonly text: Buffer
  readonly moment: Moment
  readonly strike: (wire: Wire) => Promise<void>
}

export interface Wire {
  /** Both ends at once, as a broken network: nothing more goes either way. */
  readonly cut: () => void
}

export interface Proxy {
  readonly port: number
  /**
   * Waits for the statement that has this text in it and strikes at the moment asked for. Nothing goes on over that
   * connection until the strike has ended. `called` tells whether it came to it.
   */
  readonly ambush: (text: string, moment: Moment, strike: (wire: Wire) => Promise<void>) => { readonly called: boolean }
  readonly clearAmbushes: () => void
  /**
   * Cuts this share of the statements, chosen by the dice, in the middle: sent, and their answer never passed on. Some
   * are cut while the server is at work, some when it has committed. 0 stops it.
   */
  readonly cutSome: (share: number, random: () => number) => void
  /** How many were cut that way, and before how many of them the server had answered. */
  readonly cuts: () => { readonly all: number; readonly answered: number }
  readonly cutAll: () => number
  /** How many are connected just now. */
  readonly connections: () => number
  readonly close: () => Promise<void>
}

/** Milliseconds that a statement that is to be cut may be at work, at most: about what one takes. */
const atWork = 20

const readyForQuery = "Z".charCodeAt(0)
const sync = "S".charCodeAt(0)

/** Walks over the messages of one direction: a type, a length that counts itself, the rest. */
const messages = (hasStartup: boolean) => {
  let isStartup = hasStartup
  let head = Buffer.alloc(0)
  let skip = 0
  /** The types of the messages that begin in a chunk. */
  return (chunk: Buffer): ReadonlyArray<number> => {
    const types: Array<number> = []
    let at = 0
    while (at < chunk.length) {
      if (skip > 0) {
        const step = Math.min(skip, chunk.length - at)
        skip -= step
        at += step
        continue
      }
      const size = isStartup ? 4 : 5
      const need = size - head.length
      head = Buffer.concat([head, chunk.subarray(at, at + need)])
      at += need
      if (head.length < size) break
      if (!isStartup) types.push(head[0] ?? 0)
      skip = head.readUInt32BE(size - 4) - 4
      isStartup = false
      head = Buffer.alloc(0)
    }
    return types
  }
}

export const startProxy = async (target: number): Promise<Proxy> => {
  const port = await stablePort()
  const ambushes = new Set<Ambush>()
  const wires = new Set<Wire>()
  let cutShare = 0
  let dice = () => 1
  const cuts = { all: 0, answered: 0 }

  const taken = (sent: Buffer, moment: Moment) => {
    for (const ambush of ambushes) {
      if (ambush.moment !== moment || !sent.includes(ambush.text)) continue
      ambushes.delete(ambush)
      return ambush
    }
    return undefined
  }

  const server = net.createServer((client) => {
    const upstream = net.connect({ host: "127.0.0.1", port: target, noDelay: true })
    client.setNoDelay(true)
    const wire: Wire = {
      cut: () => {
        wires.delete(wire)
        client.resetAndDestroy()
        upstream.resetAndDestroy()
      }
    }
    wires.add(wire)
    for (const socket of [client, upstream]) {
      socket.on("error", () => wire.cut())
      socket.on("close", () => wire.cut())
    }
    client.on("end", () => upstream.end())
    upstream.on("end", () => client.end())

    const fromClient = messages(true)
    const fromServer = messages(false)
    let sent = Buffer.alloc(0)
    /** To be cut: nothing more is passed on. */
    let isDoomed = false

    client.on("data", (chunk: Buffer) => {
      sent = Buffer.concat([sent, chunk])
      const isWhole = fromClient(chunk).includes(sync)
      upstream.write(chunk)
      if (!isWhole) return
      const ambush = taken(sent, "sent")
      if (ambush !== undefined) return void ambush.strike(wire)
      if (cutShare > 0 && dice() < cutShare) {
        cuts.all += 1
        isDoomed = true
        setTimeout(() => wire.cut(), dice() * atWork)
      }
    })
    upstream.on("data", (chunk: Buffer) => {
      const isReady = fromServer(chunk).includes(readyForQuery)
      if (isDoomed) {
        if (!isReady) return
        cuts.answered += 1
        return wire.cut()
      }
      const ambush = isReady ? taken(sent, "committed") : undefined
      if (isReady) sent = Buffer.alloc(0)
      if (ambush === undefined) return void client.write(chunk)
      // The client isn't told before the strike is over, if there still is a client then.
      upstream.pause()
      void (async () => {
        await ambush.strike(wire)
        if (client.writable) client.write(chunk)
        upstream.resume()
      })()
    })
  })
  server.listen(port, "127.0.0.1")
  await once(server, "listening")

  const cutAll = () => {
    const all = [...wires]
    for (const wire of all) wire.cut()
    return all.length
  }

  return {
    port,
    ambush: (text, moment, strike) => {
      const state = { called: false }
      ambushes.add({
        text: Buffer.from(text),
        moment,
        strike: (wire) => {
          state.called = true
          return strike(wire)
        }
      })
      return state
    },
    clearAmbushes: () => ambushes.clear(),
    cutSome: (share, random) => {
      cutShare = share
      dice = random
    },
    cuts: () => ({ ...cuts }),
    cutAll,
    connections: () => wires.size,
    close: async () => {
      cutAll()
      const closed = once(server, "close")
      server.close()
      await closed
    }
  }
}

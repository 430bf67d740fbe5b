/** One connection, byte by byte. */
import * as net from "node:net"
import { eventually } from "../support/wait.ts"

/** A connection on which nothing but what a test writes is sent, and all that comes back until it ends. */
export const connect = async (port: number) => {
  const socket = net.connect(port, "127.0.0.1")
  let received = ""
  socket.setEncoding("utf8").on("data", (chunk: string) => (received += chunk))
  // Cut off in the middle of what we send: what came back until then counts.
  socket.on("error", () => undefined)
  const ended = new Promise<void>((resolve) => socket.once("close", () => resolve()))
  await new Promise<void>((resolve) => socket.once("connect", resolve))
  return {
    socket,
    write: (text: string) => socket.write(text),
    ended: async () => {
      await ended
      return received
    },
    received: (hoped: (text: string) => boolean) => eventually(async () => received, hoped)
  }
}

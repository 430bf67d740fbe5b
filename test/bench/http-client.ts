/**
 * The load generator's HTTP: one keep-alive connection that asks one thing at a time and knows no more of HTTP than
 * status, content-length and body. node:http's own client costs as much as the service it would measure.
 */
import { once } from "node:events"
import * as net from "node:net"

export interface Answer {
  readonly status: number
  readonly body: string
}

export const connect = async (port: number) => {
  const socket = net.connect({ host: "127.0.0.1", port, noDelay: true })
  await once(socket, "connect")
  let received = Buffer.alloc(0)
  let waiting: { readonly resolve: (answer: Answer) => void; readonly reject: (error: Error) => void } | undefined
  const fail = (error: Error) => {
    waiting?.reject(error)
    waiting = undefined
  }
  socket.on("error", fail)
  socket.on("close", () => fail(new Error("the connection was closed")))
  socket.on("data", (chunk) => {
    received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
    const end = received.indexOf("\r\n\r\n")
    if (end < 0) return
    const head = received.toString("latin1", 0, end)
    const length = Number(/content-length: *(\d+)/i.exec(head)?.[1] ?? Number.NaN)
    if (Number.isNaN(length)) return fail(new Error(`an answer without a length: ${head}`))
    if (received.length < end + 4 + length) return
    const body = received.toString("utf8", end + 4, end + 4 + length)
    received = received.subarray(end + 4 + length)
    waiting?.resolve({ status: Number(head.slice(9, 12)), body })
    waiting = undefined
  })
  return {
    post: (path: string, headers: Readonly<Record<string, string>>, body: string) =>
      new Promise<Answer>((resolve, reject) => {
        waiting = { resolve, reject }
        const lines = Object.entries({ host: "127.0.0.1", "content-type": "application/json", ...headers })
        socket.write(
          `POST ${path} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}` +
            `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
        )
      }),
    close: () => socket.destroy()
  }
}

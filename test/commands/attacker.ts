/**
 * Somebody who tries to keep a service busy: connections that drip, rest or never read, heads too large, shapes that
 * smuggle, floods. A process of its own, so that what it does to itself isn't taken for what it does to the service.
 *
 *     node test/commands/attacker.ts <port> <service key> <of each kind>
 */
import * as net from "node:net"

const [port = "", key = "", each = "1", only = ""] = process.argv.slice(2)

const head = (path: string, ...lines: ReadonlyArray<string>) =>
  [`POST ${path} HTTP/1.1`, "Host: x", "Content-Type: application/json", ...lines, "", ""].join("\r\n")
const use = "/api/v1/internal/credits/use"

type Attack = (write: (text: string) => boolean, socket: net.Socket) => void

const often = (socket: net.Socket, milliseconds: number, act: () => void) => {
  const timer = setInterval(() => socket.writable && act(), milliseconds)
  socket.once("close", () => clearInterval(timer))
}

/** As fast as the other side takes it. */
const flood = (socket: net.Socket, text: string) => {
  const more = () => {
    while (socket.writable && socket.write(text));
  }
  socket.on("drain", more)
  more()
}

const attacks: Readonly<Record<string, Attack>> = {
  "a connection at rest": () => undefined,
  "a head, byte by byte": (write, socket) => {
    write(`GET /health HTTP/1.1\r\nHost: x\r\nX: `)
    often(socket, 500, () => write("x"))
  },
  "a body, byte by byte": (write, socket) => {
    write(head(use, `X-Service-Key: ${key}`, "Content-Length: 60000"))
    often(socket, 500, () => write(" "))
  },
  "chunks of a byte": (write, socket) => {
    write(head(use, `X-Service-Key: ${key}`, "Transfer-Encoding: chunked"))
    often(socket, 5, () => write("1\r\n \r\n"))
  },
  "half closed": (write, socket) => {
    write("GET /health HTTP/1.1\r\nHost: x\r\n")
    socket.end()
  },
  "heads too large": (_, socket) => flood(socket, `GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`),
  "heads of two thousand lines": (_, socket) =>
    flood(socket, `GET /nothing HTTP/1.1\r\nHost: x\r\n${"a:b\r\n".repeat(2000)}\r\n`),
  "a length and chunks": (write) =>
    write(
      `${head(use, "Content-Length: 4", "Transfer-Encoding: chunked")}0\r\n\r\nGET /docs HTTP/1.1\r\nHost: x\r\n\r\n`
    ),
  "a body without end": (write, socket) => {
    write(head(use, `X-Service-Key: ${key}`, "Transfer-Encoding: chunked"))
    flood(socket, `4000\r\n${" ".repeat(0x4000)}\r\n`)
  },
  "many requests at once, no answer read": (_, socket) => {
    socket.pause()
    flood(socket, "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(20))
  },
  "bad keys": (_, socket) =>
    flood(socket, `${head(use, "X-Service-Key: mana_abcdefgh_wrong", "Content-Length: 2")}{}`.repeat(5)),
  "bad tokens": (_, socket) =>
    flood(socket, "GET /api/v1/credits/balance HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer a.b.c\r\n\r\n".repeat(5)),
  "codes guessed": (_, socket) =>
    flood(socket, "GET /api/v1/gifts/0000-0000-0000 HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5)),
  "is it ready": (_, socket) => flood(socket, "GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n".repeat(5)),
  "what is no HTTP": (_, socket) => flood(socket, "\x16\x03\x01\x02\x00".repeat(100))
}

/** Of the kinds that send as fast as they can one does: more would only measure the machine that both run on. */
const isFlood = (attack: Attack) => attack.toString().includes("flood(")

const begin = (attack: Attack) => {
  const socket = net.connect(Number(port), "127.0.0.1")
  socket.on("error", () => undefined)
  socket.once("connect", () => {
    socket.resume()
    attack((text) => socket.write(text), socket)
  })
  // Cut off, it comes again.
  socket.once("close", () => setTimeout(() => begin(attack), 50))
}

for (const [name, attack] of Object.entries(attacks)) {
  if (!name.includes(only)) continue
  for (let n = 0; n < (isFlood(attack) ? 1 : Number(each)); n += 1) begin(attack)
}
console.log("attacking")

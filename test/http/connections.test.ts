import * as net from "node:net"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { session } from "../support/session.ts"
import { eventually } from "../support/wait.ts"
import { connect } from "./connection.ts"
import { authService, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)
const impatient = await startService(db, auth, {
  limits: { headersTimeoutMs: 300, requestTimeoutMs: 600, checkIntervalMs: 50, idleTimeoutMs: 1000 }
})

const path = "/api/v1/internal/credits/use"
const head = (headers: ReadonlyArray<string>, target = path) =>
  [
    `POST ${target} HTTP/1.1`,
    "Host: x",
    `X-Service-Key: ${serviceKey}`,
    "Content-Type: application/json",
    ...headers,
    "",
    ""
  ].join("\r\n")
const debit = (userId: string) => JSON.stringify({ userId, amount: 1, appId: "a", description: "d" })
const whole = (body: string, headers: ReadonlyArray<string> = [], target = path) =>
  head([`Content-Length: ${body.length}`, ...headers], target) + body

test.each([
  ["not a byte", ""],
  ["a head that never ends", "POST / HTTP/1.1\r\nHost: x\r\n"],
  ["a body that never comes", head(["Content-Length: 10"])],
  ["half a body", `${head(["Content-Length: 100"])}{"userId":`],
  ["a chunk that never comes", `${head(["Transfer-Encoding: chunked"])}5\r\n{"a"`]
])("%s is waited for, but not for long", async (_what, text) => {
  const before = await db.books()
  const { write, ended } = await connect(impatient.port)
  write(text)
  const answer = await ended()
  expect(answer).toMatch(/^HTTP\/1\.1 408 /)
  expect(answer).toContain("application/problem+json")
  expect(await db.books()).toEqual(before)
})

test("who asks and never reads the answers is cut off", async () => {
  const { socket, ended } = await connect(impatient.port)
  socket.pause()
  const many = "GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(100)
  while (socket.write(many));
  expect((await ended()).length).toBeLessThan(20_000_000)
})

test("answers that nobody reads take bounded room: who has waited longest is cut off, and who reads gets all", async () => {
  const narrow = await startService(db, auth, {
    limits: { maxUnsentBytes: 4_000_000 }
  })
  const userId = await db.userWith(200)
  const metadata = { text: "x".repeat(8000) }
  const items = Array.from({ length: 200 }, () => ({ userId, amount: 1, appId: "a", description: "d", metadata }))
  await db.call("credits.use_many", { items })
  const target = "/api/v1/credits/transactions?limit=200"
  const authorization = `Bearer ${await auth.token(userId)}`
  const asked = (connection: string) =>
    `GET ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: ${authorization}\r\nConnection: ${connection}\r\n\r\n`

  const { socket, ended } = await connect(narrow.port)
  socket.pause()
  socket.write(asked("keep-alive").repeat(19) + asked("close"))
  const answered = (lines: ReadonlyArray<string>) => lines.filter((line) => line.includes("credits/transactions"))
  await eventually(
    async () => answered(narrow.lines),
    (lines) => lines.length === 20
  )
  const { status, json } = await narrow.request("GET", target, { headers: { authorization } })
  expect([status, json.length]).toEqual([200, 200])
  socket.resume()
  // All of them would be 33 MB.
  expect((await ended()).length).toBeLessThan(20_000_000)
})

test("a head that comes in drops is cut off all the same", async () => {
  const { socket, write, ended } = await connect(impatient.port)
  write("GET /health HTTP/1.1\r\nHost: x\r\n")
  const drops = setInterval(() => socket.write("x"), 20)
  expect(await ended()).toMatch(/^HTTP\/1\.1 408 /)
  clearInterval(drops)
})

test("a body that comes in drops is cut off all the same", async () => {
  const { socket, write, ended } = await connect(impatient.port)
  write(head(["Content-Length: 60000"]))
  const drops = setInterval(() => socket.write(" "), 20)
  expect(await ended()).toMatch(/^HTTP\/1\.1 408 /)
  clearInterval(drops)
})

test.each([
  ["nonsense", "nonsense\r\n\r\n", 400],
  ["no host", "GET /health HTTP/1.1\r\n\r\n", 400],
  ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400],
  ["a length and chunks", `${head(["Content-Length: 5", "Transfer-Encoding: chunked"])}0\r\n\r\n`, 400],
  ["two lengths", head(["Content-Length: 5", "Content-Length: 6"]), 400],
  ["a broken chunk", `${head(["Transfer-Encoding: chunked"])}zz\r\n`, 400],
  ["headers beyond 16 KiB", head([`X-Long: ${"x".repeat(20_000)}`]), 431]
])("%s is refused, and the connection ended", async (_what, text, status) => {
  const { write, ended } = await connect(service.port)
  write(text)
  expect(await ended()).toMatch(new RegExp(`^HTTP/1\\.1 ${status} `))
})

test("an offer to upgrade is declined, and the request answered", async () => {
  const userId = await db.userWith(5)
  const { socket, write, received } = await connect(service.port)
  write(whole(debit(userId), ["Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQ"]))
  expect(await received((text) => text.includes('"success":true'))).toMatch(/^HTTP\/1\.1 200 /)
  socket.destroy()
})

test("who asks before sending a body is told to go on", async () => {
  const userId = await db.userWith(5)
  const { socket, write, received } = await connect(service.port)
  write(head([`Content-Length: ${debit(userId).length}`, "Expect: 100-continue"]))
  expect(await received((text) => text.includes("\r\n\r\n"))).toBe("HTTP/1.1 100 Continue\r\n\r\n")
  write(debit(userId))
  expect(await received((text) => text.includes('"success":true'))).toContain("HTTP/1.1 200 OK")
  socket.destroy()
})

test("several requests on one connection, sent at once, are answered in order", async () => {
  const userId = await db.userWith(5)
  const { socket, write, received } = await connect(service.port)
  write(
    whole(debit(userId)) +
      whole("[]") +
      whole(debit(userId), [], "http://elsewhere.example/api/v1/internal/credits/use")
  )
  const answer = await received((text) => (text.match(/HTTP\/1\.1/g) ?? []).length === 3)
  expect([...answer.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).toEqual(["200", "400", "200"])
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 3 })
  socket.destroy()
})

test.each([
  ["of a debit", 413, head(["Transfer-Encoding: chunked"])],
  ["of nobody", 401, head(["Transfer-Encoding: chunked"]).replace(serviceKey, "wrong")],
  ["of another type", 400, head(["Transfer-Encoding: chunked"]).replace("application/json", "text/plain")],
  ["to where nothing is", 404, head(["Transfer-Encoding: chunked"], "/nothing")],
  ["to where none belongs", 405, head(["Transfer-Encoding: chunked"], "/health")]
])("a body without end, %s, is refused (%i), and not read without end", async (_what, status, text) => {
  const { socket, ended, write } = await connect(service.port)
  write(text)
  const chunk = `4000\r\n${" ".repeat(0x4000)}\r\n`
  const more = () => {
    while (socket.writable && socket.write(chunk));
    if (socket.writable) socket.once("drain", more)
  }
  more()
  expect((await ended()).split("\r\n", 1)).toEqual([expect.stringContaining(`HTTP/1.1 ${status} `)])
})

test("a body broken off writes nothing", async () => {
  const before = await db.books()
  const { socket, write } = await connect(service.port)
  const lines = service.lines.length
  write(`${head(["Content-Length: 1000"])}{"userId":"x"`)
  // Once it is read, so that the hanging up comes after.
  await new Promise((resolve) => setImmediate(resolve))
  socket.destroy()
  await eventually(
    async () => service.lines.slice(lines),
    (lately) => lately.some((line) => line.includes('"route":"/api/v1/internal/credits/use"'))
  )
  expect(await db.books()).toEqual(before)
})

test("a key that is sent twice is refused: of the two, somebody on the way may have seen one", async () => {
  const userId = await db.userWith(5)
  for (const other of ["k", "l"]) {
    const { write, ended } = await connect(service.port)
    write(whole(debit(userId), ["Idempotency-Key: k", `Idempotency-Key: ${other}`, "Connection: close"]))
    const answer = await ended()
    expect(answer).toMatch(/^HTTP\/1\.1 400 /)
    expect(answer).toContain('"path":"idempotency-key"')
  }
  expect(await db.balanceRow(userId)).toMatchObject({ balance: 5 })
})

test.each(["HTTP/1.1", "HTTP/1.0"])(
  "%s: who sends no more after the request is answered all the same",
  async (version) => {
    const userId = await db.userWith(5)
    const { socket, ended } = await connect(service.port)
    socket.end(whole(debit(userId)).replace("HTTP/1.1", version))
    expect(await ended()).toMatch(/^HTTP\/1\.1 200 /)
    expect(await db.balanceRow(userId)).toMatchObject({ balance: 4 })
  }
)

test("a debit whose client hung up is done, whole and once", async () => {
  const userId = await db.userWith(5)
  const holder = await db.pool.connect()
  await holder.query("begin")
  await holder.query("select from credits.balances where user_id = $1 for update", [userId])
  const { socket, write } = await connect(service.port)
  write(whole(debit(userId)))
  const waiting = () =>
    db.query("select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'")
  await eventually(waiting, (rows) => rows.length === 1)
  socket.destroy()
  await holder.query("commit")
  holder.release()
  expect(
    await eventually(
      () => db.balanceRow(userId),
      (row) => row.version === 2
    )
  ).toMatchObject({ balance: 4 })
})

test("what isn't HTTP behind a debit gets no answer that the debit could be thought to have got", async () => {
  const userId = await db.userWith(10)
  const { write, ended } = await connect(service.port)
  write(`${whole(debit(userId))}nonsense\r\n\r\n`)
  // Cut off, or answered rightly before: never told that it didn't happen.
  expect(await ended()).not.toMatch(/^HTTP\/1\.1 400/)
  await eventually(
    async () => (await db.balanceRow(userId)).balance,
    (balance) => balance === 9
  )
})

test("requests sent at once are all answered, though the service is told to stop meanwhile", async () => {
  const stopping = await startService(db, auth)
  const [held, free] = [await db.userWith(10), await db.userWith(10)]
  const holder = await session(db)
  await holder.query("begin")
  await holder.call("credits.use", { userId: held, amount: 1, appId: "a", description: "d" })
  const { write, ended } = await connect(stopping.port)
  write(whole(debit(held)) + whole(debit(free)))
  await eventually(
    async () => (await db.balanceRow(free)).balance,
    (balance) => balance === 9
  )
  const stopped = stopping.stop()
  await eventually(
    () =>
      new Promise<boolean>((resolve) => {
        const socket = net.connect(stopping.port, "127.0.0.1")
        socket.once("error", () => resolve(true)).once("connect", () => resolve(false))
        socket.once("connect", () => socket.destroy())
      }),
    (isRefused) => isRefused
  )
  await holder.query("commit")
  expect((await ended()).match(/HTTP\/1\.1 200/g)).toHaveLength(2)
  await stopped
  expect((await db.balanceRow(held)).balance).toBe(8)
})

test("a host in the request's target is nobody's fault", async () => {
  const token = await auth.token(await db.userWith(10))
  const { write, received, socket } = await connect(service.port)
  const target = "http://a:99999/api/v1/credits/transactions?limit=1"
  write(`GET ${target} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${token}\r\n\r\n`)
  expect(await received((text) => text.includes("\r\n\r\n"))).toMatch(/^HTTP\/1\.1 200 /)
  socket.destroy()
})

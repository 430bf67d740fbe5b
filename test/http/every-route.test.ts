/** What holds on every route of the contract, and on whatever else is answered: limits of a body, headers. */
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { connect } from "./connection.ts"
import { exampleOf, type Operation, operations } from "./operations.ts"
import { sender } from "./sender.ts"
import { authService, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth, { settings: { corsOrigins: ["https://app.example"] } })
const send = sender(service.port)

const token = await auth.token("somebody", { role: "admin" })
const credentials = ({ access }: Operation) =>
  access === "service" ? { "x-service-key": serviceKey } : access === "open" ? {} : { authorization: `Bearer ${token}` }

const head = (operation: Operation, more: ReadonlyArray<string>) =>
  [
    `${operation.method} ${exampleOf(operation, { userId: "somebody", amount: 1 }).path} HTTP/1.1`,
    "Host: x",
    "Content-Type: application/json",
    ...Object.entries(credentials(operation)).map(([name, value]) => `${name}: ${value}`),
    ...more,
    "",
    ""
  ].join("\r\n")

// The webhook's needs Stripe, and is tested where there is one (webhooks.test.ts).
const withBody = operations.filter(({ id, body }) => body !== undefined && id !== "webhooks.stripe")
const withoutBody = operations.filter(({ body }) => body === undefined)

test("there are routes of both kinds", () => {
  expect([withBody.length > 10, withoutBody.length > 10]).toEqual([true, true])
})

test.each(withBody)("$method $path refuses a body that is said to be too large before it comes", async (operation) => {
  const before = await db.books()
  const { write, received, socket } = await connect(service.port)
  write(head(operation, [`Content-Length: ${1024 * 1024 + 1}`]))
  expect(await received((text) => text.includes("\r\n\r\n"))).toMatch(/^HTTP\/1\.1 413 /)
  socket.destroy()
  expect(await db.books()).toEqual(before)
})

test.each(withBody)("$method $path reads a body without end only so far", async (operation) => {
  const before = await db.books()
  const { write, ended, socket } = await connect(service.port)
  write(head(operation, ["Transfer-Encoding: chunked"]))
  const chunk = `10000\r\n${" ".repeat(0x10000)}\r\n`
  let sent = 0
  const more = () => {
    while (socket.writable && socket.write(chunk)) sent += 0x10000
    if (socket.writable) socket.once("drain", more)
  }
  more()
  expect(await ended()).toMatch(/^HTTP\/1\.1 413 /)
  // What was read, thrown away, and still on its way.
  expect(sent).toBeLessThan(16 * 1024 * 1024)
  expect(await db.books()).toEqual(before)
})

test.each(withoutBody)("$method $path doesn't mind a body that it never asked for", async (operation) => {
  const ask = exampleOf(operation, { userId: "somebody" })
  const headers = { ...credentials(operation), "content-type": "application/json" }
  // So that what it does is done, and the next two find the same.
  await send({ ...ask, headers })
  const [plain, heavy] = await Promise.all([
    send({ ...ask, headers }),
    send({ ...ask, headers, body: "x".repeat(2 * 1024 * 1024) })
  ])
  expect(heavy.status).toBe(plain.status)
  expect(heavy.status).toBeLessThan(500)
})

const safe = {
  "x-content-type-options": "nosniff",
  "cache-control": "no-store",
  "referrer-policy": "no-referrer",
  "content-security-policy": expect.stringMatching(/^default-src 'none'.*frame-ancestors 'none'$/)
}

test.each(operations)("$method $path answers nobody and somebody with what keeps browsers out", async (operation) => {
  const ask = exampleOf(operation, { userId: "somebody", amount: 1 })
  const answers = await Promise.all([
    send(ask),
    send({ ...ask, headers: { ...ask.headers, ...credentials(operation) } }),
    send({ ...ask, headers: { ...ask.headers, ...credentials(operation) }, body: "[" })
  ])
  for (const { headers, status } of answers) {
    expect(headers, String(status)).toMatchObject(safe)
    expect(headers["x-powered-by"] ?? headers["server"]).toBeUndefined()
  }
})

test.each([
  ["GET", "/", {}],
  ["GET", "/docs", {}],
  ["GET", "/openapi.json", {}],
  ["GET", "/g/0000-0000-0000", {}],
  ["GET", "/%zz", {}],
  ["PUT", "/health", {}],
  ["HEAD", "/health", {}],
  ["OPTIONS", "/health", { origin: "https://app.example", "access-control-request-method": "GET" }],
  ["GET", "/health", { expect: "the-unexpected" }]
])("%s %s %j does, too", async (method, path, headers) => {
  const answer = await send({ method, path, headers })
  expect(answer.headers).toMatchObject(safe)
})

test.each([
  ["nonsense", "nonsense\r\n\r\n"],
  ["too much of a head", `GET / HTTP/1.1\r\nHost: x\r\nX: ${"x".repeat(20_000)}\r\n\r\n`],
  [
    "a length and chunks",
    "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
  ]
])("and what never becomes a request: %s", async (_what, text) => {
  const { write, ended } = await connect(service.port)
  write(text)
  const [lines = ""] = (await ended()).split("\r\n\r\n")
  const found = lines
    .split("\r\n")
    .slice(1)
    .map((line): [string, string] => {
      const [name = "", ...rest] = line.split(": ")
      return [name.toLowerCase(), rest.join(": ")]
    })
  expect(Object.fromEntries(found)).toMatchObject(safe)
})

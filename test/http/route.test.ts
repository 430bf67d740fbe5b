/** What a route does where neither its handler nor its caller would get it right. */
import { IncomingMessage } from "node:http"
import { Socket } from "node:net"
import { Cause, Effect, Exit, Logger } from "effect"
import { expect, test } from "vitest"
import { purchases as contract } from "../../src/contract/purchases.ts"
import { makeApp } from "../../src/http/app.ts"
import { anybody, user } from "../../src/http/callers.ts"
import { OurRequest } from "../../src/http/our-request.ts"
import { endpointsOf, route } from "../../src/http/route.ts"
import { checkContract } from "../../src/http/server.ts"

const to = endpointsOf(contract)

const request = () => {
  const source = new IncomingMessage(new Socket())
  source.method = "GET"
  source.url = "/thrown"
  return new OurRequest(source)
}

const purchase = {
  id: "no uuid",
  packageId: "credits_1000",
  credits: 1000,
  priceEuroCents: 1000,
  status: "completed" as const,
  createdAt: "2026-01-01T00:00:00.000Z",
  completedAt: null,
  refundedEuroCents: 0,
  disputedEuroCents: 0,
  dispute: null,
  creditsKept: 1000
}

test("a contract that some route doesn't follow keeps the process from starting", () => {
  expect(() => checkContract([])).toThrow("Nobody answers GET /api/v1/credits/balance")
  const open = { method: "GET" as const, path: "/api/v1/credits/balance" as const, answer: () => Effect.die("asked") }
  expect(() => checkContract([open])).toThrow("GET /api/v1/credits/balance isn't for those whom the contract names")
  expect(() => checkContract([{ ...open, middleware: user.middleware }])).toThrow("Nobody answers POST")
})

test("an answer that doesn't encode is a mistake of ours, not the caller's", async () => {
  const { answer } = route(to("purchases"), anybody, () => Effect.succeed([purchase]))
  const exit = await Effect.runPromise(Effect.exit(answer(request(), { params: {}, searchParams: {} })))
  expect(Exit.isFailure(exit) && Cause.isDie(exit.cause)).toBe(true)
})

test("a route that throws is answered as a mistake of ours", async () => {
  const thrown = () => {
    throw new Error("thrown before there was an effect")
  }
  const often = { burst: 1000, perSecond: 1000 }
  const app = makeApp<never>([{ method: "GET", path: "/thrown", answer: thrown }], {
    corsOrigins: [],
    trustProxy: false,
    rates: { strangers: often, people: often, gifts: often }
  })
  const silent = Logger.replace(Logger.defaultLogger, Logger.none)
  const { status } = await Effect.runPromise(
    Effect.provide(
      Effect.suspend(() => app(request())),
      silent
    )
  )
  expect(status).toBe(500)
})

/** What the routes and their middleware note about the request they are at. */
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Effect } from "effect"
import { OurRequest, type RequestState } from "./our-request.ts"

export const ourRequest = Effect.map(HttpServerRequest.HttpServerRequest, (request) => {
  if (!(request instanceof OurRequest)) throw new Error("This request didn't come in through exchange.ts")
  return request
})

/** The state lies with the request: a service or FiberRef of its own would cost each request as much as its log line. */
const withState = <A>(use: (state: RequestState) => A) => Effect.map(ourRequest, ({ state }) => use(state))

export const requestState = withState((state) => state)

/** We know who it is, whether or not they may. */
export const isKnown = withState((state) => {
  state.isStranger = false
})

/** They have shown a good credential. */
export const isCalledBy = (caller: string) =>
  withState((state) => {
    state.caller = caller
    state.isStranger = false
  })

/** Adds a header to whatever is answered. */
export const answerHeader = (name: string, value: string) =>
  withState((state) => {
    state.headers[name] = value
  })

/**
 * Between node's server and the app: a request becomes a fiber, and what the app says goes out. The platform's server
 * does the same for anything that HTTP can carry, with a scope, spans and streams for each request; that costs a fifth
 * of the service's time (test/bench), and none of our routes has a use for it.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import type * as HttpApp from "@effect/platform/HttpApp"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Context, Effect, Runtime } from "effect"
import { OurRequest } from "./our-request.ts"

const send = (outgoing: ServerResponse, { status, headers, body }: HttpServerResponse.HttpServerResponse) => {
  if (body._tag !== "Empty" && body._tag !== "Uint8Array") {
    throw new Error(`No route of ours answers with a body of the kind ${body._tag}`)
  }
  outgoing.writeHead(status, headers)
  // Node leaves the body of an answer to HEAD out.
  outgoing.end(body._tag === "Empty" ? undefined : body.body)
}

/** Node's listener of requests for an app. Whoever goes away before the answer interrupts what may be interrupted. */
export const makeExchange = <E>(app: HttpApp.Default<E>) =>
  Effect.map(Effect.runtime(), (runtime) => {
    const answered = Effect.uninterruptible(app)
    return (incoming: IncomingMessage, outgoing: ServerResponse) => {
      const request = new OurRequest(incoming)
      // A fiber of its own begins with the request in its context: to put it there later would cost as much again.
      const context = Context.add(runtime.context, HttpServerRequest.HttpServerRequest, request)
      const fiber = Runtime.runFork(Runtime.make({ ...runtime, context }))(
        answered.pipe(
          Effect.map((response) => send(outgoing, response)),
          // Apps of ours answer their failures themselves: this one is a bug, and the connection tells.
          Effect.catchAllCause((cause) =>
            Effect.zipRight(
              Effect.logError("A request got no answer", cause),
              Effect.sync(() => outgoing.destroy())
            )
          )
        )
      )
      outgoing.once("close", () => {
        if (!outgoing.writableEnded) fiber.unsafeInterruptAsFork(HttpServerError.clientAbortFiberId)
      })
    }
  })

/**
 * Between node's server and the app: a request becomes a fiber, and what the app says goes out. The platform's server
 * does the same for anything that HTTP can carry, with a scope, spans and streams for each request; that costs a fifth
 * of the service's time (test/bench), and none of our routes has a use for it.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { Context, Effect, FiberId, Runtime } from "effect"
import type { Answer } from "./answer.ts"
import { CurrentRequest, OurRequest } from "./our-request.ts"

/** What is answered to a request. It answers its failures itself. */
export type App<R> = (request: OurRequest) => Effect.Effect<Answer, never, R>

const send = (outgoing: ServerResponse, { status, headers, body }: Answer) => {
  outgoing.writeHead(status, body === undefined ? headers : { ...headers, "content-length": Buffer.byteLength(body) })
  // Node leaves the body of an answer to HEAD out.
  outgoing.end(body)
}

/** Node's listener of requests for an app. Whoever goes away before the answer interrupts what may be interrupted. */
export const makeExchange = <R>(app: App<R | CurrentRequest>) =>
  Effect.map(Effect.runtime<R>(), (runtime) => (incoming: IncomingMessage, outgoing: ServerResponse) => {
    const request = new OurRequest(incoming)
    // A fiber of its own begins with the request in its context: to put it there later would cost as much again.
    const context = Context.add(runtime.context, CurrentRequest, request)
    const fiber = Runtime.runFork(Runtime.make({ ...runtime, context }))(
      Effect.suspend(() => app(request)).pipe(
        Effect.map((answer) => send(outgoing, answer)),
        // This one is a bug, and the connection tells.
        Effect.catchAllCause((cause) =>
          Effect.zipRight(
            Effect.logError("A request got no answer", cause),
            Effect.sync(() => outgoing.destroy())
          )
        ),
        Effect.uninterruptible
      )
    )
    outgoing.once("close", () => {
      if (!outgoing.writableEnded) fiber.unsafeInterruptAsFork(FiberId.none)
    })
  })

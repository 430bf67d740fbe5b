/**
 * Between node's server and the app: a request becomes a fiber, and what the app says goes out. The platform's server
 * does the same for anything that HTTP can carry, with a scope, spans and streams for each request; that costs a fifth
 * of the service's time (test/bench), and none of our routes has a use for it.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { Effect, FiberId, Runtime } from "effect"
import type { Answer } from "./answer.ts"
import { OurRequest } from "./our-request.ts"

/** What is answered to a request. It answers its failures itself. */
export type App<R> = (request: OurRequest) => Effect.Effect<Answer, never, R>

const send = (outgoing: ServerResponse, { status, headers, body }: Answer) => {
  outgoing.writeHead(status, body === undefined ? headers : { ...headers, "content-length": Buffer.byteLength(body) })
  // Node leaves the body of an answer to HEAD out.
  outgoing.end(body)
}

/** Node's listener of requests for an app. Whoever goes away before the answer interrupts what may be interrupted. */
export const makeExchange = <R>(app: App<R>) =>
  Effect.map(Effect.runtime<R>(), (runtime) => {
    const fork = Runtime.runFork(runtime)
    return (incoming: IncomingMessage, outgoing: ServerResponse) => {
      const fiber = fork(
        Effect.suspend(() => app(new OurRequest(incoming))).pipe(
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
    }
  })

/**
 * Between node's server and the app: a request becomes a fiber, and what the app says goes out. The platform's server
 * does the same for anything that HTTP can carry, with a scope, spans and streams for each request; that costs a fifth
 * of the service's time (test/bench), and none of our routes has a use for it.
 */
import type { IncomingMessage, ServerResponse } from "node:http"
import { Effect, FiberId, Runtime } from "effect"
import type { Answer } from "./answer.ts"
import { discard } from "./body.ts"
import { OurRequest } from "./our-request.ts"
import { boundUnread } from "./unread.ts"

/** What is answered to a request. It answers its failures itself. */
export type App<R> = (request: OurRequest) => Effect.Effect<Answer, never, R>

/** Sends an answer, and says how many bytes its body has. */
const send = (outgoing: ServerResponse, { status, headers, body }: Answer) => {
  if (body === undefined) {
    outgoing.writeHead(status, headers).end()
    return 0
  }
  const bytes = Buffer.byteLength(body)
  // Node leaves the body of an answer to HEAD out.
  outgoing.writeHead(status, { ...headers, "content-length": bytes }).end(body)
  return bytes
}

/**
 * Node's listener of requests for an app. Whoever goes away before the answer interrupts what may be interrupted.
 * Answers that nobody reads may have so many bytes on all connections together (unread.ts).
 */
export const makeExchange = <R>(app: App<R>, unreadBytes: number) =>
  Effect.map(Effect.runtime<R>(), (runtime) => {
    const fork = Runtime.runFork(runtime)
    const isSent = boundUnread(unreadBytes)
    return (incoming: IncomingMessage, outgoing: ServerResponse) => {
      const fiber = fork(
        Effect.suspend(() => app(new OurRequest(incoming))).pipe(
          Effect.map((answer) => {
            // What nobody has read node would read to its end, however far that is.
            if (!incoming.complete && incoming.listenerCount("data") === 0) discard(incoming)
            isSent(outgoing, send(outgoing, answer))
          }),
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

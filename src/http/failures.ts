/** Whatever goes wrong, as the answer it becomes. */
import { Cause, Effect, Schema } from "effect"
import { InternalError, MethodNotAllowed, NotFound } from "../contract/errors.ts"
import { makeProblem, Problem, problemContentType } from "../contract/problem.ts"
import { type Answer, jsonAnswer } from "./answer.ts"
import { invalid } from "./invalid.ts"
import type { RequestState } from "./our-request.ts"

const isProblem = Schema.is(Problem)

export const problemAnswer = ({ _tag, type, title, status, detail, message, ...facts }: Problem) =>
  jsonAnswer(
    status,
    { type, title, status, detail, code: _tag, message, ...facts },
    {
      "content-type": problemContentType,
      ...(facts.retryAfterSeconds === undefined ? {} : { "retry-after": `${facts.retryAfterSeconds}` })
    }
  )

/** nginx's number for a client that went away; nobody reads it but the log. */
const clientGone: Answer = { status: 499, headers: {} }

const noRoute = (state: RequestState, methods: ReadonlyArray<string> | undefined) => {
  if (methods === undefined) return invalid({ path: "", message: "The path isn't percent-encoded UTF-8." })
  if (methods.length === 0) return makeProblem(NotFound, "There is nothing at this address. GET /docs lists what is.")
  state.headers["allow"] = methods.join(", ")
  return makeProblem(MethodNotAllowed, `This address knows ${methods.join(", ")} only.`)
}

/** Answers where no route is; `methods` are those that the path knows, undefined where it is no path. */
export const answerNoRoute = (state: RequestState, methods: ReadonlyArray<string> | undefined) =>
  problemAnswer(noRoute(state, methods))

/** Answers a failure; what isn't the caller's doing is logged with all that is known, and answered with nothing of it. */
export const answerFailure = (cause: Cause.Cause<unknown>, state: RequestState): Effect.Effect<Answer> => {
  if (Cause.isInterruptedOnly(cause)) return Effect.succeed(clientGone)
  const error = Cause.squash(cause)
  if (isProblem(error)) return Effect.succeed(problemAnswer(error))
  return Effect.logError("A request failed by our fault", cause).pipe(
    Effect.annotateLogs({ requestId: state.id, route: state.route }),
    Effect.as(
      problemAnswer(
        makeProblem(InternalError, "Something went wrong on our side. Report it with the request id.", {
          requestId: state.id
        })
      )
    )
  )
}

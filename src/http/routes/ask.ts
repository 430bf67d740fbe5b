/** From a handler to its one function call and back: what SQL refuses becomes a problem that the endpoint declares. */
import { Context, Effect, Predicate } from "effect"
import type { HttpServerRequest } from "effect/http"
import type { HttpApiEndpoint } from "effect/http-api"
import type { SqlClient } from "effect/sql"
import { CurrentService, CurrentUser, type Service, type User } from "../../contract/auth.ts"
import { Idempotency } from "../../contract/idempotency.ts"
import { makeProblem, sqlstatesOf } from "../../contract/problem.ts"
import * as problems from "../../contract/problems.ts"
import { type Arguments, callUndecoded } from "../../database/call.ts"
import type { Overloaded, Refused, Unavailable } from "../../database/errors.ts"
import { noteAway } from "../middleware/database-away.ts"
import { RequestState } from "../middleware/request-state.ts"
import { keyOf } from "./idempotency.ts"

/** The part of a handler's request that is read here. */
export interface Asked<Endpoint extends HttpApiEndpoint.Top> {
  readonly endpoint: Endpoint
  readonly request: HttpServerRequest.HttpServerRequest
  readonly payload?: unknown
  readonly headers?: unknown
}

type Problem = InstanceType<(typeof problems)[keyof typeof problems]>
/** The problems that an endpoint declares. */
type Declared<Endpoint> = Extract<Problem, HttpApiEndpoint.Error<Endpoint>["Type"]>
/** Problems that any call may have. */
type Always = problems.InvalidRequest | problems.ServiceUnavailable
/** An endpoint's response; its success schema checks it when it is encoded. */
export type Answer<Endpoint> = HttpApiEndpoint.Success<Endpoint>["Type"]

/** Every problem by the SQLSTATEs that become it. */
const bySqlstate = new Map(
  Object.values(problems).flatMap((problem) => sqlstatesOf(problem).map((sqlstate) => [sqlstate, problem] as const))
)

type Refusal = Pick<Refused, "sqlstate" | "message" | "detail">

/** A refusal as a problem; undefined for a SQLSTATE of none. */
export const problemOf = ({ sqlstate, message, detail }: Refusal): Problem | undefined => {
  const problem = bySqlstate.get(sqlstate)
  return problem === undefined ? undefined : makeProblem<Problem, unknown>(problem, message, detail)
}

/** A malformed argument may be found by any function. */
const isMalformed = (problem: Problem | undefined) => problem instanceof problems.InvalidRequest

const isDeclared = <Endpoint extends HttpApiEndpoint.Top>(
  { error }: Endpoint,
  sqlstate: string,
  problem: Problem | undefined
): problem is Declared<Endpoint> | problems.InvalidRequest =>
  problem !== undefined && (isMalformed(problem) || [...error].some((each) => sqlstatesOf(each).includes(sqlstate)))

const unavailable = (detail: string) => new problems.ServiceUnavailable({ detail, retryAfterSeconds: 1 })

/** Turns what becomes of a call into what the endpoint answers; a refusal that it doesn't declare is a bug. */
export const answered = <Endpoint extends HttpApiEndpoint.Top, A, R>(
  endpoint: Endpoint,
  asking: Effect.Effect<A, Refused | Unavailable | Overloaded, R>
): Effect.Effect<A, Declared<Endpoint> | Always, R> =>
  Effect.catch(asking, (error): Effect.Effect<never, Declared<Endpoint> | Always> => {
    switch (error._tag) {
      case "Refused": {
        const problem = problemOf(error)
        return isDeclared(endpoint, error.sqlstate, problem)
          ? Effect.fail(problem)
          : Effect.die(new Error(`${error.sqlstate} isn't among the refusals of this route: ${error.message}`))
      }
      case "Overloaded":
        return Effect.fail(
          unavailable("Too many debits are waiting just now; this one was not made. Try again in a moment.")
        )
      case "Unavailable":
        return Effect.andThen(
          noteAway(error),
          Effect.fail(unavailable("The database can't be reached just now. Try again in a moment."))
        )
    }
  })

/** SQL marks the answer to a key it has seen before; a header says so to the client. */
export const noteReplay = <A>(answer: A) =>
  Predicate.hasProperty(answer, "replayed") && answer.replayed === true
    ? Effect.map(RequestState, (state) => {
        state.isReplay = true
        return answer
      })
    : Effect.succeed(answer)

/** As `ask`, for an answer of which the handler makes another one. */
export const askFor = <A, Endpoint extends HttpApiEndpoint.Top>(
  asked: Asked<Endpoint>,
  name: string,
  args: Arguments
): Effect.Effect<A, Declared<Endpoint> | Always, SqlClient.SqlClient> => {
  const idempotency = Context.get(asked.endpoint.annotations, Idempotency)
  const answer = (key: string | undefined) =>
    callUndecoded<A>(name, key === undefined ? args : { ...args, idempotencyKey: key }, {
      keyed: idempotency === "always" || key !== undefined
    })
  const asking =
    idempotency === "key"
      ? Effect.flatMap(keyOf(asked), (key) => answered(asked.endpoint, answer(key)))
      : answered(asked.endpoint, answer(undefined))
  return Effect.flatMap(asking, noteReplay)
}

/** Calls the SQL function that does what an endpoint is for, with the request's idempotency key where it takes one. */
export const ask = <Endpoint extends HttpApiEndpoint.Top>(asked: Asked<Endpoint>, name: string, args: Arguments) =>
  askFor<Answer<Endpoint>, Endpoint>(asked, name, args)

/** A handler that is given the signed-in person. */
export const forUser =
  <Request, A, E, R>(handler: (asked: Request, user: User) => Effect.Effect<A, E, R>) =>
  (asked: Request) =>
    Effect.flatMap(CurrentUser, (user) => handler(asked, user))

/** A handler that is given the calling service. */
export const forService =
  <Request, A, E, R>(handler: (asked: Request, service: Service) => Effect.Effect<A, E, R>) =>
  (asked: Request) =>
    Effect.flatMap(CurrentService, (service) => handler(asked, service))

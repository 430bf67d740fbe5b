/** From the contract to a route: what a request says is decoded, its handler asked, the answer encoded. */
import type * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import type * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import type * as HttpMethod from "@effect/platform/HttpMethod"
import { Context, Effect, Either, Option, ParseResult, Schema } from "effect"
import type { ApiError } from "../contract/api.ts"
import { MaxBodyBytes } from "../contract/body.ts"
import { type Answer, jsonAnswer } from "./answer.ts"
import { bodyJson, bodyText } from "./body.ts"
import type { Callers } from "./callers.ts"
import { invalidBySchema } from "./invalid.ts"
import type { OurRequest } from "./our-request.ts"

/** What the router read off an address. */
export interface Address {
  /** Of the path, percent-decoded. */
  readonly params: Readonly<Record<string, string | undefined>>
  /** Of the query; a name that comes several times has a list. */
  readonly searchParams: Readonly<Record<string, string | ReadonlyArray<string>>>
}

/** A method and a pattern, and what is answered there. */
export interface Route<R> {
  readonly method: HttpMethod.HttpMethod
  readonly path: HttpApiEndpoint.PathSegment
  /** The key of the middleware with which the contract says who may ask; none where anybody may. */
  readonly middleware?: string | undefined
  /** The header that is judged before anything is done; none where nobody is asked who they are. */
  readonly credential?: string | undefined
  readonly answer: (request: OurRequest, address: Address) => Effect.Effect<Answer, unknown, R>
}

/** What a handler is given: the parts that the contract declares, decoded, and who asks. */
export interface Asked<Path, UrlParams, Payload, Headers, Caller> {
  readonly path: Path
  readonly urlParams: UrlParams
  readonly payload: Payload
  readonly headers: Headers
  readonly caller: Caller
  readonly request: OurRequest
  /** The body as it came, where no payload is declared. */
  readonly text: ReturnType<typeof bodyText>
}

/** The endpoints of a group by their names. */
export const endpointsOf =
  <Id extends string, Endpoint extends HttpApiEndpoint.HttpApiEndpoint.Any, E, R, TopLevel extends boolean>(
    group: HttpApiGroup.HttpApiGroup<Id, Endpoint, E, R, TopLevel>
  ) =>
  <const Name extends Endpoint["name"]>(name: Name) => {
    const endpoint = Object.values(group.endpoints).find(
      (each): each is HttpApiEndpoint.HttpApiEndpoint.WithName<Endpoint, Name> => each.name === name
    )
    if (endpoint === undefined) throw new Error(`The contract has no ${group.identifier}.${name}`)
    return endpoint
  }

/** The same schema; the services it names are its endpoint's middleware, and it decodes without them. */
const bare = <A, R>(schema: Schema.Schema<A, unknown, R>) => Schema.make<A, unknown>(schema.ast)

const decoderOf = <A, R>(schema: Option.Option<Schema.Schema<A, unknown, R>>) =>
  Option.getOrUndefined(Option.map(schema, (declared) => Schema.decodeUnknownEither(bare(declared))))

type Decoded<A> = Either.Either<A, ParseResult.ParseError> | undefined

const complaint = (part: Decoded<unknown>) => (part !== undefined && Either.isLeft(part) ? part.left : undefined)

/** The type of what isn't declared is never: nobody can write a handler that asks for it. */
const declared = <A>(part: Decoded<A>): A => {
  if (part === undefined || Either.isLeft(part)) throw new Error("A handler asks for what its endpoint doesn't declare")
  return part.right
}

/**
 * What an endpoint answers to whom. A handler that writes isn't interrupted when its client goes away. It fails with
 * errors that the contract names, and dies of our mistakes.
 */
export const route = <
  Name extends string,
  Path,
  UrlParams,
  Payload,
  Headers,
  Success,
  Error,
  Middleware,
  ErrorMiddleware,
  Caller,
  CallerError,
  CallerNeeds,
  Needs
>(
  endpoint: HttpApiEndpoint.HttpApiEndpoint<
    Name,
    HttpMethod.HttpMethod,
    Path,
    UrlParams,
    Payload,
    Headers,
    Success,
    Error,
    Middleware,
    ErrorMiddleware
  >,
  callers: Callers<Caller, CallerError, CallerNeeds>,
  handler: (asked: Asked<Path, UrlParams, Payload, Headers, Caller>) => Effect.Effect<Success, Error | ApiError, Needs>
): Route<CallerNeeds | Needs> => {
  const decodePath = decoderOf(endpoint.pathSchema)
  const decodeUrlParams = decoderOf(endpoint.urlParamsSchema)
  const decodePayload = decoderOf(endpoint.payloadSchema)
  const decodeHeaders = decoderOf(endpoint.headersSchema)
  const encode = Schema.encodeEither(bare(endpoint.successSchema))
  const status = HttpApiSchema.getStatusSuccess(endpoint.successSchema)
  const maxBytes = Context.get(endpoint.annotations, MaxBodyBytes)
  const identify = callers.of(endpoint)

  const encoded = (success: Success) => {
    const answer = encode(success)
    return Either.isRight(answer) ? Effect.succeed(jsonAnswer(status, answer.right)) : Effect.die(answer.left)
  }

  const handled = (request: OurRequest, { params, searchParams }: Address, caller: Caller, body: unknown) => {
    const path = decodePath?.(params)
    const payload = decodePayload?.(body)
    const headers = decodeHeaders?.(request.headers)
    const urlParams = decodeUrlParams?.(searchParams)
    const wrong = complaint(path) ?? complaint(payload) ?? complaint(headers) ?? complaint(urlParams)
    if (wrong !== undefined) return Effect.fail(invalidBySchema(ParseResult.ArrayFormatter.formatErrorSync(wrong)))
    const success = handler({
      get path() {
        return declared(path)
      },
      get urlParams() {
        return declared(urlParams)
      },
      get payload() {
        return declared(payload)
      },
      get headers() {
        return declared(headers)
      },
      get text() {
        return bodyText(request.source, maxBytes)
      },
      caller,
      request
    })
    return Effect.flatMap(success, encoded)
  }

  const answer: Route<CallerNeeds | Needs>["answer"] = (request, address) =>
    Effect.flatMap(identify(request), (caller) =>
      decodePayload === undefined
        ? handled(request, address, caller, undefined)
        : Effect.flatMap(bodyJson(request.source, maxBytes), (body) => handled(request, address, caller, body))
    )

  return {
    method: endpoint.method,
    path: endpoint.path,
    middleware: callers.middleware,
    credential: callers.credential,
    answer: endpoint.method === "GET" ? (request, address) => Effect.interruptible(answer(request, address)) : answer
  }
}

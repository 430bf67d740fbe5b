/** Bodies: how large one may be, and what any route answers to a request that can't be read or carried out. */
import { Context } from "effect"
import { HttpApiMiddleware } from "effect/http-api"
import { InternalError, InvalidRequest, PayloadTooLarge, ServiceUnavailable, TooManyRequests } from "./problems.ts"

/** On an endpoint, in bytes; 64 KiB where it says nothing. */
export const MaxBodyBytes = Context.Reference<number>("mana/MaxBodyBytes", { defaultValue: () => 64 * 1024 })

/** For the few routes that take many things at once, or what isn't ours to bound. */
export const largeBodyBytes = 1024 * 1024

/**
 * Reads a body within its bound and checks that it is JSON; on every endpoint that has one, named before its
 * authentication, so that it comes after that.
 */
export class JsonBody extends HttpApiMiddleware.Service<JsonBody>()("mana/JsonBody", {
  error: [InvalidRequest, PayloadTooLarge]
}) {}

/** Answers malformed requests; on every endpoint. */
export class RequestProblems extends HttpApiMiddleware.Service<RequestProblems>()("mana/RequestProblems", {
  error: [InvalidRequest, PayloadTooLarge, TooManyRequests, ServiceUnavailable, InternalError]
}) {}

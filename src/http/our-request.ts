/** A request of node's as the platform's routes see one, and what is learnt about it on the way. */
import { randomUUID } from "node:crypto"
import type { IncomingMessage } from "node:http"
import * as Headers from "@effect/platform/Headers"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpMethod from "@effect/platform/HttpMethod"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import { Effect, Inspectable, Option, Stream } from "effect"
import { bodyJson, bodyText } from "./body.ts"

/** The router takes a `;` for the beginning of the query, and so one user's path for another's. */
const withoutSemicolons = (url: string) =>
  url.includes(";") ? url.replace(/^[^?]*/, (path) => path.replaceAll(";", "%3B")) : url

/** Path and query of what a request names; HTTP lets it name a scheme and a host before them, which aren't ours to judge. */
const targetOf = (url: string) => (url.startsWith("/") ? url : url.replace(/^https?:\/\/[^/?]*/i, "") || "/")

/** As node has them: names in lower case, several of one name joined. */
const headersOf = ({ headers }: IncomingMessage) => {
  const single: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (typeof value === "string") single[name] = value
  }
  return Headers.unsafeFromRecord(single)
}

const saneId = /^[\w.:-]{1,128}$/

/** The request id that a caller gave, if it is fit for a log, or a new one. */
const requestId = (given: string | undefined) => (given !== undefined && saneId.test(given) ? given : randomUUID())

/** For the answer's headers and the line in the log. */
export interface RequestState {
  readonly id: string
  /** The route's pattern, so that no user's id is in the log. */
  route: string
  /** `user`, `admin`, `service` or `stripe` once they have shown a valid credential. */
  caller: string
  /** Nothing about the request says that we know who sends it: it counts against its address. */
  isStranger: boolean
  /** Whether too many strangers came from its address just now. */
  isSuspect: () => boolean
  /** A function was asked: what fails to decode from here on is our mistake, not the caller's. */
  asked: boolean
  /** Headers the answer gets besides those of every answer. */
  readonly headers: Record<string, string>
}

export const newState = (id: string): RequestState => ({
  id,
  route: "none",
  caller: "nobody",
  isStranger: true,
  isSuspect: () => false,
  asked: false,
  headers: {}
})

/** What the platform has no name for finds no route, as this one does, which no route has (app.ts makes sure). */
export const unrouted = "PATCH"

const unused = Effect.dieMessage("No route of ours takes this kind of body")

/**
 * The platform's own reading of a body destroys the connection of a large one and takes any type. HttpApi makes a
 * defect of a body that can't be read, whatever the reason; so do we, and failures.ts finds the problem in it.
 */
export class OurRequest extends Inspectable.Class implements HttpServerRequest.HttpServerRequest {
  readonly [HttpServerRequest.TypeId]: HttpServerRequest.TypeId = HttpServerRequest.TypeId
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly source: IncomingMessage
  readonly url: string
  readonly method: HttpMethod.HttpMethod
  readonly headers: Headers.Headers
  readonly state: RequestState

  constructor(source: IncomingMessage) {
    super()
    this.source = source
    this.url = withoutSemicolons(targetOf(source.url ?? "/"))
    this.method = HttpMethod.isHttpMethod(source.method) ? source.method : unrouted
    this.headers = headersOf(source)
    this.state = newState(requestId(this.headers["x-request-id"]))
  }

  get originalUrl() {
    return this.source.url ?? "/"
  }
  get remoteAddress() {
    return Option.fromNullable(this.source.socket.remoteAddress)
  }
  get json() {
    return Effect.orDie(bodyJson(this.source))
  }
  get text() {
    return Effect.orDie(bodyText(this.source))
  }

  // What HttpApi asks for when the body's type isn't JSON: `text` complains of the type before it reads.
  get urlParamsBody() {
    return Effect.zipRight(this.text, unused)
  }
  get arrayBuffer() {
    return Effect.zipRight(this.text, unused)
  }
  get multipart() {
    return Effect.zipRight(this.text, unused)
  }
  get multipartStream() {
    return Stream.fromEffect(this.multipart)
  }
  get stream() {
    return Stream.fromEffect(this.arrayBuffer)
  }
  get upgrade() {
    return unused
  }
  get cookies() {
    return {}
  }
  modify() {
    return this
  }
  toJSON() {
    return { method: this.method, url: this.url }
  }
}

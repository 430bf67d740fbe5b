/** The request as the routes see it: the platform's, but for its path and its body. */
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as NodeHttpServerRequest from "@effect/platform-node/NodeHttpServerRequest"
import { Effect, Inspectable } from "effect"
import { bodyJson, bodyText } from "./body.ts"

/** The router takes a `;` for the beginning of the query, and so one user's path for another's. */
const withoutSemicolons = (url: string) => url.replace(/^[^?]*/, (path) => path.replaceAll(";", "%3B"))

/**
 * The platform's own reading of a body destroys the connection of a large one and takes any type. HttpApi makes a
 * defect of a body that can't be read, whatever the reason; so do we, and failures.ts finds the problem in it.
 */
export class OurRequest extends Inspectable.Class implements HttpServerRequest.HttpServerRequest {
  readonly [HttpServerRequest.TypeId]: HttpServerRequest.TypeId = HttpServerRequest.TypeId
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly url: string
  readonly #request: HttpServerRequest.HttpServerRequest

  constructor(request: HttpServerRequest.HttpServerRequest) {
    super()
    this.#request = request
    this.url = withoutSemicolons(request.url)
  }

  get json() {
    return Effect.orDie(bodyJson(NodeHttpServerRequest.toIncomingMessage(this.#request)))
  }
  get text() {
    return Effect.orDie(bodyText(NodeHttpServerRequest.toIncomingMessage(this.#request)))
  }

  // What HttpApi asks for when the body's type isn't JSON: `text` complains of the type before it reads.
  get urlParamsBody() {
    return Effect.zipRight(this.text, this.#request.urlParamsBody)
  }
  get arrayBuffer() {
    return Effect.zipRight(this.text, this.#request.arrayBuffer)
  }
  get multipart() {
    return Effect.zipRight(this.text, this.#request.multipart)
  }

  get source() {
    return this.#request.source
  }
  get originalUrl() {
    return this.#request.originalUrl
  }
  get method() {
    return this.#request.method
  }
  get headers() {
    return this.#request.headers
  }
  get cookies() {
    return this.#request.cookies
  }
  get remoteAddress() {
    return this.#request.remoteAddress
  }
  get stream() {
    return this.#request.stream
  }
  get multipartStream() {
    return this.#request.multipartStream
  }
  get upgrade() {
    return this.#request.upgrade
  }
  modify(options: Parameters<HttpServerRequest.HttpServerRequest["modify"]>[0]) {
    return new OurRequest(this.#request.modify(options))
  }
  toJSON() {
    return { method: this.method, url: this.url }
  }
}

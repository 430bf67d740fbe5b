/** A request as the routes see one, and what is learnt about it on the way. */
import { randomUUID } from "node:crypto"
import type { IncomingMessage } from "node:http"

/** The router takes `;` and `#` for the end of the path, and so one user's path for another's. */
const onlyPathAndQuery = (url: string) =>
  /[;#]/.test(url) ? url.replace(/^[^?]*/, (path) => path.replaceAll(";", "%3B")).replaceAll("#", "%23") : url

/** Path and query of what a request names; HTTP lets it name a scheme and a host before them, which aren't ours to judge. */
const targetOf = (url: string) => (url.startsWith("/") ? url : url.replace(/^https?:\/\/[^/?]*/i, "") || "/")

/** As node has them: names in lower case, several of one name joined. */
const headersOf = ({ headers }: IncomingMessage) => {
  const single: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (typeof value === "string") single[name] = value
  }
  return single
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
  /** Headers the answer gets besides those of every answer. */
  readonly headers: Record<string, string>
}

const newState = (id: string): RequestState => ({
  id,
  route: "none",
  caller: "nobody",
  isStranger: true,
  isSuspect: () => false,
  headers: {}
})

/** Node's request, its address and headers read once. Its body is read by whoever wants it (body.ts). */
export class OurRequest {
  readonly source: IncomingMessage
  /** Path and query. */
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly state: RequestState

  constructor(source: IncomingMessage) {
    this.source = source
    this.url = onlyPathAndQuery(targetOf(source.url ?? "/"))
    this.headers = headersOf(source)
    this.state = newState(requestId(this.headers["x-request-id"]))
  }

  get method() {
    return this.source.method ?? ""
  }
  get remoteAddress() {
    return this.source.socket.remoteAddress
  }

  /** Node joins or drops several headers of one name; a proxy in front of us may have judged only one of them. */
  isRepeated(name: string) {
    return (
      this.source.rawHeaders.filter(
        (text, index) => index % 2 === 0 && text.length === name.length && text.toLowerCase() === name
      ).length > 1
    )
  }

  /** Adds a header to whatever is answered. */
  answerHeader(name: string, value: string) {
    this.state.headers[name] = value
  }
}

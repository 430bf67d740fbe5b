/** One call to the simulated API, from its headers to its answer, or to what happens in place of an answer. */
import { Stripe } from "stripe"
import { endpoints } from "./api.ts"
import { broken, errorBody, invalid, rateLimited, StripeApiError, unauthorized } from "./errors.ts"
import type { FaultKind, Faults } from "./faults.ts"
import { decodeForm, fingerprint, type FormValue } from "./form.ts"
import { type Answer, claim, remember } from "./idempotency.ts"
import { expanded } from "./lists.ts"
import { newId, noRequest, type World } from "./world.ts"

export interface ApiCall {
  readonly method: "GET" | "POST"
  readonly path: string
  /** Query of a GET, body of a POST. */
  readonly form: string
  readonly headers: Readonly<Record<string, string | ReadonlyArray<string> | undefined>>
}

export interface ApiAnswer extends Answer {
  readonly headers: Readonly<Record<string, string>>
}

/** `hang`: silence; `reset`: the connection ends; `cut-off`: it ends in the middle of the answer. */
export type Outcome =
  | { readonly way: "answer" | "cut-off"; readonly answer: ApiAnswer }
  | { readonly way: "hang" }
  | { readonly way: "reset" }

const headerOf = (call: ApiCall, name: string) => {
  const value = call.headers[name]
  return typeof value === "string" ? value : undefined
}

/** Bearer, as the libraries send it, or the user name of Basic, as `curl -u` does. */
const keyOf = (call: ApiCall) => {
  const [, scheme, credential = ""] = /^(Bearer|Basic) +(.+)$/i.exec(headerOf(call, "authorization") ?? "") ?? []
  if (scheme === undefined) return undefined
  return scheme.toLowerCase() === "bearer" ? credential : Buffer.from(credential, "base64").toString().split(":")[0]
}

const authenticate = (call: ApiCall, apiKey: string) => {
  const key = keyOf(call)
  if (key === undefined || key === "") {
    throw unauthorized(
      "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer " +
        "auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
    )
  }
  if (key !== apiKey) throw unauthorized(`Invalid API Key provided: ${key.slice(0, 8)}********${key.slice(-4)}`)
}

const checkVersion = (call: ApiCall) => {
  const version = headerOf(call, "stripe-version") ?? Stripe.API_VERSION
  if (version !== Stripe.API_VERSION) {
    throw invalid(`Invalid Stripe API version: ${version}. (The simulator speaks ${Stripe.API_VERSION}.)`)
  }
}

const endpointOf = (call: ApiCall) => {
  for (const endpoint of endpoints) {
    const matched = endpoint.method === call.method ? endpoint.path.exec(call.path) : null
    if (matched !== null) return { endpoint, id: matched[1] ?? "" }
  }
  throw new StripeApiError({
    status: 404,
    type: "invalid_request_error",
    message: `Unrecognized request URL (${call.method}: ${call.path}). (Or one that the simulator doesn't know.)`
  })
}

const names = (value: FormValue | undefined): ReadonlyArray<string> =>
  value === undefined ? [] : typeof value === "string" ? [value] : Object.values(value).map(String)

const refusal = (error: unknown): Answer => {
  if (error instanceof StripeApiError) return { status: error.status, body: errorBody(error) }
  throw error
}

const carryOut = (world: World, request: Stripe.Event.Request, work: () => unknown): Answer => {
  world.request = request
  try {
    return { status: 200, body: work() }
  } catch (error) {
    return refusal(error)
  } finally {
    world.request = noRequest
  }
}

export interface Api {
  readonly world: World
  readonly apiKey: string
  readonly faults: Faults
}

const answered = async (
  { world, apiKey, faults }: Api,
  call: ApiCall,
  requestId: string,
  fault: FaultKind | undefined
): Promise<Answer & { readonly headers?: Record<string, string> }> => {
  if (fault === "429") throw rateLimited
  if (fault === "500") throw broken
  authenticate(call, apiKey)
  checkVersion(call)
  const { endpoint, id } = endpointOf(call)
  const { expand, ...given } = decodeForm(call.form)
  const prepared = endpoint.prepare(given, id)
  const key = call.method === "POST" ? headerOf(call, "idempotency-key") : undefined
  if (key !== undefined && key.length > 255) throw invalid("Idempotency keys can have up to 255 characters.")
  const begin = () =>
    carryOut(world, { id: requestId, idempotency_key: key ?? null }, () =>
      expanded(world.state, prepared(world), names(expand))
    )

  if (key === undefined) {
    if (fault === "stall") await faults.stall()
    return begin()
  }
  const { answers } = world.state
  const first = claim(answers, {
    key,
    path: call.path,
    fingerprint: fingerprint({ ...given, ...(expand === undefined ? {} : { expand }) }),
    requestId,
    now: world.now()
  })
  const headers = { "idempotency-key": key, "original-request": first?.requestId ?? requestId }
  if (first !== undefined) return { ...first.answer, headers: { ...headers, "idempotent-replayed": "true" } }
  if (fault === "stall") await faults.stall()
  const done = begin()
  const answer = fault === "500-after" ? { status: broken.status, body: errorBody(broken) } : done
  remember(answers, key, answer)
  return {
    ...answer,
    // Trying again would only get the same answer.
    headers: { ...headers, ...(fault === "500-after" ? { "stripe-should-retry": "false" } : {}) }
  }
}

const ways: Readonly<Partial<Record<FaultKind, Outcome["way"]>>> = {
  "timeout-after": "hang",
  "reset-after": "reset",
  "cut-off": "cut-off"
}

export const callApi = async (api: Api, call: ApiCall): Promise<Outcome> => {
  const requestId = newId("req", 14)
  const fault = api.faults.take(call.method, call.path)
  if (fault === "timeout-before") return { way: "hang" }
  if (fault === "reset-before") return { way: "reset" }
  const { headers, ...answer } = await answered(api, call, requestId, fault).catch((error: unknown) => ({
    ...refusal(error),
    headers: {}
  }))
  const way = (fault === undefined ? undefined : ways[fault]) ?? "answer"
  if (way === "hang" || way === "reset") return { way }
  const known = { "request-id": requestId, "stripe-version": Stripe.API_VERSION }
  return { way, answer: { ...answer, headers: { ...known, ...headers } } }
}

/** The controls over HTTP, for a person with curl: POST /simulator/<name> with form fields; GET /simulator explains. */
import { Effect, Schema } from "effect"
import type { Controls } from "./controls.ts"
import { errorBody, step, type StripeApiError } from "./errors.ts"
import { faultKinds } from "./faults.ts"
import { decodeForm, type Form } from "./form.ts"
import { decodeParams } from "./params.ts"
import type { PageReply, PageRequest } from "./pages.ts"

const optional = Schema.optionalKey
const Id = Schema.String
const Method = optional(Schema.Literals(["card", "sepa_debit"]))
const Decided = Schema.Literals(["succeeded", "failed"])

interface Route {
  readonly example: string
  readonly run: (form: Form, controls: Controls) => Effect.Effect<unknown, StripeApiError>
}

const route = <A>(
  schema: Schema.Decoder<A>,
  example: string,
  run: (controls: Controls, given: A) => Effect.Effect<unknown, StripeApiError>
): Route => ({
  example,
  run: (form, controls) =>
    Effect.flatMap(
      step(() => decodeParams(schema, form)),
      (given) => run(controls, given)
    )
})

const routes: Readonly<Record<string, Route>> = {
  pay: route(Schema.Struct({ id: Id, method: Method }), "id=pi_…_secret_… -d method=sepa_debit", (it, { id, ...how }) =>
    it.pay(id, how)
  ),
  decline: route(Schema.Struct({ id: Id, method: Method }), "id=pi_…", (it, { id, method }) => it.decline(id, method)),
  "decide-debit": route(Schema.Struct({ id: Id, outcome: Decided }), "id=pi_… -d outcome=failed", (it, given) =>
    it.decideDebit(given.id, given.outcome)
  ),
  cancel: route(Schema.Struct({ id: Id }), "id=pi_…", (it, { id }) => it.cancel(id)),
  expire: route(Schema.Struct({ id: Id }), "id=cs_test_…", (it, { id }) => it.expire(id)),
  "open-dispute": route(Schema.Struct({ id: Id }), "id=pi_…", (it, { id }) => it.openDispute(id)),
  "close-dispute": route(
    Schema.Struct({ id: Id, outcome: Schema.Literals(["won", "lost"]) }),
    "id=du_… -d outcome=won",
    (it, given) => it.closeDispute(given.id, given.outcome)
  ),
  "decide-refund": route(Schema.Struct({ id: Id, outcome: Decided }), "id=re_… -d outcome=failed", (it, given) =>
    it.decideRefund(given.id, given.outcome)
  ),
  webhooks: route(
    Schema.Struct({ mode: Schema.Literals(["deliver", "hold", "lose"]) }),
    "mode=hold",
    ({ webhooks }, { mode }) => Effect.as(webhooks.mode(mode), { mode })
  ),
  deliver: route(Schema.Struct({ event: Id }), "event=evt_…", ({ webhooks }, { event }) =>
    Effect.map(webhooks.deliver(event), (status) => ({ event, status }))
  ),
  fault: route(
    Schema.Struct({ kind: Schema.Literals(faultKinds), path: optional(Schema.String) }),
    "kind=500 -d path=/v1/payment_intents",
    ({ faults }, { kind, ...match }) => Effect.as(faults.next(kind, match), { kind, ...match })
  )
}

const help = (origin: string) => `This is a simulation of Stripe, for development and tests.

To pay without a browser:

${Object.entries(routes)
  .map(([name, { example }]) => `  curl ${origin}/simulator/${name} -d ${example}`)
  .join("\n")}

Ids: a PaymentIntent's, its client secret, or its Checkout Session's.
A PaymentIntent also has a page: ${origin}/pay/<client secret>
Kinds of fault: ${faultKinds.join(", ")}
`

const json = (status: number, body: unknown): PageReply => ({
  status,
  headers: { "content-type": "application/json" },
  body: `${JSON.stringify(body, null, 2)}\n`
})

/** The answer to a control, if the path is one. */
export const control = (
  controls: Controls,
  request: PageRequest,
  origin: string
): Effect.Effect<PageReply> | undefined => {
  if (request.path === "/" || request.path === "/simulator") {
    return Effect.succeed({
      status: 200,
      headers: { "content-type": "text/plain; charset=utf-8" },
      body: help(origin)
    })
  }
  const [, name = ""] = /^\/simulator\/([a-z-]+)$/.exec(request.path) ?? []
  const chosen = routes[name]
  if (chosen === undefined || request.method !== "POST") return undefined
  return chosen.run(decodeForm(request.body), controls).pipe(
    Effect.map((body) => json(200, body)),
    Effect.catch((error) => Effect.succeed(json(error.status, errorBody(error))))
  )
}

/** The parameters that the simulated endpoints take. Anything else is refused, as Stripe refuses it. */
import { Result, Schema, SchemaIssue, SchemaTransformation } from "effect"
import { invalid } from "./errors.ts"
import { paramName, type Form } from "./form.ts"

// A leaf says what is wrong as `code|message`; `decodeParams` takes the two apart.
const refuse = (code: string, message: string) => ({ message: `${code}|${message}` })

const checked = (accept: (value: string) => boolean, code: string, say: (value: string) => string) =>
  Schema.String.check(Schema.makeFilter((value) => accept(value) || `${code}|${say(value)}`))

const Text = checked(
  (value) => value !== "",
  "parameter_invalid_empty",
  () => "You passed an empty string. You should remove the parameter from your request or supply a non-empty value."
)

const Integer = checked(
  (value) => /^-?\d{1,15}$/.test(value),
  "parameter_invalid_integer",
  (value) => `Invalid integer: ${value}`
).pipe(Schema.decodeTo(Schema.NumberFromString))

const Flag = Schema.Literals(["true", "false"])
  .annotate(refuse("parameter_invalid", "Invalid boolean"))
  .pipe(
    Schema.decodeTo(
      Schema.Boolean,
      SchemaTransformation.transform({ decode: (it) => it === "true", encode: (it) => (it ? "true" : "false") })
    )
  )

/** What a euro business would meet; the real list is longer. */
const currencies = ["eur", "usd", "gbp", "chf", "sek", "dkk", "nok", "pln", "czk"]

const Currency = checked(
  (value) => currencies.includes(value.toLowerCase()),
  "",
  (value) => `Invalid currency: ${value}. Stripe currently supports these currencies: ${currencies.join(", ")}, …`
).pipe(Schema.decodeTo(Schema.String, SchemaTransformation.toLowerCase()))

const Url = checked(
  (value) => /^https?:\/\//.test(value) && URL.canParse(value),
  "url_invalid",
  () => "Not a valid URL"
)

const Metadata = Schema.Record(Schema.String, Schema.String).check(
  Schema.makeFilter((metadata) => {
    const entries = Object.entries(metadata)
    if (entries.length > 50) return "|Metadata can have up to 50 keys."
    if (entries.some(([name]) => name.length > 40)) return "|Metadata keys can have up to 40 characters."
    if (entries.some(([, value]) => value.length > 500)) return "|Metadata values can have up to 500 characters."
    return true
  })
)

const PaymentMethodTypes = Schema.Array(Text)

const optional = Schema.optionalKey

export const CustomerCreate = Schema.Struct({
  email: optional(Text),
  name: optional(Text),
  phone: optional(Text),
  description: optional(Text),
  preferred_locales: optional(Schema.Array(Text)),
  metadata: optional(Metadata)
})
export type CustomerCreate = typeof CustomerCreate.Type

export const PaymentIntentCreate = Schema.Struct({
  amount: Integer,
  currency: Currency,
  customer: optional(Text),
  description: optional(Text),
  receipt_email: optional(Text),
  statement_descriptor_suffix: optional(Text),
  automatic_payment_methods: optional(
    Schema.Struct({ enabled: Flag, allow_redirects: optional(Schema.Literals(["always", "never"])) })
  ),
  allowed_payment_method_types: optional(PaymentMethodTypes),
  excluded_payment_method_types: optional(PaymentMethodTypes),
  metadata: optional(Metadata)
})
export type PaymentIntentCreate = typeof PaymentIntentCreate.Type

export const PaymentIntentCancel = Schema.Struct({
  cancellation_reason: optional(Schema.Literals(["abandoned", "duplicate", "fraudulent", "requested_by_customer"]))
})

const ProductData = Schema.Struct({
  name: Text,
  description: optional(Text),
  images: optional(Schema.Array(Url)),
  metadata: optional(Metadata)
})

export const SessionCreate = Schema.Struct({
  mode: Schema.Literal("payment").annotate(refuse("", "The simulator only knows Checkout Sessions in payment mode.")),
  line_items: Schema.NonEmptyArray(
    Schema.Struct({
      price: optional(Text),
      price_data: optional(Schema.Struct({ currency: Currency, unit_amount: Integer, product_data: ProductData })),
      quantity: optional(Integer)
    })
  ),
  success_url: Url,
  cancel_url: optional(Url),
  ui_mode: optional(Schema.Literal("hosted_page")),
  customer: optional(Text),
  customer_email: optional(Text),
  client_reference_id: optional(Text),
  allowed_payment_method_types: optional(PaymentMethodTypes),
  excluded_payment_method_types: optional(PaymentMethodTypes),
  payment_intent_data: optional(
    Schema.Struct({
      description: optional(Text),
      receipt_email: optional(Text),
      statement_descriptor_suffix: optional(Text),
      metadata: optional(Metadata)
    })
  ),
  expires_at: optional(Integer),
  locale: optional(Text),
  submit_type: optional(Schema.Literals(["auto", "pay"])),
  metadata: optional(Metadata)
})
export type SessionCreate = typeof SessionCreate.Type

export const PriceCreate = Schema.Struct({
  currency: Currency,
  unit_amount: Integer,
  product_data: Schema.Struct({ name: Text, metadata: optional(Metadata) }),
  nickname: optional(Text),
  lookup_key: optional(Text),
  metadata: optional(Metadata)
})
export type PriceCreate = typeof PriceCreate.Type

export const RefundCreate = Schema.Struct({
  payment_intent: optional(Text),
  charge: optional(Text),
  amount: optional(Integer),
  reason: optional(Schema.Literals(["duplicate", "fraudulent", "requested_by_customer"])),
  metadata: optional(Metadata)
})
export type RefundCreate = typeof RefundCreate.Type

export const Nothing = Schema.Struct({})

const Page = {
  limit: optional(Integer),
  starting_after: optional(Text),
  ending_before: optional(Text)
}
export interface Page {
  readonly limit?: number
  readonly starting_after?: string
  readonly ending_before?: string
}

const Created = Schema.Union([
  Integer,
  Schema.Struct({ gt: optional(Integer), gte: optional(Integer), lt: optional(Integer), lte: optional(Integer) })
])
export type Created = typeof Created.Type

export const ListPage = Schema.Struct(Page)
export const CustomerList = Schema.Struct({ ...Page, created: optional(Created), email: optional(Text) })
export const PaymentIntentList = Schema.Struct({ ...Page, created: optional(Created), customer: optional(Text) })
export const SessionList = Schema.Struct({
  ...Page,
  created: optional(Created),
  customer: optional(Text),
  payment_intent: optional(Text),
  status: optional(Schema.Literals(["open", "complete", "expired"]))
})
export const ChargeList = Schema.Struct({ ...Page, created: optional(Created), payment_intent: optional(Text) })
/** Of refunds and disputes. */
export const PaymentList = Schema.Struct({ ...ChargeList.fields, charge: optional(Text) })
export const EventList = Schema.Struct({
  ...Page,
  created: optional(Created),
  type: optional(Text),
  types: optional(Schema.Array(Text)),
  delivery_success: optional(Flag)
})

const issuesOf = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) =>
    issue._tag === "UnexpectedKey" || issue._tag === "MissingKey" ? issue._tag : SchemaIssue.defaultLeafHook(issue)
})

/** The parameters, or Stripe's error for the first that is wrong; unknown ones come first. */
export const decodeParams = <A>(schema: Schema.Decoder<A>, form: Form): A => {
  const decoded = Schema.decodeUnknownResult(schema, { onExcessProperty: "error", errors: "all" })(form)
  if (Result.isSuccess(decoded)) return decoded.success
  const { issues } = issuesOf(decoded.failure.issue)
  const issue = issues.find(({ message }) => message === "UnexpectedKey") ?? issues[0]
  const param = paramName((issue?.path ?? []).map((it) => (typeof it === "object" ? it.key : it)))
  if (issue?.message === "UnexpectedKey") {
    throw invalid(`Received unknown parameter: ${param}`, { code: "parameter_unknown", param })
  }
  if (issue?.message === "MissingKey") {
    throw invalid(`Missing required param: ${param}.`, { code: "parameter_missing", param })
  }
  const [, code, message] = /^([a-z_]*)\|(.*)$/s.exec(issue?.message ?? "") ?? []
  throw invalid(message ?? `Invalid ${param}: ${issue?.message ?? ""}`, { param, ...(code ? { code } : {}) })
}

/** Lists by page, newest first, and `expand`: how Stripe shows many objects and what they refer to. */
import { invalid, missing } from "./errors.ts"
import type { Created, Page } from "./params.ts"
import type { State } from "./world.ts"

export interface List<A> {
  readonly object: "list"
  readonly url: string
  readonly has_more: boolean
  readonly data: ReadonlyArray<A>
}

const position = <A extends { readonly id: string }>(
  items: ReadonlyArray<A>,
  kind: string,
  id: string,
  param: string
) => {
  const index = items.findIndex((item) => item.id === id)
  if (index < 0) throw missing(kind, id, param, 400)
  return index
}

/** `items` in the order they were made. A cursor may be any of them, also one that the filter leaves out. */
export const page = <A extends { readonly id: string }>(
  items: ReadonlyArray<A>,
  { limit = 10, starting_after, ending_before }: Page,
  url: string,
  keep: (item: A) => boolean = () => true
): List<A> => {
  if (limit < 1 || limit > 100) {
    throw invalid("This value must be between 1 and 100.", { code: "parameter_invalid_integer", param: "limit" })
  }
  if (starting_after !== undefined && ending_before !== undefined) {
    throw invalid("You may only specify one of these parameters: starting_after, ending_before.", {
      code: "parameters_exclusive",
      param: "starting_after"
    })
  }
  const newestFirst = items.toReversed()
  const kind = url.split("/").at(-1) ?? "object"
  if (ending_before !== undefined) {
    // The ones just before it, still newest first.
    const newer = newestFirst.slice(0, position(newestFirst, kind, ending_before, "ending_before")).filter(keep)
    return { object: "list", url, has_more: newer.length > limit, data: newer.slice(-limit) }
  }
  const rest = (
    starting_after === undefined
      ? newestFirst
      : newestFirst.slice(position(newestFirst, kind, starting_after, "starting_after") + 1)
  ).filter(keep)
  return { object: "list", url, has_more: rest.length > limit, data: rest.slice(0, limit) }
}

/** Whether a time lies in the range that a list was asked for. */
export const within = (range: Created | undefined, time: number) => {
  if (range === undefined) return true
  if (typeof range === "number") return time === range
  const { gt = -Infinity, gte = -Infinity, lt = Infinity, lte = Infinity } = range
  return time > gt && time >= gte && time < lt && time <= lte
}

/** Whether a field is as the filter says; no filter, no matter. */
export const matches = (filter: string | undefined, value: unknown) => filter === undefined || filter === value

type Json = Record<string, unknown>
const isJson = (value: unknown): value is Json => typeof value === "object" && value !== null && !Array.isArray(value)

const homes: Readonly<Record<string, (state: State) => Readonly<Record<string, unknown>>>> = {
  customer: (state) => state.customers,
  payment_intent: (state) => state.paymentIntents,
  latest_charge: (state) => state.charges,
  charge: (state) => state.charges,
  price: (state) => state.prices
}

/** Lists that an object only shows on request. */
const included = (state: State, object: Json, field: string): unknown => {
  const id = String(object["id"])
  const all = { limit: 100 }
  if (object["object"] === "charge" && field === "refunds") {
    return page(Object.values(state.refunds), all, `/v1/charges/${id}/refunds`, (refund) => refund.charge === id)
  }
  if (object["object"] === "checkout.session" && field === "line_items") {
    return page(state.lineItems[id]?.toReversed() ?? [], all, `/v1/checkout/sessions/${id}/line_items`)
  }
  return undefined
}

const copied = (value: unknown): unknown => JSON.parse(JSON.stringify(value))

const expandIn = (state: State, value: unknown, [field, ...rest]: ReadonlyArray<string>, path: string): unknown => {
  if (field === undefined) return value
  if (Array.isArray(value)) return value.map((item) => expandIn(state, item, [field, ...rest], path))
  if (!isJson(value)) return value
  const shown = value[field] ?? included(state, value, field)
  if (shown === undefined) {
    if (field in value) return value
    throw invalid(`This property cannot be expanded (${path}).`, { param: "expand" })
  }
  const object = typeof shown === "string" ? homes[field]?.(state)[shown] : shown
  if (object === undefined) throw invalid(`This property cannot be expanded (${path}).`, { param: "expand" })
  return { ...value, [field]: expandIn(state, copied(object), rest, path) }
}

/** The answer as it goes over the wire, with every asked-for reference replaced by its object. */
export const expanded = (state: State, answer: unknown, paths: ReadonlyArray<string>): unknown =>
  paths.reduce((shown, path) => {
    const asked = path.split(".")
    if (asked.length > 4) throw invalid(`You cannot expand more than 4 levels of a property (${path}).`)
    return expandIn(state, shown, asked, path)
  }, copied(answer))

/** Form encoding with brackets, as Stripe's clients send it: `line_items[0][price_data][currency]=eur`, `expand[]=x`. */

export type FormValue = string | ReadonlyArray<FormValue> | { readonly [name: string]: FormValue }
export type Form = Readonly<Record<string, FormValue>>

type Branch = Map<string, string | Branch>

const segments = (name: string) => {
  const [, head, rest] = /^([^[\]]+)((?:\[[^[\]]*\])*)$/.exec(name) ?? []
  if (head === undefined || rest === undefined) return [name]
  return [head, ...Array.from(rest.matchAll(/\[([^[\]]*)\]/g), ([, inner = ""]) => inner)]
}

const put = (branch: Branch, [first = "", ...rest]: ReadonlyArray<string>, value: string) => {
  // `x[]` appends.
  const name = first === "" ? String(branch.size) : first
  if (rest.length === 0) {
    branch.set(name, value)
    return
  }
  const there = branch.get(name)
  const next: Branch = there instanceof Map ? there : new Map()
  branch.set(name, next)
  put(next, rest, value)
}

const fields = (branch: Branch): Form => Object.fromEntries(Array.from(branch, ([name, it]) => [name, grown(it)]))

/** A branch whose names are all numbers is a list. */
const grown = (value: string | Branch): FormValue => {
  if (typeof value === "string") return value
  return [...value.keys()].every((name) => /^\d+$/.test(name)) ? Array.from(value.values(), grown) : fields(value)
}

export const decodeForm = (text: string): Form => {
  const root: Branch = new Map()
  for (const [name, value] of new URLSearchParams(text)) put(root, segments(name), value)
  return fields(root)
}

const sorted = (value: FormValue): unknown => {
  if (typeof value === "string") return value
  if (Array.isArray(value)) return value.map(sorted)
  return Object.entries(value)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, it]) => [name, sorted(it)])
}

/** Equal for equal parameters, in whatever order they were sent. */
export const fingerprint = (form: Form) => JSON.stringify(sorted(form))

/** How Stripe writes a place within the parameters: `line_items[0][quantity]`. */
export const paramName = ([head = "", ...rest]: ReadonlyArray<PropertyKey>) =>
  `${String(head)}${rest.map((segment) => `[${String(segment)}]`).join("")}`

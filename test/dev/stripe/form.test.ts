import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { decodeForm, fingerprint, type FormValue, paramName } from "../../../src/dev/stripe/form.ts"

/** Encodes as Stripe's libraries do. */
const encode = (value: FormValue, name: string): ReadonlyArray<string> => {
  if (typeof value === "string") return [`${encodeURIComponent(name)}=${encodeURIComponent(value)}`]
  return Object.entries(value).flatMap(([key, inner]) => encode(inner, name === "" ? key : `${name}[${key}]`))
}

const key = fc.stringMatching(/^[a-z_]{1,8}$/)
const { value } = fc.letrec<{ value: FormValue }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.string(),
    fc.array(tie("value"), { minLength: 1, maxLength: 3 }),
    fc.dictionary(key, tie("value"), { minKeys: 1, maxKeys: 3, noNullPrototype: true })
  )
}))

describe("form encoding", () => {
  it("reads what was written", () => {
    fc.assert(
      fc.property(fc.dictionary(key, value, { noNullPrototype: true }), (form) => {
        expect(decodeForm(encode(form, "").join("&"))).toEqual(form)
      })
    )
  })

  it("appends with empty brackets and leaves odd names alone", () => {
    expect(decodeForm("expand[]=a&expand[]=b")).toEqual({ expand: ["a", "b"] })
    expect(decodeForm("a[=1&]b=2")).toEqual({ "a[": "1", "]b": "2" })
    expect(decodeForm("")).toEqual({})
  })

  it("knows equal parameters in any order, and unequal ones", () => {
    const print = (text: string) => fingerprint(decodeForm(text))
    expect(print("a=1&b[x]=2&b[y]=3")).toBe(print("b[y]=3&a=1&b[x]=2"))
    expect(print("a[]=1&a[]=2")).not.toBe(print("a[]=2&a[]=1"))
    expect(print("a=1&b=")).not.toBe(print("a=1"))
  })

  it("names places as Stripe does", () => {
    expect(paramName(["line_items", 0, "price_data", "currency"])).toBe("line_items[0][price_data][currency]")
    expect(paramName(["amount"])).toBe("amount")
  })
})

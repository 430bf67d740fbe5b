/**
 * Requests to an operation, made from its own shapes: good ones, ones that break one rule, and nonsense. Ids and
 * codes that exist are written `@@name:number@@`; whoever sends puts in what there is by then.
 */
import * as fc from "fast-check"
import { type Operation, type Parameter, resolved, type Shape } from "../operations.ts"

export interface Case {
  /** `broken`: a rule of the document is broken for sure. `odd`: whatever the answer is, it must be a documented one. */
  readonly kind: "good" | "broken" | "odd"
  /** What was done to it. */
  readonly what: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** The path leads somewhere else: what answers there is none of the operation's. */
  readonly isElsewhere?: boolean
}

type Text = fc.Arbitrary<string>

/** JSON text as is, so that a number may be written in every way that JSON allows. */
const json = (value: unknown) => JSON.stringify(value)

const place = (name: string): Text => fc.nat(1000).map((number) => `@@${name}:${number}@@`)

/** Fields whose good values are what exists. */
const pools = ["userId", "code", "reservationId", "transactionId", "operation", "packageId", "targetEmail", "email"]

const letters = fc.stringOf(fc.constantFrom(..."abcXYZ019 äß€漢😀'\"\\/<>&%;\t"), { minLength: 1, maxLength: 12 })

const goodText = (name: string, { minLength = 0, maxLength = 20, format }: Shape): Text => {
  if (format === "uuid") return fc.oneof({ arbitrary: place(name), weight: 3 }, { arbitrary: fc.uuid(), weight: 1 })
  const lengths = [minLength, maxLength].filter((length) => length <= 2000)
  const any = fc.oneof(
    letters.filter((text) => [...text].length <= maxLength && [...text].length >= minLength),
    fc.constantFrom(...lengths.map((length) => "x".repeat(length)), ...lengths.map((length) => "😀".repeat(length)))
  )
  return pools.includes(name) ? fc.oneof({ arbitrary: place(name), weight: 6 }, { arbitrary: any, weight: 1 }) : any
}

/** A whole number as JSON can write it. */
const written = (value: number): Text =>
  fc.constantFrom(
    String(value),
    String(value),
    `${value}.0`,
    `${value}e0`,
    value.toExponential(),
    `${value}0e-1`,
    `${value}.000000`
  )

const goodWhole = ({ minimum = 0, maximum = 1000 }: Shape) =>
  fc.oneof(
    fc.integer({ min: minimum, max: Math.min(maximum, minimum + 20) }),
    fc.integer({ min: minimum, max: maximum }),
    fc.constantFrom(minimum, maximum)
  )

const oddKeys = ["__proto__", "constructor", "toString", "hasOwnProperty", "then", "toJSON", "valueOf", "", "0", "_tag"]

const anyObject: Text = fc
  .array(fc.tuple(fc.oneof(fc.constantFrom(...oddKeys), letters), fc.jsonValue({ maxDepth: 3 })), { maxLength: 5 })
  .map((entries) => `{${entries.map(([key, value]) => `${json(key)}:${json(value)}`).join(",")}}`)

const goodJson = (name: string, shape: Shape): Text => {
  const { type, anyOf, enum: words, items, minItems = 0, maxItems = 5, ...rest } = resolved(shape)
  if (anyOf !== undefined) return fc.oneof(...anyOf.map((each) => goodJson(name, each)))
  if (words !== undefined) return fc.constantFrom(...words.map(json))
  switch (type) {
    case "integer":
    case "number":
      return goodWhole(rest).chain(written)
    case "boolean":
      return fc.constantFrom("true", "false")
    case "null":
      return fc.constant("null")
    case "string":
      return goodText(name, rest).map(json)
    case "array":
      return fc
        .array(items === undefined ? fc.constant("null") : goodJson(name, items), {
          minLength: minItems,
          maxLength: Math.min(maxItems, 4)
        })
        .map((list) => `[${list.join(",")}]`)
    default:
      return rest.properties === undefined ? anyObject : fieldsJson(rest).map(objectText)
  }
}

type Fields = ReadonlyArray<readonly [key: string, text: string]>

const objectText = (fields: Fields) => `{${fields.map(([key, text]) => `${json(key)}:${text}`).join(",")}}`

/** All that is required and, mostly, some of the rest; at times what nobody knows. */
const fieldsJson = ({ properties = {}, required = [] }: Shape): fc.Arbitrary<Fields> =>
  fc
    .tuple(
      ...Object.entries(properties).map(([name, shape]) => {
        const field = goodJson(name, shape).map((text): Fields => [[name, text]])
        // An amount or an operation, one of the two: mostly the amount, where both are optional.
        const weight = name === "amount" ? 12 : name === "operation" || name === "quantity" ? 1 : 4
        return required.includes(name)
          ? field
          : fc.oneof({ arbitrary: field, weight }, { arbitrary: fc.constant<Fields>([]), weight: 4 })
      }),
      fc.oneof(
        { arbitrary: fc.constant<Fields>([]), weight: 5 },
        {
          arbitrary: fc
            .tuple(fc.constantFrom(...oddKeys), fc.jsonValue({ maxDepth: 2 }))
            .map(([key, value]): Fields => [[key, json(value)]]),
          weight: 1
        }
      )
    )
    .map((lists) => lists.flat())

const deep = (levels: number) => `${"[".repeat(levels)}${"]".repeat(levels)}`

/** What no text field takes, whatever its bounds. */
const noText = ["7", "true", "[]", "{}", '"\\u0000"', '"a\\ud800"', '"\\udc00b"', '""', deep(500), '{"__proto__":"x"}']
const noWhole = ["1.5", '"1"', '""', "true", "[]", "[1]", "{}", "1e400", "-1e400", "1e-7", "99999999999999999999999999"]
const isNullable = (shape: Shape) => (shape.anyOf ?? []).some(({ type }) => type === "null")

/** Values that break a field's rule for sure. */
const badJson = (shape: Shape): Text => {
  const { anyOf, ...plain } = resolved(shape)
  const inner = anyOf?.map(resolved).find(({ type }) => type !== "null") ?? plain
  const { type, enum: words, minimum, maximum, maxLength, format } = inner
  const nulls = isNullable({ ...plain, ...(anyOf === undefined ? {} : { anyOf }) }) ? [] : ["null"]
  if (words !== undefined)
    return fc.constantFrom(...nulls, '"nope"', '"__proto__"', "1", "[]", `[${json(words[0])}]`, '""')
  switch (type) {
    case "integer":
    case "number":
      return fc.constantFrom(
        ...nulls,
        ...noWhole,
        ...(minimum === undefined ? [] : [String(minimum - 1), "-0", `-${2 ** 53}`].filter((n) => Number(n) < minimum)),
        ...(maximum === undefined ? [] : [String(maximum + 1), String(2 ** 53), "1e300"])
      )
    case "boolean":
      return fc.constantFrom(...nulls, '"true"', "1", "0", "[]", "{}")
    case "string":
      return fc.constantFrom(
        ...nulls,
        ...noText,
        ...(maxLength === undefined ? [] : [json("x".repeat(maxLength + 1)), json("😀".repeat(maxLength + 1))]),
        ...(format === "uuid"
          ? ['"x"', '"00000000-0000-0000-0000-00000000000"', '"{00000000-0000-7000-8000-000000000000}"']
          : [])
      )
    case "array":
      return fc.constantFrom(...nulls, "[]", "{}", '"x"', "7", `[${"1,".repeat(1000)}1]`)
    default:
      return fc.constantFrom(
        ...nulls,
        "[]",
        "[{}]",
        '"x"',
        "7",
        "true",
        '{"a":"\\u0000"}',
        '{"a\\ud800":1}',
        `{"a":${deep(200)}}`,
        '{"a":1e999}'
      )
  }
}

/** One field of a good body, changed for the worse. */
const brokenBody = (shape: Shape): fc.Arbitrary<{ readonly what: string; readonly text: string }> => {
  const { properties = {}, required = [] } = shape
  const names = Object.keys(properties)
  return fc.tuple(fieldsJson(shape), fc.constantFrom(...names)).chain(([fields, name]) => {
    const others = fields.filter(([key]) => key !== name)
    const { [name]: field = {} } = properties
    const changed = badJson(field).chain((bad) =>
      fc.constantFrom(
        objectText([...others, [name, bad]]),
        objectText([[name, bad], ...others]),
        // What comes last counts.
        objectText([...fields, [name, bad]])
      )
    )
    const left = fc.constant(objectText(others))
    return (
      required.includes(name) ? fc.oneof({ arbitrary: changed, weight: 5 }, { arbitrary: left, weight: 1 }) : changed
    ).map((text) => ({ what: `${name} broken`, text }))
  })
}

/** A body that is no JSON object at all. */
const noObject: fc.Arbitrary<{ readonly what: string; readonly text: string | Uint8Array }> = fc
  .oneof(
    fc.constantFrom<string | Uint8Array>(
      "[]",
      "null",
      "1",
      '"x"',
      "true",
      "{",
      "{}}",
      "{}{}",
      "{'a':1}",
      "{a:1}",
      '{"a":01}',
      '{"a":+1}',
      '{"a":.5}',
      '{"a":NaN}',
      '{"a":Infinity}',
      '{"a":undefined}',
      '{"a":"\u0000"}',
      '{"a":"\n"}',
      "{/**/}",
      '{"a":1,}',
      deep(30_000),
      '{"a":'.repeat(9000),
      Uint8Array.from([0xff, 0xfe, 0x7b, 0x00, 0x7d, 0x00]),
      Uint8Array.from([0x7b, 0x22, 0xc0, 0x80, 0x22, 0x3a, 0x31, 0x7d]),
      Uint8Array.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0])
    ),
    fc
      .uint8Array({ minLength: 2, maxLength: 40 })
      .filter((bytes) => bytes[0] !== 0x7b && bytes.some((byte) => byte > 0x20))
  )
  .map((text) => ({ what: "no JSON object", text }))

const percent = (text: string) => encodeURIComponent(text).replaceAll("%40%40", "@@").replaceAll("%3A", ":")

const goodParameter = (operationId: string, { name, schema }: Parameter): Text => {
  const { type, enum: words, ...rest } = resolved(schema)
  const known = name === "id" ? operationId : name
  if (words !== undefined) return fc.constantFrom(...words.map(String))
  if (type === "integer") return goodWhole(rest).map(String)
  if (rest.format === "uuid")
    return fc.oneof({ arbitrary: place(known), weight: 3 }, { arbitrary: fc.uuid(), weight: 1 })
  if (/^(from|to|at)$/.test(name)) {
    return fc.oneof(
      fc.constantFrom(
        "2026-01-31",
        "2026-11-21T09:00:00Z",
        "2026-11-21T09:00:00.123456789+05:30",
        "1000-01-01",
        "9999-12-31"
      ),
      fc.date({ min: new Date("1001-01-01"), max: new Date("9998-01-01") }).map((date) => date.toISOString())
    )
  }
  return goodText(known, rest)
}

const badParameter = ({ schema, in: where }: Parameter): Text => {
  const { type, format, enum: words, maxLength = 64 } = resolved(schema)
  const long = "x".repeat(maxLength + 1)
  if (type === "integer")
    return fc.constantFrom("-1", "1.0", "1e1", "x", "", "0x1", "%31%00", "99999999999", "+1", "%20")
  if (format === "uuid" || words !== undefined)
    return fc.constantFrom("x", "%00", "nope", "'%20or%201=1--", `${long}`, "%7B%7D")
  if (where === "path") return fc.constantFrom("%00", long, "a%00b", "%ED%A0%80", "%ff", "%", "%zz")
  return fc.constantFrom("", "%00", long)
}

/** Header values that no route takes, where it reads the header at all. */
const badHeader = ({ schema }: Parameter): Text =>
  fc.constantFrom("x".repeat((schema.maxLength ?? 255) + 1), "\u00e4\u00f6", "a\tb", "")

const goodHeader = ({ name, schema }: Parameter): Text =>
  fc
    .stringOf(fc.constantFrom(..."abcXYZ019-_:/. "), { minLength: 1, maxLength: Math.min(schema.maxLength ?? 20, 20) })
    .map((text) => `${name[0] ?? "x"}${text.trim()}`)

/** Headers that a route doesn't read, and that change nothing. */
const oddHeaders = fc.constantFrom<Readonly<Record<string, string>>>(
  {},
  {},
  {},
  { accept: "text/html" },
  { accept: "\u00ff/\u00ff;q=x" },
  { "accept-language": "x".repeat(2000) },
  { "x-http-method-override": "DELETE" },
  { "x-request-id": "\u00ff\u00fe" },
  { "x-forwarded-for": "1.1.1.1, ::::, 'x'" },
  { "x-forwarded-host": "evil.example", forwarded: "host=evil.example" },
  { origin: "https://evil.example" },
  { cookie: "a=b; __proto__=x; ==;;" },
  { range: "bytes=0-1" },
  { "if-none-match": "*" },
  { traceparent: "00-zz-zz-01", b3: "x-x-1" },
  { __proto__x: "1", constructor: "x" }
)

const types = ["text/plain", "application/xml", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]

interface Parts {
  readonly path: Readonly<Record<string, string>>
  readonly query: string
  readonly headers: Readonly<Record<string, string>>
}

const optionally = (text: Text): fc.Arbitrary<string | undefined> =>
  fc.oneof({ arbitrary: fc.constant(undefined), weight: 2 }, { arbitrary: text, weight: 1 })

const goodParts = ({ id, parameters }: Operation): fc.Arbitrary<Parts> => {
  const of = (where: Parameter["in"]) => parameters.filter((each) => each.in === where)
  const filled = (list: ReadonlyArray<Parameter>, make: (each: Parameter) => fc.Arbitrary<string | undefined>) =>
    fc.tuple(...list.map((each) => make(each).map((text) => [each.name, text] as const)))
  return fc
    .tuple(
      filled(of("path"), (each) => goodParameter(id, each)),
      filled(of("query"), (each) => optionally(goodParameter(id, each))),
      filled(of("header"), (each) => optionally(goodHeader(each)))
    )
    .map(([path, query, headers]) => {
      const given = (list: ReadonlyArray<readonly [string, string | undefined]>) =>
        list.flatMap(([name, text]): ReadonlyArray<readonly [string, string]> =>
          text === undefined ? [] : [[name, text]]
        )
      return {
        path: Object.fromEntries(given(path).map(([name, text]) => [name, percent(text)])),
        query: given(query)
          .map(([name, text]) => `${name}=${percent(text)}`)
          .join("&"),
        headers: Object.fromEntries(given(headers))
      }
    })
}

const pathOf = ({ path }: Operation, parts: Parts) => {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => parts.path[name] ?? name)
  return parts.query === "" ? filled : `${filled}?${parts.query}`
}

/** Requests to an operation that knows JSON bodies, or none. */
export const casesOf = (operation: Operation): fc.Arbitrary<Case> => {
  const { body, parameters } = operation
  const parts = fc
    .tuple(goodParts(operation), oddHeaders)
    .map(([each, odd]): Parts => ({ ...each, headers: { ...odd, ...each.headers } }))
  const goodBody = body === undefined ? fc.constant(undefined) : fieldsJson(body).map(objectText)
  const jsonType = { "content-type": "application/json" }
  const made = (kind: Case["kind"], what: string, each: Parts, sent: string | Uint8Array | undefined): Case => ({
    kind,
    what,
    path: pathOf(operation, each),
    headers: { ...(sent === undefined ? {} : jsonType), ...each.headers },
    ...(sent === undefined ? {} : { body: sent })
  })

  const good = fc.tuple(parts, goodBody).map(([each, sent]) => made("good", "good", each, sent))

  const broken: Array<fc.Arbitrary<Case>> = []
  if (body !== undefined && Object.keys(body.properties ?? {}).length > 0) {
    broken.push(
      fc.tuple(parts, brokenBody(body)).map(([each, { what, text }]) => made("broken", what, each, text)),
      fc.tuple(parts, noObject).map(([each, { what, text }]) => made("broken", what, each, text)),
      fc.tuple(parts, goodBody, fc.constantFrom(...types)).map(([each, sent, type]) => {
        const of = made("broken", type, each, sent)
        return { ...of, headers: { ...of.headers, "content-type": type } }
      }),
      fc
        .tuple(parts, goodBody, fc.double({ min: 0, max: 0.99, noNaN: true }))
        .map(([each, sent = "{}", share]) =>
          made("odd", "cut off", each, sent.slice(0, Math.floor(sent.length * share)))
        )
    )
  }
  for (const parameter of parameters) {
    const { name } = parameter
    broken.push(
      parameter.in === "path"
        ? fc
            .tuple(parts, goodBody, badParameter(parameter))
            .map(([each, sent, bad]) =>
              made("broken", `${name} broken`, { ...each, path: { ...each.path, [name]: bad } }, sent)
            )
        : parameter.in === "query"
          ? fc.tuple(parts, badParameter(parameter)).map(([each, bad]) => {
              const rest = each.query.split("&").filter((one) => one !== "" && !one.startsWith(`${name}=`))
              return made(
                "broken",
                `${name} broken`,
                { ...each, query: [...rest, `${name}=${bad}`].join("&") },
                undefined
              )
            })
          : fc
              .tuple(parts, goodBody, badHeader(parameter))
              .map(([each, sent, bad]) =>
                made("broken", `${name} broken`, { ...each, headers: { ...each.headers, [name]: bad } }, sent)
              )
    )
  }

  const twisted = fc
    .tuple(
      parts,
      goodBody,
      fc.constantFrom<(path: string) => string>(
        (path) => `${path}/`,
        (path) => `/${path}`,
        (path) => path.replace("/api/", "/API/"),
        (path) => path.replace("/api/v1/", "/api/v1/./"),
        (path) => path.replace("/api/v1/", "/api/x/../v1/"),
        (path) => path.replace("/v1/", "/v1%2f"),
        (path) => `${path};a=b`,
        (path) => `${path}%00`,
        (path) => `${path}#x`,
        (path) => path.replace("/api", "http://evil.example/api")
      )
    )
    .map(([each, sent, twist]): Case => {
      const of = made("odd", "another path", each, sent)
      return { ...of, path: twist(of.path), isElsewhere: true }
    })

  const queried = fc
    .tuple(
      parts,
      goodBody,
      fc.constantFrom(
        "x=1",
        "__proto__=1",
        "limit[]=1",
        "limit[a]=1",
        "a",
        "=",
        "&&&",
        "%00=%00",
        "%=1",
        "?",
        "x=%ff",
        "q=".repeat(2000)
      )
    )
    .map(([each, sent, query]) =>
      made(
        "odd",
        `query ${query.slice(0, 20)}`,
        { ...each, query: [each.query, query].filter((text) => text !== "").join("&") },
        sent
      )
    )

  return fc.oneof(
    { arbitrary: good, weight: 4 },
    ...broken.map((arbitrary) => ({ arbitrary, weight: Math.max(1, Math.round(6 / broken.length)) })),
    { arbitrary: twisted, weight: 1 },
    { arbitrary: queried, weight: 1 }
  )
}

/** Names of event types that mean something to us, and others. */
const eventTypes = [
  "payment_intent.succeeded",
  "payment_intent.payment_failed",
  "payment_intent.canceled",
  "checkout.session.completed",
  "checkout.session.expired",
  "charge.refunded",
  "charge.dispute.created",
  "charge.dispute.closed",
  "refund.created",
  "refund.failed",
  "customer.updated",
  "",
  "__proto__"
]

const oddValue = fc.oneof(
  fc.constantFrom(
    "null",
    "0",
    "-1",
    "1.5",
    "1e400",
    '""',
    '"x"',
    "[]",
    "{}",
    "true",
    '"\\u0000"',
    '"\\ud800"',
    "9007199254740993",
    deep(50)
  ),
  place("paymentIntentId").map(json),
  place("purchaseId").map(json)
)

const intentFields = [
  "id",
  "object",
  "amount",
  "amount_received",
  "amount_refunded",
  "currency",
  "status",
  "payment_intent",
  "charge",
  "metadata",
  "livemode",
  "balance_transactions"
]

/** Signed events: what Stripe might send, and what it never would. */
export const eventCases = (path: string): fc.Arbitrary<Case> => {
  const object = fc
    .array(fc.tuple(fc.constantFrom(...intentFields), oddValue), { maxLength: 8 })
    .map((fields) => objectText([["id", '"@@paymentIntentId:0@@"'], ["object", '"payment_intent"'], ...fields]))
  const event = fc
    .tuple(
      fc.constantFrom(...eventTypes),
      fc.oneof({ arbitrary: object, weight: 4 }, { arbitrary: oddValue, weight: 1 }),
      fc.array(
        fc.tuple(fc.constantFrom("id", "api_version", "created", "livemode", "type", "data", "object"), oddValue),
        { maxLength: 2 }
      ),
      fc.uuid()
    )
    .map(([type, about, fields, id]) =>
      objectText([
        ["id", json(`evt_${id}`)],
        ["object", '"event"'],
        ["api_version", '"2026-10-28.endive"'],
        ["created", "1764000000"],
        ["livemode", "false"],
        ["type", json(type)],
        ["data", `{"object":${about}}`],
        ...fields
      ])
    )
  return fc
    .oneof({ arbitrary: event, weight: 5 }, { arbitrary: noObject.map(({ text }) => text), weight: 1 })
    .map((body) => ({ kind: "odd", what: "an event", path, headers: { "content-type": "application/json" }, body }))
}

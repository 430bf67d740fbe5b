import { createHash } from "node:crypto"
import { Option } from "effect"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { daysAfter, given, nobodysCode } from "../support/gifts.ts"
import { authService, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const settings = { baseUrl: "https://credits.example", trustProxy: true }
const service = await startService(db, auth, {
  settings: { ...settings, appUrl: Option.some("https://app.example/mana") }
})
const plain = await startService(db, auth, { settings })

const open = (code: string, language = "en", at = service) =>
  at.request("GET", `/g/${code}`, {
    headers: { "accept-language": language, "x-forwarded-for": "192.0.2.1" }
  })

/** The text of the page, its tags and the head taken away, entities read. */
const textOf = (page: string) =>
  page
    .replace(/^.*<body>/s, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ")
    .replaceAll("&lt;", "<")
    .replaceAll("&gt;", ">")
    .replaceAll("&quot;", '"')
    .replaceAll("&#39;", "'")
    .replaceAll("&amp;", "&")

const metaOf = (page: string, property: string) =>
  new RegExp(`<meta property="${property}" content="([^"]*)"`).exec(page)?.[1]

test("shows the gift, and the way to redeem it", async () => {
  const now = new Date("2031-02-03T12:00:00Z")
  const { gift } = await given(db, 3000, { message: "Happy birthday!", creatorName: "Ann", expirationDays: 90, now })
  const { status, headers, text } = await open(gift.code.toLowerCase().replaceAll("-", ""))
  expect(status).toBe(200)
  expect(headers.get("content-type")).toBe("text/html; charset=utf-8")
  expect(text).toContain('<html lang="en">')
  for (const said of ["Ann is giving you 3,000 credits", "Happy birthday!", "Redeem by 4 May 2031", gift.code]) {
    expect(textOf(text)).toContain(said)
  }
  expect(text).toContain(`href="https://app.example/mana/gifts/redeem/${gift.code}"`)
})

test("is another one for who asks in another language, and from another origin", async () => {
  const withCors = await startService(db, auth, { settings: { ...settings, corsOrigins: ["https://app.example"] } })
  const { headers } = await open("0000-0000-0000", "de", withCors)
  expect(headers.get("vary")).toBe("accept-language, Origin")
})

test("speaks German where German is asked for", async () => {
  const now = new Date("2031-02-03T12:00:00Z")
  const { gift } = await given(db, 1, { creatorName: "Jörg", targetEmail: "b@example.org", now })
  const { headers, text } = await open(gift.code, "de-AT,de;q=0.9,en;q=0.8")
  expect(headers.get("content-language")).toBe("de")
  expect(headers.get("vary")).toBe("accept-language")
  expect(text).toContain('<html lang="de">')
  for (const said of ["Jörg schenkt dir 1 Credit", "Einlösbar bis 4. Mai 2031", "E-Mail-Adresse", "annehmen"]) {
    expect(textOf(text)).toContain(said)
  }
  expect(text).not.toContain("example.org")
})

test("is what a chat shows of the link", async () => {
  const { gift } = await given(db, 30, { creatorName: 'A "B" <C>', message: "A secret" })
  const { text } = await open(gift.code)
  expect(metaOf(text, "og:title")).toBe("A &quot;B&quot; &lt;C&gt; is giving you 30 credits")
  expect(metaOf(text, "og:description")).toMatch(/^Redeem by \d+ \w+ \d+$/)
  expect(metaOf(text, "og:url")).toBe(`https://credits.example/g/${gift.code}`)
  expect(metaOf(text, "og:type")).toBe("website")
  expect(metaOf(text, "og:site_name")).toBe("mana")
  expect(metaOf(text, "og:locale")).toBe("en_GB")
  // The message is for whoever opens it.
  expect(text.replace(/<body>.*/s, "")).not.toContain("A secret")
})

test("shows as typed what somebody typed", async () => {
  const message = `<script>alert(1)</script> </blockquote><img src=x onerror=alert(2)> "quoted" & 'so on'`
  const creatorName = '"><script>alert(3)</script>'
  const { gift } = await given(db, 30, { message, creatorName })
  const { text } = await open(gift.code)
  expect(text).not.toMatch(/<script|<img/)
  expect(textOf(text)).toContain(message)
  expect(textOf(text)).toContain(creatorName)
})

test("allows its own style and nothing else, and isn't found by search engines", async () => {
  const { gift } = await given(db, 30)
  const { headers, text } = await open(gift.code)
  const [, style = ""] = /<style>(.*)<\/style>/s.exec(text) ?? []
  const hash = createHash("sha256").update(style).digest("base64")
  expect(headers.get("content-security-policy")).toBe(
    `default-src 'none'; style-src 'sha256-${hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`
  )
  expect(headers.get("referrer-policy")).toBe("no-referrer")
  expect(headers.get("x-robots-tag")).toBe("noindex")
  expect(headers.get("cache-control")).toBe("no-store")
  expect(text).not.toMatch(/ style=| on\w+=/)
})

test("names the code to enter where there is no app to lead to", async () => {
  const { gift } = await given(db, 30)
  const { text } = await open(gift.code, "en", plain)
  expect(textOf(text)).toContain("enter this code in the app")
  expect(text).not.toContain("<a ")
})

test("says what has become of a gift, and leads nowhere", async () => {
  const redeemed = await given(db, 30, { message: "For you" })
  await db.call("gifts.redeem", { userId: "reader", code: redeemed.gift.code })
  const cancelled = await given(db, 30, { message: "Not any more" })
  await db.call("gifts.cancel", { userId: cancelled.creatorId, giftId: cancelled.gift.id })
  const expired = await given(db, 30, { message: "Too late", now: daysAfter(new Date(), -91) })

  const pages = await Promise.all([redeemed, cancelled, expired].map(({ gift }) => open(gift.code)))
  expect(pages.map(({ status }) => status)).toEqual([200, 200, 200])
  const texts = pages.map(({ text }) => textOf(text))
  expect(texts[0]).toContain("This gift has been redeemed already")
  expect(texts[1]).toContain("This gift was withdrawn")
  expect(texts[2]).toContain("This gift has expired")
  expect(texts.map((text) => /For you|Not any more|Too late/.exec(text)?.[0])).toEqual([
    "For you",
    undefined,
    undefined
  ])
  for (const { text } of pages) expect(text).not.toContain("<a ")

  const german = await Promise.all([redeemed, cancelled, expired].map(({ gift }) => open(gift.code, "de")))
  expect(german.map(({ text }) => /eingelöst|widerrufen|abgelaufen/.exec(textOf(text))?.[0])).toEqual([
    "eingelöst",
    "widerrufen",
    "abgelaufen"
  ])
})

test("answers a code that doesn't exist with 404, in words", async () => {
  for (const code of [nobodysCode, "x", "%00", "x".repeat(100), "%3Cscript%3E"]) {
    const { status, headers, text } = await open(code)
    expect(status).toBe(404)
    expect(headers.get("content-type")).toContain("text/html")
    expect(textOf(text)).toContain("There is no such code")
    expect(text).not.toContain("<script")
  }
})

test("counts misses as the look-up does: 429 after 30, with the time to wait", async () => {
  const { gift } = await given(db, 30)
  const from = { headers: { "x-forwarded-for": "198.51.100.1" } }
  for (let miss = 0; miss < 15; miss++) {
    expect((await service.request("GET", `/g/${nobodysCode}`, from)).status).toBe(404)
    expect((await service.request("GET", `/api/v1/gifts/${nobodysCode}`, from)).status).toBe(404)
  }
  const { status, headers, text } = await service.request("GET", `/g/${gift.code}`, from)
  expect(status).toBe(429)
  expect(textOf(text)).toContain(`Try again in ${headers.get("retry-after")} seconds`)
  expect(text).not.toContain(gift.code)
  expect((await open(gift.code)).status).toBe(200)
})

test("answers HEAD with the headers alone", async () => {
  const { gift } = await given(db, 30)
  const { status, text } = await service.request("HEAD", `/g/${gift.code}`)
  expect([status, text]).toEqual([200, ""])
})

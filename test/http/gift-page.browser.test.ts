import { Option } from "effect"
import { beforeEach, expect, test } from "vitest"
import { fileBrowser, noBrowser } from "../support/browser.ts"
import { database } from "../support/database.ts"
import { given, nobodysCode } from "../support/gifts.ts"
import { authService, startService } from "./support.ts"

const db = await database()
const browser = fileBrowser()
const auth = await authService()
const service = await startService(db, auth, { settings: { appUrl: Option.some("https://app.example") } })

beforeEach(({ skip }) => {
  if (noBrowser !== undefined) skip(noBrowser)
})

const phone = { width: 390, height: 844 }
const smallPhone = { width: 320, height: 568 }
const desktop = { width: 1280, height: 900 }

const long = [
  "Liebe Mia,\n\nherzlichen Glückwunsch zum Abschluss! Du hast so lange darauf hingearbeitet, und jetzt ist es da.",
  `${"Donaudampfschifffahrt".repeat(8)}\n<script>document.title = "mine"</script>\n\nDeine Großtante`
].join("\n\n")

/** The page as somebody sees it, and everything the browser had to complain of. */
const visit = async (
  code: string,
  options: { readonly viewport: typeof phone; readonly locale?: string; readonly colorScheme?: "light" | "dark" }
) => {
  const context = await (await browser()).newContext({ locale: "en", colorScheme: "light", ...options })
  const page = await context.newPage()
  const complaints: Array<string> = []
  page.on("console", (message) => complaints.push(message.text()))
  page.on("pageerror", (error) => complaints.push(error.message))
  page.on("dialog", (dialog) => void dialog.dismiss().then(() => complaints.push("dialog")))
  await page.goto(`${service.url}/g/${code}`)
  return { page, complaints, [Symbol.asyncDispose]: () => context.close() }
}

type Page = Awaited<ReturnType<typeof visit>>["page"]

// Scripts for the page are text: they know a world of types that the rest of the project doesn't.

/** How far text stands out from what is behind it: the least of all texts on a plain ground. */
const weakestContrast = (page: Page) =>
  page.evaluate<number>(`(() => {
    const luminance = (colour) => {
      const [red, green, blue] = colour.match(/[\\d.]+/g).map((part) => part / 255)
        .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
      return 0.2126 * red + 0.7152 * green + 0.0722 * blue
    }
    const groundOf = (element) => {
      const colour = getComputedStyle(element).backgroundColor
      return colour === "rgba(0, 0, 0, 0)" ? groundOf(element.parentElement) : colour
    }
    const contrasts = [...document.querySelectorAll("h1, blockquote, .soft, .button, code, footer")].map((element) => {
      const [one, other] = [luminance(getComputedStyle(element).color), luminance(groundOf(element))]
      return (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05)
    })
    return Math.min(...contrasts)
  })()`)

const isWiderThanScreen = (page: Page) =>
  page.evaluate<boolean>("document.documentElement.scrollWidth > document.documentElement.clientWidth")

test.each([
  { viewport: smallPhone, colorScheme: "light" },
  { viewport: phone, colorScheme: "dark" },
  { viewport: desktop, colorScheme: "light" },
  { viewport: desktop, colorScheme: "dark" }
] as const)("fits $viewport.width pixels and is easy to read, $colorScheme", async (options) => {
  const { gift } = await given(db, 10_000, { message: long, creatorName: "Brünhilde".repeat(6), targetEmail: "m@x.de" })
  await using visited = await visit(gift.code, { ...options, locale: "de" })
  const { page, complaints } = visited
  expect(await page.locator("h1").innerText()).toContain("schenkt dir 10.000 Credits")
  expect(await isWiderThanScreen(page)).toBe(false)
  // WCAG AA asks for 4.5.
  expect(await weakestContrast(page)).toBeGreaterThan(4.5)
  expect(await page.getByRole("link", { name: "Geschenk annehmen" }).getAttribute("href")).toBe(
    `https://app.example/gifts/redeem/${gift.code}`
  )
  // The style is ours and was allowed; nothing else was asked for, and what was typed did nothing.
  expect(complaints).toEqual([])
  expect(await page.locator("blockquote").innerText()).toBe(long)
  expect(await page.title()).toContain("schenkt dir")
})

test("is dark where dark is preferred", async () => {
  const { gift } = await given(db, 30)
  const ground = async (colorScheme: "light" | "dark") => {
    await using visited = await visit(gift.code, { viewport: phone, colorScheme })
    return await visited.page.evaluate<string>("getComputedStyle(document.body).backgroundColor")
  }
  expect(await ground("light")).toBe("rgb(243, 240, 250)")
  expect(await ground("dark")).toBe("rgb(14, 11, 24)")
})

test("fits what has become of a gift, and says it", async () => {
  const redeemed = await given(db, 10_000, { message: long })
  await db.call("gifts.redeem", { userId: "reader", code: redeemed.gift.code })
  const cancelled = await given(db, 10_000)
  await db.call("gifts.cancel", { userId: cancelled.creatorId, giftId: cancelled.gift.id })
  const codes = [redeemed.gift.code, cancelled.gift.code, nobodysCode]
  const headlines = []
  for (const code of codes) {
    await using visited = await visit(code, { viewport: smallPhone, locale: "de" })
    headlines.push(await visited.page.locator("h1").innerText())
    expect(await isWiderThanScreen(visited.page)).toBe(false)
    expect(await weakestContrast(visited.page)).toBeGreaterThan(4.5)
  }
  expect(headlines).toEqual([
    "Dieses Geschenk ist schon eingelöst",
    "Dieses Geschenk wurde widerrufen",
    "Diesen Code gibt es nicht"
  ])
})

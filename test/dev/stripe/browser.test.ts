/**
 * The checkout page in a real browser, where one is installed. SCREENSHOTS=<folder> keeps what it looks like, in more
 * sizes and colours.
 */
import * as fs from "node:fs"
import * as path from "node:path"
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { type BrowserContextOptions, chromium } from "playwright-core"
import { ask, checkout, simulated } from "./support.ts"

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((file) =>
  fs.existsSync(file)
)
const folder = process.env["SCREENSHOTS"]

const browser = Effect.acquireRelease(
  Effect.promise(() =>
    chromium.launch({
      executablePath: executablePath ?? "",
      args: [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync"
      ]
    })
  ),
  (chrome) => Effect.promise(() => chrome.close())
)

const looks: ReadonlyArray<readonly [string, BrowserContextOptions]> = [
  ["desktop-light-en", { viewport: { width: 1280, height: 800 }, colorScheme: "light", locale: "en-GB" }],
  ["desktop-dark-de", { viewport: { width: 1280, height: 800 }, colorScheme: "dark", locale: "de-DE" }],
  ["phone-light-de", { viewport: { width: 375, height: 780 }, colorScheme: "light", locale: "de-DE", isMobile: true }],
  ["phone-dark-en", { viewport: { width: 320, height: 700 }, colorScheme: "dark", locale: "en-GB", isMobile: true }]
]

describe.skipIf(executablePath === undefined)("the checkout page in Chromium (skipped where none is installed)", () => {
  it.live(
    "pays, after a decline, and comes back to the app",
    () =>
      Effect.gen(function* () {
        const { simulator, stripe } = yield* simulated({ debitDecidedAfter: "1 hour" })
        const chrome = yield* browser
        for (const [name, options] of folder === undefined ? looks.slice(-2) : looks) {
          const session = yield* ask(() =>
            stripe.checkout.sessions.create({
              ...checkout,
              success_url: `${simulator.url}/simulator?s={CHECKOUT_SESSION_ID}`
            })
          )
          yield* Effect.promise(async () => {
            const context = await chrome.newContext(options)
            const page = await context.newPage()
            const shot = async (what: string) => {
              if (folder !== undefined) {
                await page.screenshot({ path: path.join(folder, `${name}-${what}.png`), fullPage: true })
              }
            }
            const wrong: Array<string> = []
            page.on("console", (message) => {
              if (message.location().url.includes("/c/pay/")) wrong.push(message.text())
            })
            page.on("pageerror", (error) => wrong.push(error.message))
            await page.goto(session.url ?? "")
            await shot("open")
            // Nothing sticks out to the side.
            expect(await page.locator("html").evaluate((html) => html.scrollWidth <= html.clientWidth)).toBe(true)
            await page.getByRole("button", { name: /^(Decline|Ablehnen)$/ }).click()
            await page.getByRole("alert").waitFor()
            await shot("declined")
            await page.getByRole("radio", { name: /^(SEPA direct debit|SEPA-Lastschrift) ?IBAN/ }).check()
            await page.getByRole("radio", { name: /^(Card|Karte)/ }).check()
            await page.getByRole("button", { name: /^(Pay|Bezahlen)/ }).click()
            await page.waitForURL(`${simulator.url}/simulator?s=${session.id}`)
            await page.goto(`${simulator.url}/c/pay/${session.id}`)
            await shot("paid")
            expect(wrong).toEqual([])
            await context.close()
          })
          expect((yield* ask(() => stripe.checkout.sessions.retrieve(session.id))).payment_status).toBe("paid")
        }
      }),
    // A browser's first start on a busy machine.
    60_000
  )
})

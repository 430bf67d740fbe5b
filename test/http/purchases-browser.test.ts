/** Buying in a real browser, where one is installed: to the checkout page and back to the app, and the balance is there. */
import * as fs from "node:fs"
import * as http from "node:http"
import { chromium } from "playwright-core"
import { afterAll, describe, expect, test } from "vitest"
import { database } from "../support/database.ts"
import { authService } from "./support.ts"
import { startShop } from "./stripe-support.ts"

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((file) =>
  fs.existsSync(file)
)

/** An app in which credits are bought, as small as can be: it asks the service from the browser. */
const page = (api: string, token: string) => `<!doctype html>
<title>App</title>
<h1 id="balance"></h1>
<button>Buy 1,050 credits</button>
<script type="module">
  const call = async (path, body) => {
    const response = await fetch("${api}/api/v1/credits" + path, {
      method: body ? "POST" : "GET",
      headers: { authorization: "Bearer ${token}", "content-type": "application/json" },
      ...(body ? { body: JSON.stringify(body) } : {})
    })
    return response.json()
  }
  const show = async () => {
    const { balance } = await call("/balance")
    document.querySelector("h1").textContent = balance + " credits"
    // Back from paying, the webhook may still be on its way.
    if (location.search === "?paid" && balance === 0) setTimeout(show, 50)
  }
  document.querySelector("button").onclick = async () => {
    const back = location.origin + location.pathname
    const urls = { successUrl: back + "?paid", cancelUrl: back + "?cancelled" }
    const { checkoutUrl } = await call("/purchase", { packageId: "credits_1000", ...urls })
    location.href = checkoutUrl
  }
  show()
</script>`

const startApp = async () => {
  let html = ""
  const server = http.createServer((_, response) => {
    response.writeHead(200, { "content-type": "text/html" }).end(html)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  afterAll(() => {
    server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  const address = server.address()
  return {
    origin: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`,
    serve: (text: string) => {
      html = text
    }
  }
}

const db = await database()
const auth = await authService()

describe.skipIf(executablePath === undefined)("in Chromium (skipped where none is installed)", () => {
  // A browser's first start on a busy machine.
  test("cancel, decline, pay, come back, see the balance", { timeout: 60_000 }, async () => {
    const app = await startApp()
    const { service } = await startShop(db, auth, { settings: { corsOrigins: [app.origin] } })
    app.serve(page(service.url, await auth.token("ada")))

    const chrome = await chromium.launch({
      executablePath: executablePath ?? "",
      args: ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    })
    try {
      const tab = await chrome.newPage({ locale: "en-GB" })
      const wrong: Array<string> = []
      tab.on("pageerror", (error) => wrong.push(error.message))
      const balance = (text: string) => tab.getByRole("heading", { name: text, exact: true }).waitFor()
      await tab.goto(app.origin)
      await balance("0 credits")

      await tab.getByRole("button", { name: "Buy" }).click()
      await tab
        .getByRole("link", { name: /^Cancel/ })
        .or(tab.getByRole("button", { name: /^Cancel/ }))
        .click()
      await tab.waitForURL(`${app.origin}/?cancelled`)
      await balance("0 credits")

      await tab.getByRole("button", { name: "Buy" }).click()
      await tab.getByRole("button", { name: "Decline" }).click()
      await tab.getByRole("alert").waitFor()
      await tab.getByRole("button", { name: /^Pay/ }).click()
      await tab.waitForURL(`${app.origin}/?paid`)
      await balance("1050 credits")
      expect(wrong).toEqual([])
    } finally {
      await chrome.close()
    }
    const purchases = await db.query("select status from credits.purchases where user_id = 'ada' order by id")
    expect(purchases).toEqual([{ status: "pending" }, { status: "completed" }])
  })
})

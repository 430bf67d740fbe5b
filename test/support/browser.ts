/** Debian's Chromium, for the pages that people see. */
import { existsSync } from "node:fs"
import { type Browser, chromium } from "playwright-core"
import { whenOver } from "./over.ts"

const executablePath = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"].find((path) =>
  existsSync(path)
)

/** Why tests in a browser are skipped on this machine, or undefined. */
export const noBrowser =
  executablePath === undefined ? "no Chromium on this machine: apt-get install chromium" : undefined

export const launchBrowser = () =>
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

/** A test file's own browser, started when it is first asked for and closed after the file. */
export const fileBrowser = () => {
  let started: Promise<Browser> | undefined
  whenOver(async () => {
    await (await started)?.close()
  })
  return () => (started ??= launchBrowser())
}

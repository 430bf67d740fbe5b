/** The page that a gift's link opens: what is in it, and the way to redeem it. Reads without scripts. */
import { createHash } from "node:crypto"
import { readFileSync } from "node:fs"
import type { LookedUpGift } from "../../contract/gifts.ts"
import { html, Html } from "./html.ts"
import type { Message, Words } from "./words.ts"

const style = readFileSync(new URL("style.css", import.meta.url), "utf8")

/** Nothing but our own style: no script, no picture, no font, no frame. */
export const contentSecurityPolicy = [
  "default-src 'none'",
  `style-src 'sha256-${createHash("sha256").update(style).digest("base64")}'`,
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'"
].join("; ")

interface Document {
  readonly words: Words
  readonly title: string
  readonly description: string
  /** The page's own address, where it has one. */
  readonly url?: string
  readonly isClosed?: boolean
  readonly content: Html
}

const styleElement = new Html(`<style>${style}</style>`)

const documentOf = ({ words, title, description, url, isClosed, content }: Document) =>
  html`<!doctype html>
<html lang="${words.language}">
<head>
<meta charset="utf-8">
<title>${title} · mana</title>
<meta name="viewport" content="width=device-width, initial-scale=1, viewport-fit=cover">
<meta name="robots" content="noindex">
<meta name="theme-color" content="#f3f0fa" media="(prefers-color-scheme: light)">
<meta name="theme-color" content="#0e0b18" media="(prefers-color-scheme: dark)">
<meta name="description" content="${description}">
<meta property="og:type" content="website">
<meta property="og:site_name" content="mana">
<meta property="og:locale" content="${words.locale}">
<meta property="og:title" content="${title}">
<meta property="og:description" content="${description}">
${url === undefined ? undefined : html`<meta property="og:url" content="${url}" />`}
<meta name="twitter:card" content="summary">
${styleElement}
</head>
<body>
<main${isClosed === true ? html` class="closed"` : undefined}>
${content}
</main>
<footer>${words.footer}</footer>
</body>
</html>
`.markup

const ribbon = html`<svg viewBox="0 0 320 200" preserveAspectRatio="xMaxYMid slice" aria-hidden="true">
  <rect class="ribbon" x="237" width="24" height="200" />
  <path class="edge" d="M238 0 V200 M260 0 V200" />
  <path class="tail" d="M246 78 L221 117 L233 118 L238 129 L255 86 Z" />
  <path class="tail" d="M252 78 L277 117 L265 118 L260 129 L243 86 Z" />
  <path class="bow" d="M249 72 C228 38 184 40 187 67 C190 94 232 92 249 72 Z" />
  <path class="bow" d="M249 72 C270 38 314 40 311 67 C308 94 266 92 249 72 Z" />
  <path class="fold" d="M246 72 C233 60 206 57 204 67 C205 77 231 80 246 72 Z" />
  <path class="fold" d="M252 72 C265 60 292 57 294 67 C293 77 267 80 252 72 Z" />
  <rect class="knot" x="238" y="60" width="22" height="25" rx="9" />
</svg>`

const cardOf = (words: Words, credits: number, stamp?: string) => {
  const amount = words.amount(credits)
  return html`<div class="card">
    ${stamp === undefined ? ribbon : undefined}
    <p class="label">
      <span>${words.gift}</span>${stamp === undefined ? undefined : html` <span class="stamp">${stamp}</span>`}
    </p>
    <p class="${amount.length > 3 ? "long amount" : "amount"}"><b>${amount}</b> <span>${words.unit(credits)}</span></p>
  </div>`
}

// dir="auto": a message may be in any script. What it does to the order of words ends with its element.
const messageOf = (message: string | null) =>
  message === null ? undefined : html`<blockquote dir="auto">${message}</blockquote>`

export interface GiftPage {
  readonly gift: LookedUpGift
  /** The page's own address. */
  readonly url: string
  /** Where the gift is redeemed, if there is an app for it. */
  readonly redeemUrl: string | undefined
}

const openGift = (words: Words, { gift, url, redeemUrl }: GiftPage) => {
  const credits = words.credits(gift.totalCredits)
  const title = words.open.title(credits, gift.creatorName)
  const until = words.open.until(words.date(gift.expiresAt))
  return documentOf({
    words,
    title,
    description: until,
    url,
    content: html`${cardOf(words, gift.totalCredits)}
      <div class="text">
        <h1>${title}</h1>
        ${messageOf(gift.message)}
        ${gift.isPersonalized ? html`<p class="soft">${words.open.personalized}</p>` : undefined}
        ${
          redeemUrl === undefined
            ? html`<p>${words.open.enterCode}</p>`
            : html`<p><a class="button" href="${redeemUrl}" rel="noreferrer">${words.open.accept}</a></p>`
        }
        <p class="code"><span class="soft">${words.code}</span> <code>${gift.code}</code></p>
        <p class="soft"><time datetime="${gift.expiresAt}">${until}</time></p>
      </div>`
  })
}

const closedGift = (words: Words, { gift, url }: GiftPage, status: "redeemed" | "expired" | "cancelled") => {
  const { stamp, title, text } = words[status]
  const description = text(words.date(gift.expiresAt))
  return documentOf({
    words,
    title,
    description,
    url,
    isClosed: true,
    content: html`${cardOf(words, gift.totalCredits, stamp)}
      <div class="text">
        <h1>${title}</h1>
        <p class="soft">${description}</p>
        ${status === "redeemed" ? messageOf(gift.message) : undefined}
      </div>`
  })
}

/** A gift that there is, in whatever state. */
export const giftPage = (words: Words, page: GiftPage) =>
  page.gift.status === "active" ? openGift(words, page) : closedGift(words, page, page.gift.status)

/** What there is to say without a gift. */
export const messagePage = (words: Words, { title, text }: Message) =>
  documentOf({
    words,
    title,
    description: text,
    content: html`<div class="text">
      <h1>${title}</h1>
      <p class="soft">${text}</p>
    </div>`
  })

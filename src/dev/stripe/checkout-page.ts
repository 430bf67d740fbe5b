/** The checkout page as HTML: plain forms, no script, in German and English, light and dark, wide and narrow. */
import type { Stripe } from "stripe"

export type Language = "de" | "en"

/** The first of the two that a browser asks for, by its own weights; English otherwise. */
export const languageOf = (acceptLanguage: string | undefined, locale: string | null = null): Language => {
  if (locale?.startsWith("de")) return "de"
  if (locale?.startsWith("en")) return "en"
  const wanted = (acceptLanguage ?? "")
    .split(",")
    .map((entry) => {
      const [tag = "", ...options] = entry.trim().toLowerCase().split(";")
      const weight = options.map((it) => /^\s*q=([\d.]+)$/.exec(it)?.[1]).find((it) => it !== undefined)
      return { language: tag.split("-")[0], weight: Number(weight ?? 1) }
    })
    .toSorted((a, b) => b.weight - a.weight)
    .find(({ language, weight }) => weight > 0 && (language === "de" || language === "en"))
  return wanted?.language === "de" ? "de" : "en"
}

const texts = {
  en: {
    title: "Checkout (simulation)",
    banner: "This is a simulation.",
    bannerMore: "No money moves, no card is charged, nothing is sent to Stripe.",
    buying: "You are buying",
    total: "Total",
    method: "Pay with",
    card: "Card",
    cardMore: "Visa •••• 4242, paid at once",
    sepa: "SEPA direct debit",
    sepaMore: "IBAN DE•• 3000, the bank takes a moment",
    sepaFails: "SEPA direct debit, returned unpaid",
    sepaFailsMore: "looks fine now, the bank sends it back later",
    pay: "Pay",
    decline: "Decline",
    cancel: "Cancel",
    cardDeclined: "Your card was declined. Nothing was paid. You can try again.",
    sepaDeclined: "Your bank doesn't take direct debits from this account. Nothing was paid. You can try again.",
    paid: "Paid",
    paidMore: "The payment went through.",
    processing: "On its way",
    processingMore: "The direct debit is with the bank. Nothing is paid until it decides.",
    failed: "Not paid",
    failedMore: "The bank sent the direct debit back. Start again in the app.",
    expired: "This checkout has expired",
    expiredMore: "Go back to the app and start again.",
    canceled: "This payment was cancelled",
    canceledMore: "Go back to the app and start again.",
    unknown: "Nothing here",
    unknownMore: "There is no such checkout. Perhaps the simulator was restarted since.",
    goOn: "Back to the app",
    quantity: "Quantity"
  },
  de: {
    title: "Kasse (Simulation)",
    banner: "Dies ist eine Simulation.",
    bannerMore: "Es fließt kein Geld, keine Karte wird belastet, nichts geht an Stripe.",
    buying: "Sie kaufen",
    total: "Gesamt",
    method: "Bezahlen mit",
    card: "Karte",
    cardMore: "Visa •••• 4242, sofort bezahlt",
    sepa: "SEPA-Lastschrift",
    sepaMore: "IBAN DE•• 3000, die Bank braucht einen Moment",
    sepaFails: "SEPA-Lastschrift, die zurückkommt",
    sepaFailsMore: "sieht jetzt gut aus, die Bank gibt sie später zurück",
    pay: "Bezahlen",
    decline: "Ablehnen",
    cancel: "Abbrechen",
    cardDeclined: "Ihre Karte wurde abgelehnt. Es wurde nichts bezahlt. Sie können es noch einmal versuchen.",
    sepaDeclined:
      "Ihre Bank nimmt für dieses Konto keine Lastschriften an. Es wurde nichts bezahlt. Sie können es noch einmal " +
      "versuchen.",
    paid: "Bezahlt",
    paidMore: "Die Zahlung ist eingegangen.",
    processing: "Unterwegs",
    processingMore: "Die Lastschrift liegt bei der Bank. Bis sie entscheidet, ist nichts bezahlt.",
    failed: "Nicht bezahlt",
    failedMore: "Die Bank hat die Lastschrift zurückgegeben. Beginnen Sie in der App neu.",
    expired: "Diese Kasse ist abgelaufen",
    expiredMore: "Gehen Sie zurück zur App und beginnen Sie neu.",
    canceled: "Diese Zahlung wurde abgebrochen",
    canceledMore: "Gehen Sie zurück zur App und beginnen Sie neu.",
    unknown: "Hier ist nichts",
    unknownMore: "Diese Kasse gibt es nicht. Vielleicht wurde der Simulator inzwischen neu gestartet.",
    goOn: "Zurück zur App",
    quantity: "Menge"
  }
} as const

const html = (value: string) => value.replace(/[&<>"']/g, (it) => `&#${it.charCodeAt(0)};`)

const money = (language: Language, amount: number, currency: string) =>
  html(new Intl.NumberFormat(language, { style: "currency", currency }).format(amount / 100))

const style = `
:root{color-scheme:light dark;--ground:#f4f5f8;--card:#fff;--text:#1a1d29;--quiet:#5a6072;--line:#d9dce5;
--main:#4f46e5;--on-main:#fff;--warn:#fff4d6;--on-warn:#5c4300;--bad:#fde8e8;--on-bad:#8a1c1c}
@media (prefers-color-scheme:dark){:root{--ground:#12141c;--card:#1c1f2b;--text:#eceef5;--quiet:#a3a9bd;--line:#343949;
--main:#8b87ff;--on-main:#12141c;--warn:#3d3109;--on-warn:#ffe39a;--bad:#431a1c;--on-bad:#ffc9c9}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--text);font:16px/1.5 system-ui,-apple-system,"Segoe UI",sans-serif}
.banner{background:var(--warn);color:var(--on-warn);padding:.7rem 1.25rem;text-align:center;font-size:.95rem}
main{max-width:58rem;margin:0 auto;padding:1.25rem;display:grid;gap:1.25rem}
section{background:var(--card);border:1px solid var(--line);border-radius:1rem;padding:1.5rem}
h1{font-size:1rem;font-weight:600;color:var(--quiet);margin:0 0 .75rem}
.price{font-size:2.4rem;font-weight:700;letter-spacing:-.02em;line-height:1.15;margin:0 0 1.25rem}
ul{list-style:none;margin:0;padding:0}
li,.sum{display:flex;justify-content:space-between;gap:1rem;padding:.7rem 0;border-top:1px solid var(--line)}
.sum{font-weight:600;padding-bottom:0}
li small,label small{display:block;color:var(--quiet)}
.amount{white-space:nowrap;font-variant-numeric:tabular-nums}
fieldset{border:0;margin:0;padding:0}
legend{padding:0;margin:0 0 .75rem;font-weight:600;color:var(--quiet)}
label{display:flex;gap:.8rem;align-items:flex-start;border:1px solid var(--line);border-radius:.7rem;
padding:.8rem 1rem;margin-bottom:.6rem;cursor:pointer}
label:has(:checked){border-color:var(--main);box-shadow:inset 0 0 0 1px var(--main)}
input{accent-color:var(--main);width:1.15rem;height:1.15rem;margin:.2rem 0 0;flex:none}
button,.button{display:block;width:100%;min-height:3rem;padding:.75rem 1rem;border-radius:.7rem;margin-top:.75rem;
font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer;
border:1px solid var(--line);background:transparent;color:var(--text)}
.pay{background:var(--main);border-color:var(--main);color:var(--on-main);margin-top:1.1rem}
.cancel{border-color:transparent;color:var(--quiet);font-weight:500;margin-bottom:-.75rem}
button:hover,.button:hover{filter:brightness(1.06)}
:focus-visible{outline:3px solid var(--main);outline-offset:2px}
.declined{background:var(--bad);color:var(--on-bad);border-radius:.7rem;padding:.8rem 1rem;margin:0 0 1rem}
.end{text-align:center;padding:3rem 1.5rem}
.end p{color:var(--quiet);margin:0 auto 1rem;max-width:28rem}
.end .price{color:var(--text);margin-bottom:.5rem}
.end .button{max-width:20rem;margin-inline:auto}
@media (min-width:46rem){main{grid-template-columns:1fr 1fr;align-items:start;padding:3rem 1.5rem}.end{grid-column:1/-1}}
`

const document = (language: Language, body: string) => {
  const text = texts[language]
  return `<!doctype html>
<html lang="${language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${text.title}</title>
<link rel="icon" href="data:,">
<style>${style}</style>
</head>
<body>
<div class="banner" role="note"><strong>${text.banner}</strong> ${text.bannerMore}</div>
<main>${body}</main>
</body>
</html>
`
}

export interface Purchase {
  readonly amount: number
  readonly currency: string
  readonly items: ReadonlyArray<Pick<Stripe.LineItem, "description" | "quantity" | "amount_total">>
  readonly methods: ReadonlyArray<string>
  readonly canCancel: boolean
  /** Whether the payer can choose a direct debit that the bank sends back: it must decide by itself for that. */
  readonly canBounce: boolean
  /** The way to pay that was just turned down. */
  readonly declined: string | undefined
}

const summary = (language: Language, purchase: Purchase) => {
  const text = texts[language]
  const amount = (cents: number) => `<span class="amount">${money(language, cents, purchase.currency)}</span>`
  const items = purchase.items.map(
    ({ description, quantity, amount_total }) =>
      `<li><span>${html(description ?? "")}${
        (quantity ?? 1) > 1 ? `<small>${text.quantity}: ${quantity}</small>` : ""
      }</span>${amount(amount_total)}</li>`
  )
  return `<section><h1>${text.buying}</h1><p class="price">${money(language, purchase.amount, purchase.currency)}</p>
<ul>${items.join("")}</ul><div class="sum"><span>${text.total}</span>${amount(purchase.amount)}</div></section>`
}

const choice = (value: string, name: string, more: string, checked: boolean) =>
  `<label><input type="radio" name="method" value="${value}"${checked ? " checked" : ""}>` +
  `<span>${name}<small>${more}</small></span></label>`

/** Where somebody pays, or pretends to. */
export const payPage = (language: Language, purchase: Purchase): string => {
  const text = texts[language]
  const takes = (method: string) => purchase.methods.includes(method)
  const debitFirst = purchase.declined === "sepa_debit" || !takes("card")
  const choices = [
    ...(takes("card") ? [choice("card", text.card, text.cardMore, !debitFirst)] : []),
    ...(takes("sepa_debit")
      ? [
          choice("sepa_debit", text.sepa, text.sepaMore, debitFirst),
          ...(purchase.canBounce ? [choice("sepa_debit_fails", text.sepaFails, text.sepaFailsMore, false)] : [])
        ]
      : [])
  ]
  const declined =
    purchase.declined === undefined
      ? ""
      : `<p class="declined" role="alert">${
          purchase.declined === "sepa_debit" ? text.sepaDeclined : text.cardDeclined
        }</p>`
  return document(
    language,
    `${summary(language, purchase)}
<section><form method="post">${declined}
<fieldset><legend>${text.method}</legend>${choices.join("")}</fieldset>
<button class="pay" name="action" value="pay">${text.pay} · ${money(language, purchase.amount, purchase.currency)}</button>
<button name="action" value="decline">${text.decline}</button>
${purchase.canCancel ? `<button class="cancel" name="action" value="cancel">${text.cancel}</button>` : ""}
</form></section>`
  )
}

/** Where nothing is left to do. */
export const endPage = (
  language: Language,
  state: "paid" | "processing" | "failed" | "expired" | "canceled" | "unknown",
  backTo: string | undefined
): string => {
  const text = texts[language]
  return document(
    language,
    `<section class="end"><p class="price">${text[state]}</p><p>${text[`${state}More`]}</p>
${backTo === undefined ? "" : `<a class="button" href="${html(backTo)}">${text.goOn}</a>`}</section>`
  )
}

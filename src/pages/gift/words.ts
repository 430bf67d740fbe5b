/** What the page says, in German and in English. */
import type { Language } from "./language.ts"

export interface Words {
  readonly language: Language
  readonly locale: string
  readonly credits: (amount: number) => string
  readonly amount: (amount: number) => string
  /** Below the amount. */
  readonly unit: (amount: number) => string
  readonly date: (time: string) => string
  readonly gift: string
  readonly code: string
  readonly open: {
    readonly title: (credits: string, giver: string | null) => string
    readonly until: (date: string) => string
    readonly accept: string
    readonly enterCode: string
    readonly personalized: string
  }
  /** The stamp on the card, the headline and a sentence, for a gift that can't be had any more. */
  readonly redeemed: Closed
  readonly expired: Closed
  readonly cancelled: Closed
  readonly unknown: Message
  readonly throttled: (seconds: number) => Message
  readonly unavailable: Message
  readonly footer: string
}

export interface Message {
  readonly title: string
  readonly text: string
}

export interface Closed {
  readonly stamp: string
  readonly title: string
  readonly text: (date: string) => string
}

const numbers = { de: new Intl.NumberFormat("de"), en: new Intl.NumberFormat("en") }

// The day in UTC, which in Europe is never later than the day on the wall.
const dates = {
  de: new Intl.DateTimeFormat("de", { dateStyle: "long", timeZone: "UTC" }),
  en: new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeZone: "UTC" })
}

const shared = (language: Language, one: string, many: string) => {
  const unit = (amount: number) => (amount === 1 ? one : many)
  const amount = (value: number) => numbers[language].format(value)
  return {
    language,
    unit,
    amount,
    credits: (value: number) => `${amount(value)} ${unit(value)}`,
    date: (time: string) => dates[language].format(new Date(time))
  }
}

const de: Words = {
  ...shared("de", "Credit", "Credits"),
  locale: "de_DE",
  gift: "Geschenk",
  code: "Code",
  open: {
    title: (credits, giver) => `${giver ?? "Jemand"} schenkt dir ${credits}`,
    until: (date) => `Einlösbar bis ${date}`,
    accept: "Geschenk annehmen",
    enterCode: "Zum Einlösen gib diesen Code in der App ein.",
    personalized: "Dieses Geschenk ist persönlich: Melde dich mit der E-Mail-Adresse an, für die es bestimmt ist."
  },
  redeemed: {
    stamp: "Eingelöst",
    title: "Dieses Geschenk ist schon eingelöst",
    text: () => "Jeder Code gilt nur einmal."
  },
  expired: {
    stamp: "Abgelaufen",
    title: "Dieses Geschenk ist abgelaufen",
    text: (date) => `Es galt bis ${date}. Die Credits gehen an die Person zurück, die es verschenkt hat.`
  },
  cancelled: {
    stamp: "Widerrufen",
    title: "Dieses Geschenk wurde widerrufen",
    text: () => "Die Credits sind wieder bei der Person, die es verschenkt hat."
  },
  unknown: {
    title: "Diesen Code gibt es nicht",
    text: "Vielleicht fehlt ein Zeichen? Ein Code hat zwölf, in drei Gruppen zu vier."
  },
  throttled: (seconds) => ({
    title: "Einen Moment bitte",
    text: `Von hier kamen zu viele Codes, die es nicht gibt. Versuche es in ${seconds} Sekunden noch einmal.`
  }),
  unavailable: {
    title: "Gerade nicht erreichbar",
    text: "Deinem Geschenk fehlt nichts. Versuche es gleich noch einmal."
  },
  footer: "Mit Credits bezahlst du KI und Extras in den mana‑Apps."
}

const en: Words = {
  ...shared("en", "credit", "credits"),
  locale: "en_GB",
  gift: "Gift",
  code: "Code",
  open: {
    title: (credits, giver) =>
      giver === null ? `Somebody is giving you ${credits}` : `${giver} is giving you ${credits}`,
    until: (date) => `Redeem by ${date}`,
    accept: "Accept the gift",
    enterCode: "To redeem it, enter this code in the app.",
    personalized: "This gift is personal: sign in with the e-mail address it is meant for."
  },
  redeemed: {
    stamp: "Redeemed",
    title: "This gift has been redeemed already",
    text: () => "Each code works only once."
  },
  expired: {
    stamp: "Expired",
    title: "This gift has expired",
    text: (date) => `It was good until ${date}. The credits return to the person who gave it.`
  },
  cancelled: {
    stamp: "Withdrawn",
    title: "This gift was withdrawn",
    text: () => "The credits are back with the person who gave it."
  },
  unknown: {
    title: "There is no such code",
    text: "Is a character missing? A code has twelve, in three groups of four."
  },
  throttled: (seconds) => ({
    title: "One moment, please",
    text: `Too many codes that don't exist came from here. Try again in ${seconds} seconds.`
  }),
  unavailable: {
    title: "Not available just now",
    text: "Nothing is wrong with your gift. Try again in a moment."
  },
  footer: "Credits pay for AI and extras in the mana apps."
}

export const wordsIn = (language: Language): Words => ({ de, en })[language]

/** HTML from templates in which every value is text: what somebody typed is shown as typed. */

/** Markup of ours, or made of escaped text. */
export class Html {
  readonly markup: string
  constructor(markup: string) {
    this.markup = markup
  }
}

export type Value = string | Html | ReadonlyArray<Html> | undefined

const entities: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;"
}

const escape = (text: string) => text.replace(/[&<>"']/g, (sign) => entities[sign] ?? sign)

const markupOf = (value: Value): string => {
  if (value === undefined) return ""
  if (typeof value === "string") return escape(value)
  return value instanceof Html ? value.markup : value.map(({ markup }) => markup).join("")
}

/** Values stand between tags or inside quoted attributes; nowhere else would escaping be enough. */
export const html = (texts: TemplateStringsArray, ...values: ReadonlyArray<Value>) =>
  new Html(texts.map((text, index) => text + markupOf(values[index])).join(""))

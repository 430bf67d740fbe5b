/** Which of our languages a browser asks for. */

export type Language = "de" | "en"

/** The one that Accept-Language likes best; English where it names neither. */
export const languageOf = (acceptLanguage: string | undefined): Language => {
  let best: { readonly language: Language; readonly quality: number } = { language: "en", quality: 0 }
  for (const entry of (acceptLanguage ?? "").split(",")) {
    const [, name = "", q = "1"] = /^\s*([a-z]+)(?:-[a-z0-9-]+)?\s*(?:;\s*q\s*=\s*([\d.]+)\s*)?$/i.exec(entry) ?? []
    const language = name.toLowerCase()
    const quality = Number(q)
    // The first of several that are liked the same.
    if ((language === "de" || language === "en") && quality > best.quality) best = { language, quality }
  }
  return best.language
}

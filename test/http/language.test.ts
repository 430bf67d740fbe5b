import { expect, test } from "vitest"
import { languageOf } from "../../src/pages/gift/language.ts"

test.each([
  [undefined, "en"],
  ["", "en"],
  ["de", "de"],
  ["de-CH", "de"],
  ["DE", "de"],
  ["fr, de;q=0.8, en;q=0.7", "de"],
  ["en-US,en;q=0.9,de;q=0.8", "en"],
  ["en;q=0.5,de;q=0.6", "de"],
  ["de;q=0, en;q=0.1", "en"],
  ["de;q=0", "en"],
  ["*", "en"],
  ["fr", "en"],
  ["deutsch", "en"],
  ["de;q=high,en", "en"],
  [",,;q=1,de", "de"]
])("a browser that asks for %s gets %s", (header, language) => {
  expect(languageOf(header)).toBe(language)
})

/** Service keys, compared in constant time. */
import { createHash, timingSafeEqual } from "node:crypto"
import { Redacted } from "effect"

const digest = (text: string) => createHash("sha256").update(text).digest()

/** Makes the function that says whether a key is one of the keys. */
export const serviceKeyCheck = (keys: ReadonlyArray<Redacted.Redacted>) => {
  const digests = keys.map((key) => digest(Redacted.value(key)))
  return (presented: string) => {
    const candidate = digest(presented)
    // Every key is looked at, so that time doesn't say which one it was. Digests are of one length.
    return digests.filter((each) => timingSafeEqual(each, candidate)).length > 0
  }
}

/** Headers as they came. */
import { Predicate } from "effect"
import type { HttpServerRequest } from "effect/http"

/** Node joins or drops several headers of one name; a proxy in front of us may have judged only one of them. */
export const isRepeated = ({ source }: HttpServerRequest.HttpServerRequest, name: string) => {
  if (!Predicate.hasProperty(source, "rawHeaders") || !Array.isArray(source.rawHeaders)) return false
  return source.rawHeaders.filter((text, index) => index % 2 === 0 && String(text).toLowerCase() === name).length > 1
}

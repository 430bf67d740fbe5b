/** The reason of an error, in the words of the library that raised it. */
import { Predicate } from "effect"

/** Never empty: an address that stands for several (localhost) fails with several errors and no word of its own. */
export const errorMessage = (error: unknown): string => {
  if (error instanceof AggregateError && error.message === "") return error.errors.map(errorMessage).join("; ")
  if (error instanceof Error && error.message !== "") return error.message
  return Predicate.hasProperty(error, "code") ? String(error.code) : String(error)
}

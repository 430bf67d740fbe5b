/** The response to a request that breaks a rule. */
import { SchemaIssue } from "effect"
import { InvalidRequest } from "../../contract/problems.ts"

export interface Issue {
  /** The field, parameter or header; empty for the whole body. */
  readonly path: string
  readonly message: string
}

export const invalid = (...issues: ReadonlyArray<Issue>) =>
  new InvalidRequest({
    detail: issues.map(({ path, message }) => `${path} ${message}`.trim()).join("; "),
    issues
  })

export const notWellFormed = "The body isn't well-formed JSON."

/** The library's own words for it. */
const librarysNotWellFormed = "Expected a valid JSON body"

const format = SchemaIssue.makeFormatterStandardSchemaV1({
  leafHook: (issue) => (issue._tag === "MissingKey" ? "is missing" : SchemaIssue.defaultLeafHook(issue))
})

/** One issue a field: of one with several rules, the schema names each that is broken. */
export const invalidBySchema = (issue: SchemaIssue.Issue) => {
  const messages = new Map<string, string>()
  for (const { path = [], message } of format(issue).issues) {
    const field = path.map((segment) => String(typeof segment === "object" ? segment.key : segment)).join(".")
    if (!messages.has(field)) messages.set(field, message === librarysNotWellFormed ? notWellFormed : message)
  }
  return invalid(...[...messages].map(([path, message]) => ({ path, message })))
}

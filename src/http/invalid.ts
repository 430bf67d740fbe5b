/** What a request that breaks a rule is answered. */
import type { ParseResult } from "effect"
import { InvalidRequest } from "../contract/errors.ts"
import { makeProblem } from "../contract/problem.ts"

export interface Issue {
  /** The field, parameter or header; empty for the whole body. */
  readonly path: string
  readonly message: string
}

export const invalid = (...issues: ReadonlyArray<Issue>) =>
  makeProblem(InvalidRequest, issues.map(({ path, message }) => `${path} ${message}`.trim()).join("; "), { issues })

/** One complaint a field: of one that may also be null, the schema complains once for each. */
export const invalidBySchema = (issues: ReadonlyArray<Pick<ParseResult.ArrayFormatterIssue, "path" | "message">>) => {
  const messages = new Map<string, string>()
  for (const issue of issues) {
    const path = issue.path.map(String).join(".")
    if (!messages.has(path)) messages.set(path, issue.message)
  }
  return invalid(...[...messages].map(([path, message]) => ({ path, message })))
}

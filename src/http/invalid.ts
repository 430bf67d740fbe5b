/** What a request that breaks a rule is answered. */
import { InvalidRequest } from "../contract/errors.ts"
import { makeProblem } from "../contract/problem.ts"

export interface Issue {
  /** The field, parameter or header; empty for the whole body. */
  readonly path: string
  readonly message: string
}

export const invalid = (...issues: ReadonlyArray<Issue>) =>
  makeProblem(InvalidRequest, issues.map(({ path, message }) => `${path} ${message}`.trim()).join("; "), { issues })

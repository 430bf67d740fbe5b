/** Which service asks. */

interface ServiceHeaders {
  readonly "x-app-id"?: string | undefined
}

/** As the ledger names it; keys are remembered per caller. */
export const callerOf = (headers: ServiceHeaders) =>
  headers["x-app-id"] === undefined ? "service" : `service:${headers["x-app-id"]}`

/** What was acknowledged, asked for again with its key: the same answer, from whatever stands there now. */
import type { operations } from "./operations.ts"

/** As the services of a stage know it. */
export const serviceKey = "torture-service-key"

export interface Asking {
  readonly path: string
  readonly body?: unknown
  readonly key?: string | undefined
}

export const post = async (origin: string, { path, body, key }: Asking) => {
  const response = await fetch(origin + path, {
    method: "POST",
    headers: {
      ...{ "content-type": "application/json", "x-service-key": serviceKey, "x-app-id": "torture" },
      ...(key === undefined ? {} : { "idempotency-key": key })
    },
    body: JSON.stringify(body)
  })
  return {
    status: response.status,
    isReplayed: response.headers.has("idempotency-replayed"),
    text: await response.text()
  }
}

const mostAsked = 50

/** The last debits that were acknowledged, again; answers with how many, and what was answered otherwise. */
export const askAgain = async (origin: string, acknowledged: ReturnType<typeof operations>) => {
  const debits = [...acknowledged.values()]
    .filter(({ request, done }) => request.kind === "use" && request.key !== undefined && done !== undefined)
    .slice(-mostAsked)
  const wrong: Array<string> = []
  for (const { request, done } of debits) {
    const { status, isReplayed, text } = await post(origin, request)
    if (status !== 200 || !isReplayed || text !== JSON.stringify(done?.body)) {
      wrong.push(`${request.op}, acknowledged before, is answered ${status} ${text} now`)
    }
  }
  return { count: debits.length, wrong }
}

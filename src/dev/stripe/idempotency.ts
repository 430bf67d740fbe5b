/**
 * Idempotency keys, as Stripe documents them: the first answer to a key stands for 24 hours, success or not, once
 * the work began; the same key with another request is an error; a key in use is a conflict.
 */
import { idempotencyMismatch, keyInUse } from "./errors.ts"

export interface Answer {
  readonly status: number
  readonly body: unknown
}

export interface Remembered {
  readonly path: string
  readonly fingerprint: string
  readonly createdAt: number
  readonly requestId: string
  /** Absent while the first request is being carried out. */
  readonly answer?: Answer
}

const day = 24 * 60 * 60

export interface KeyedRequest {
  readonly key: string
  readonly path: string
  readonly fingerprint: string
  readonly requestId: string
  readonly now: number
}

/** The first answer to be given again, or nothing: then the key is now in use, and `remember` must follow. */
export const claim = (answers: Record<string, Remembered>, request: KeyedRequest): Required<Remembered> | undefined => {
  const { key, path, fingerprint, requestId, now } = request
  const earlier = answers[key]
  if (earlier === undefined || earlier.createdAt <= now - day) {
    answers[key] = { path, fingerprint, requestId, createdAt: now }
    return undefined
  }
  const advice = `Try using a key other than '${key}' if you meant to execute a different request.`
  if (earlier.path !== path) {
    throw idempotencyMismatch(
      "Keys for idempotent requests can only be used for the same endpoint they were first used for " +
        `('${path}' vs '${earlier.path}'). ${advice}`
    )
  }
  if (earlier.fingerprint !== fingerprint) {
    throw idempotencyMismatch(
      "Keys for idempotent requests can only be used with the same parameters they were first used with. " + advice
    )
  }
  if (earlier.answer === undefined) throw keyInUse(key)
  return { ...earlier, answer: earlier.answer }
}

export const remember = (answers: Record<string, Remembered>, key: string, answer: Answer) => {
  const claimed = answers[key]
  if (claimed !== undefined) answers[key] = { ...claimed, answer }
}

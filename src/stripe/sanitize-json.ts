/** Stripe passes on what people typed. */

// What JSON may say and PostgreSQL can't store.
const unstorable = /\\u(0000|d[89a-f])/i

/** The same JSON, with a replacement character for each of those. */
export const sanitizeJson = (json: string) =>
  unstorable.test(json)
    ? JSON.stringify(
        JSON.parse(json, (_, value: unknown) =>
          typeof value === "string" ? value.toWellFormed().replaceAll("\0", "\ufffd") : value
        )
      )
    : json

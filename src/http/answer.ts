/** What goes out to a client. */

export interface Answer {
  readonly status: number
  /** Names in lower case. Those of every answer (app.ts) stand behind these. */
  readonly headers: Readonly<Record<string, string>>
  /** None at all is something else than an empty one. */
  readonly body?: string
}

export const jsonAnswer = (
  status: number,
  value: unknown,
  headers: Readonly<Record<string, string>> = { "content-type": "application/json" }
): Answer => ({ status, headers, body: JSON.stringify(value) })

export const htmlAnswer = (status: number, body: string, headers: Readonly<Record<string, string>>): Answer => ({
  status,
  headers: { "content-type": "text/html; charset=utf-8", ...headers },
  body
})

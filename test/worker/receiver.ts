/** A receiver of events, as somebody would write it: verifies the signature with the library, and takes notes. */
import * as http from "node:http"
import { Webhook } from "standardwebhooks"

export interface Received {
  readonly id: string
  readonly type: string
  readonly userId: string
  readonly timestamp: string
  readonly data: Readonly<Record<string, unknown>>
}

/** What to do with an event: a status to answer with, or undefined for no answer at all. */
type Answer = (event: Received) => number | undefined

const read = async (request: http.IncomingMessage) => {
  const chunks: Array<Buffer> = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

export const receiver = async () => {
  const secret = `whsec_${Buffer.alloc(32, 7).toString("base64")}`
  const webhook = new Webhook(secret)
  const taken: Array<Received> = []
  const tried: Array<Received> = []
  let answer: Answer = () => 204
  const server = http.createServer((request, response) => {
    void (async () => {
      const body = await read(request)
      const headers = Object.fromEntries(
        Object.entries(request.headers).map(([name, value]) => [
          name,
          Array.isArray(value) ? value.join() : (value ?? "")
        ])
      )
      try {
        webhook.verify(body, headers)
      } catch (error) {
        return response.writeHead(401).end(String(error))
      }
      const { type, timestamp, data } = JSON.parse(body)
      const event: Received = { id: headers["webhook-id"] ?? "", type, timestamp, userId: data.userId, data }
      tried.push(event)
      const status = answer(event)
      if (status === undefined) return
      if (status < 300) taken.push(event)
      return response.writeHead(status, status === 302 ? { location: "/elsewhere" } : {}).end("thanks")
    })()
  })
  const listen = (port: number) => new Promise<void>((resolve) => server.listen(port, "127.0.0.1", resolve))
  const close = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  await listen(0)
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return {
    environment: { EVENTS_WEBHOOK_URL: `http://127.0.0.1:${port}/events?app=1`, EVENTS_WEBHOOK_SECRET: secret },
    /** What arrived with a good signature, in the order in which it did. */
    tried,
    /** What it said thanks for. */
    taken,
    answers: (by: Answer) => {
      answer = by
    },
    goDown: close,
    comeBack: () => listen(port),
    close
  }
}

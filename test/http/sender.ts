/** Requests as they are, and whole answers. */
import * as http from "node:http"
import type { Ask } from "./operations.ts"
import { whenOver } from "../support/over.ts"

export interface Answer {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly text: string
  /** The body where it is JSON. */
  readonly json: unknown
}

/** Sends requests as they are, many at once over kept connections; a header may be there several times. */
export const sender = (port: number, connections = 16) => {
  const agent = new http.Agent({ keepAlive: true, maxSockets: connections })
  whenOver(() => agent.destroy())
  return ({ method, path, headers = {}, body }: Ask): Promise<Answer> =>
    new Promise((resolve, reject) => {
      const lines = Object.entries(headers).map(([name, value]): [string, string | Array<string>] => [
        name,
        typeof value === "string" ? value : [...value]
      ])
      // Node says the length of a body only where it expects one.
      if (body !== undefined) lines.push(["content-length", String(Buffer.byteLength(body))])
      const request = http.request({ host: "127.0.0.1", port, agent, method, path, headers: Object.fromEntries(lines) })
      request.on("response", (response) => {
        const chunks: Array<Buffer> = []
        response.on("data", (chunk: Buffer) => chunks.push(chunk))
        response.once("error", reject)
        response.once("end", () => {
          const text = Buffer.concat(chunks).toString("utf8")
          const isJson = /json/.test(response.headers["content-type"] ?? "") && text !== ""
          resolve({
            status: response.statusCode ?? 0,
            headers: response.headers,
            text,
            json: isJson ? JSON.parse(text) : undefined
          })
        })
      })
      request.once("error", reject)
      request.end(body)
    })
}

/** A problem's code, or nothing. */
export const codeOf = ({ json }: Answer): unknown =>
  typeof json === "object" && json !== null && "code" in json ? json.code : undefined

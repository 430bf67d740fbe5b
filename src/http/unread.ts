/** Answers that their readers don't take: they have so much room and no more, and whoever reads doesn't notice. */
import type { ServerResponse } from "node:http"

/**
 * Makes the function that is told of each answer when it was sent. With more than so many bytes waiting on all
 * connections together, whoever has waited longest loses the connection: readers have taken theirs long before.
 */
export const boundUnread = (most: number) => {
  /** Bytes of what waits, in the order of sending. */
  const waiting = new Map<ServerResponse, number>()
  let total = 0

  const forget = (answer: ServerResponse) => {
    total -= waiting.get(answer) ?? 0
    waiting.delete(answer)
  }

  return (answer: ServerResponse, bytes: number) => {
    // The system has taken all of it, as it does of nearly every answer.
    if (answer.writableLength === 0) return
    waiting.set(answer, bytes)
    total += bytes
    answer.once("finish", () => forget(answer))
    answer.once("close", () => forget(answer))
    for (const oldest of waiting.keys()) {
      if (total <= most) return
      forget(oldest)
      oldest.req.socket.destroy()
    }
  }
}

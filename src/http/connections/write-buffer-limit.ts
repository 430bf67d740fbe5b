/** Attack: clients that ask and never read, until the responses fill the memory. */
import { type IncomingMessage, ServerResponse } from "node:http"

/** Makes the function that is told of each response that was sent. */
const writeBufferLimit = (maxUnsentBytes: number) => {
  /** Unsent bytes by response, in the order of sending. */
  const unsent = new Map<ServerResponse, number>()
  let total = 0

  const forget = (response: ServerResponse) => {
    total -= unsent.get(response) ?? 0
    unsent.delete(response)
  }

  return (response: ServerResponse) => {
    const bytes = response.writableLength
    // The system has taken all of it, as it does of nearly every response.
    if (bytes === 0) return
    unsent.set(response, bytes)
    total += bytes
    response.once("finish", () => forget(response))
    response.once("close", () => forget(response))
    for (const oldest of unsent.keys()) {
      if (total <= maxUnsentBytes) return
      forget(oldest)
      oldest.req.socket.destroy()
    }
  }
}

/**
 * The class of a server's responses. Past so many unsent bytes, over all connections, the connection that has waited
 * longest is ended: clients that read have taken theirs long before.
 */
export const limitedResponse = (maxUnsentBytes: number) => {
  const isSent = writeBufferLimit(maxUnsentBytes)
  return class<Request extends IncomingMessage> extends ServerResponse<Request> {
    override end(...args: ReadonlyArray<unknown>) {
      Reflect.apply(super.end, this, args)
      isSent(this)
      return this
    }
  }
}

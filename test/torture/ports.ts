/** Ports for servers that come and go while others keep connecting to them. */
import * as net from "node:net"

// Below the range from which the system takes a client's own port (Linux: 32768 up, the others: 49152 up): while the
// server is away no client of it can sit on its port, nor meet itself there.
const from = 10_000
const to = 32_000

const isFree = (port: number) =>
  new Promise<boolean>((resolve) => {
    const server = net.createServer()
    server.once("error", () => resolve(false))
    server.listen(port, "127.0.0.1", () => server.close(() => resolve(true)))
  })

/** A port that nobody listens on just now. */
export const stablePort = async (): Promise<number> => {
  const port = from + Math.floor(Math.random() * (to - from))
  return (await isFree(port)) ? port : stablePort()
}

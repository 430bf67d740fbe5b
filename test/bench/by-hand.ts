/**
 * The way application code does it: plain node:http, pg, and a transaction written out, on the tables of stage.ts.
 * Its port and database come as arguments; it says its port when it listens.
 */
import * as http from "node:http"
import pg from "pg"

const pool = new pg.Pool({ connectionString: process.argv[2], max: 20 })

const use = async (body: string) => {
  const { userId, amount, appId, description, idempotencyKey } = JSON.parse(body)
  const client = await pool.connect()
  try {
    await client.query("begin")
    const { rows } = await client.query("select balance from bench.hand_balances where user_id = $1 for update", [
      userId
    ])
    const before = Number(rows[0]?.balance ?? 0)
    if (before < amount) {
      await client.query("rollback")
      return { status: 402, answer: { message: "not enough credits" } }
    }
    await client.query(
      "update bench.hand_balances set balance = balance - $2, total_spent = total_spent + $2 where user_id = $1",
      [userId, amount]
    )
    const inserted = await client.query(
      `insert into bench.hand_transactions (user_id, amount, balance_before, balance_after, app_id, description)
       values ($1, $2, $3, $4, $5, $6) returning *`,
      [userId, -amount, before, before - amount, appId, description]
    )
    await client.query("insert into bench.hand_keys (user_id, key) values ($1, $2)", [userId, idempotencyKey])
    await client.query("commit")
    return { status: 200, answer: { success: true, transaction: inserted.rows[0], newBalance: before - amount } }
  } catch (error) {
    await client.query("rollback")
    return { status: 500, answer: { message: String(error) } }
  } finally {
    client.release()
  }
}

const server = http.createServer((request, response) => {
  let body = ""
  request.on("data", (chunk) => (body += String(chunk)))
  request.on("end", async () => {
    const { status, answer } = await use(body)
    const text = JSON.stringify(answer)
    response.writeHead(status, { "content-type": "application/json", "content-length": Buffer.byteLength(text) })
    response.end(text)
  })
})
server.listen(0, "127.0.0.1", () => {
  const address = server.address()
  process.stdout.write(`"listening" ${typeof address === "object" && address !== null ? address.port : 0}\n`)
})

import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { authService, run, serviceKey, startService } from "./support.ts"

const db = await database()
const auth = await authService()
const service = await startService(db, auth)

test("one debit, from the request to the row", async () => {
  const userId = await db.userWith(100)
  const client = await service.asUser(userId)
  const answer = await run(
    client.credits.use({ payload: { amount: 30, appId: "chat", description: "One answer" }, headers: {} })
  )
  expect(answer).toMatchObject({
    success: true,
    transaction: { userId, type: "usage", status: "completed", amount: -30, appId: "chat" },
    newBalance: { balance: 70, totalSpent: 30 }
  })
  expect(
    await db.query("select amount, caller from credits.transactions where id = $1", [answer.transaction.id])
  ).toEqual([{ amount: -30, caller: "user" }])
  expect(await run(client.credits.balance())).toEqual({
    balance: 70,
    held: 0,
    debt: 0,
    totalEarned: 100,
    totalSpent: 30
  })
})

test("a debit beyond the balance says what is needed and what is there", async () => {
  const userId = await db.userWith(5)
  const answer = await service.request("POST", "/api/v1/internal/credits/use", {
    headers: { "x-service-key": serviceKey },
    body: { userId, amount: 6, appId: "chat", description: "One answer" }
  })
  expect(answer.status).toBe(402)
  expect(answer.headers.get("content-type")).toBe("application/problem+json")
  const detail = "Not enough credits: 6 needed, 5 available. Top up and try again."
  expect(answer.json).toEqual({
    type: "https://credits.mana.how/docs#insufficient_credits",
    title: "Not enough credits",
    status: 402,
    detail,
    code: "insufficient_credits",
    message: detail,
    required: 6,
    available: 5
  })
})

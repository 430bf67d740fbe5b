import { expect, test } from "vitest"
import { database } from "../../support/database.ts"

const db = await database()

test("lists every operation with its price, in order", async () => {
  const list: ReadonlyArray<{ readonly operation: string; readonly credits: number }> = await db.call(
    "credits.pricing",
    {}
  )
  expect(list.map(({ operation, credits }) => `${operation} ${credits}`)).toEqual([
    "chat_gpt4 5",
    "chat_claude 5",
    "chat_gemini 2",
    "chat_qwen 2",
    "image_generation 10",
    "image_upscale 5",
    "research_quick 5",
    "research_deep 25",
    "food_analysis 3",
    "plant_analysis 2",
    "deck_generation 20",
    "card_generation 2",
    "guide_generation 5",
    "explanation 2",
    "text_generation 2",
    "scheduling 2",
    "suggestions 2",
    "enrichment 2",
    "pdf_export 1",
    "bulk_import 1",
    "premium_theme 3",
    "cloud_sync 30"
  ])
  expect(list[19]).toEqual({
    operation: "bulk_import",
    name: "Bulk import",
    description: "Up to 50 imported items",
    category: "premium",
    app: "import",
    credits: 1,
    unit: "50 items"
  })
})

test("in the order that the list says, not in that of its rows", async () => {
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("update credits.operations set sort_order = 0 where operation in ('cloud_sync', 'chat_gemini')")
    const { rows } = await client.query(`select credits.pricing() as list`)
    const [first, second, third] = rows[0].list
    expect([first.operation, second.operation, third.operation]).toEqual(["chat_gemini", "cloud_sync", "chat_gpt4"])
    await client.query("rollback")
  } finally {
    client.release()
  }
})

test("answers an empty list when nothing is for sale", async () => {
  const client = await db.pool.connect()
  try {
    await client.query("begin")
    await client.query("delete from credits.operations")
    const { rows } = await client.query("select credits.pricing() as list")
    expect(rows).toEqual([{ list: [] }])
    await client.query("rollback")
  } finally {
    client.release()
  }
})

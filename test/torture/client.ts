/** A process of clients: told what to do as JSON, at work until SIGTERM, then finishing what each is at. */
import * as fs from "node:fs"
import { Schema } from "effect"
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { openJournal } from "./journal.ts"
import { makeLane } from "./lane.ts"
import { live } from "./life.ts"
import type { Given } from "./requests.ts"

export const Orders = Schema.Struct({
  name: Schema.String,
  seed: Schema.Number,
  lanes: Schema.Number,
  journal: Schema.String,
  origins: Schema.Array(Schema.String),
  simulator: Schema.String,
  serviceKey: Schema.String,
  /** A file of tokens by user. */
  tokens: Schema.String,
  patience: Schema.Number,
  pause: Schema.Number
})

const orders = Schema.decodeUnknownSync(Schema.fromJsonString(Orders))(process.argv[2])
const Tokens = Schema.fromJsonString(Schema.Record(Schema.String, Schema.String))
const tokens = Schema.decodeUnknownSync(Tokens)(fs.readFileSync(orders.tokens, "utf8"))

let over = false
process.on("SIGTERM", () => {
  over = true
})
// Whoever started us is gone: nobody reads what we write.
process.on("disconnect", () => process.exit(1))

const journal = openJournal(orders.journal)
const gifts: Array<Given> = []

await Promise.all(
  Array.from({ length: orders.lanes }, async (_, index) => {
    const random = randomFrom(orders.seed * 1000 + index)
    const lane = makeLane({ ...orders, tokens, journal, random })
    await live({
      name: `${orders.name}-${index}`,
      lane,
      random,
      users: Object.keys(tokens),
      gifts,
      isOver: () => over,
      pause: orders.pause
    })
    lane.end()
  })
)
process.exit(0)

/** Gifts as tests give them, and the refusals of sql/errors.md that are about gifts: by code and facts. */
import { expect } from "vitest"
import type { TestDatabase } from "./database.ts"

const refusal = (sqlstate: string, detail: object) => ({ sqlstate, message: expect.any(String), detail })

export const noGift = (giftId: string) => refusal("CR201", { giftId })

export const giftNotActive = (giftStatus: "redeemed" | "cancelled") => refusal("CR202", { giftStatus })

export const giftExpired = (expiresAt: string) => refusal("CR203", { expiresAt })

export const wrongRecipient = refusal("CR204", {})

export const tooManyMisses = (retryAfterSeconds: number) => refusal("CR205", { retryAfterSeconds })

/** A code that could be a gift's and isn't. */
export const nobodysCode = "0000-0000-0000"

const day = 86_400_000

export const daysAfter = (time: Date | string, days: number) => new Date(new Date(time).getTime() + days * day)

/** Somebody with `credits`, and the gift of them that they have just made: simple, unless `more` says otherwise. */
export const given = async (db: TestDatabase, credits: number, more: object = {}) => {
  const creatorId = await db.userWith(credits)
  const gift = await db.call("gifts.create", { userId: creatorId, totalCredits: credits, ...more })
  return { creatorId, gift }
}

/** What the ledger says of a gift, in the order in which it happened: who, how much. */
export const movements = (db: TestDatabase, giftId: string) =>
  db.query(
    `select user_id, amount from credits.transactions
     where type = 'gift' and counter_account = 'gifts' and metadata ->> 'giftId' = $1
     order by created_at, id`,
    [giftId]
  )

/** The events of one user, oldest first. */
export const events = (db: TestDatabase, userId: string) =>
  db.query("select type, data from credits.events where user_id = $1 order by id", [userId])

import { beforeAll, expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { afterDamage, found } from "../../support/damage.ts"
import { given } from "../../support/gifts.ts"

const db = await database()

let active: Awaited<ReturnType<typeof given>>
let redeemed: typeof active
let cancelled: typeof active

beforeAll(async () => {
  active = await given(db, 10)
  redeemed = await given(db, 20)
  cancelled = await given(db, 30)
  await db.call("gifts.redeem", { userId: "reader", code: redeemed.gift.code })
  await db.call("gifts.cancel", { userId: cancelled.creatorId, giftId: cancelled.gift.id })
})

const change = ({ gift }: typeof active, set: string) => `update gifts.gift_codes set ${set} where id = '${gift.id}'`

test("finds nothing wrong with an open, a redeemed and a cancelled gift", async () => {
  expect(await found(db)).toEqual([])
})

test("finds a gift that says more than was paid for it", async () => {
  expect(await found(db, change(active, "total_credits = 11"))).toEqual(["gift_escrow", "gift_place"])
})

test("finds a gift that is gone", async () => {
  const damage = `delete from gifts.gift_codes where id = '${active.gift.id}'`
  expect(await found(db, damage)).toEqual(["gift_escrow", "gift_ledger"])
})

test("finds an open gift that was paid out", async () => {
  const damage = change(redeemed, "status = 'active', closed_at = null")
  expect(await found(db, damage)).toEqual(["gift_escrow", "gift_place"])
})

test("finds a redeemed gift that nobody got", async () => {
  const damage = change(active, "status = 'redeemed', closed_at = now()")
  expect(await found(db, damage)).toEqual(["gift_escrow", "gift_place"])
})

test("finds a redemption without the credits", async () => {
  const damage = `update gifts.gift_redemptions set transaction_id = uuidv7() where gift_id = '${redeemed.gift.id}'`
  expect(await found(db, damage)).toEqual(["gift_ledger", "gift_place"])
})

test("finds an open gift though the ledger has nothing of gifts at all", async () => {
  const damage = "delete from credits.transactions where counter_account = 'gifts'"
  expect(await found(db, damage)).toContain("gift_escrow")
})

test.each(["escrow", "return"])("finds a gift whose %s row is gone", async (which) => {
  const damage = `update gifts.gift_codes set ${which}_transaction_id = uuidv7() where id = '${cancelled.gift.id}'`
  expect(await found(db, damage)).toContain("gift_place")
})

test("finds a gift that was both returned and redeemed", async () => {
  const damage = `
    insert into gifts.gift_redemptions (gift_id, user_id, transaction_id, redeemed_at)
    values ('${cancelled.gift.id}', 'reader', uuidv7(), now())`
  expect(await found(db, damage)).toEqual(["gift_place"])
})

test("finds a ledger row of the escrow account that belongs to no gift", async () => {
  const damage = `
    update credits.transactions set counter_account = 'gifts' where user_id = '${active.creatorId}' and seq = 1`
  expect(await found(db, damage)).toEqual(["gift_escrow", "gift_ledger", "ledger_hash"])
})

test.each(["its giver", "who redeemed one"])(
  "finds a gift's ledger row of %s that belongs to no gift",
  async (whose) => {
    const userId = whose === "its giver" ? redeemed.creatorId : "reader"
    const forged = `
    select credits.post(
      credits.lock_balance('${userId}'),
      jsonb_populate_record(
        null::credits.posting,
        '{"type": "gift", "amount": 5, "counter_account": "gifts", "description": "forged", "caller": "test"}'
      ),
      now()
    )`
    expect(await found(db, forged)).toEqual(["gift_escrow", "gift_ledger"])
  }
)

test("finds a gift whose ledger row is none of a gift", async () => {
  const escrow = `select escrow_transaction_id from gifts.gift_codes where id = '${active.gift.id}'`
  const damage = `update credits.transactions set type = 'adjustment' where id = (${escrow})`
  expect(await found(db, damage)).toEqual(["gift_ledger", "ledger_hash"])
})

test("says where the credits of a gift are", async () => {
  const asked = {
    text: "select user_id, detail from ops.verify_gifts() where invariant = 'gift_place' order by detail"
  }
  const lost = await given(db, 40)
  const damage = [
    ...[active, redeemed, cancelled].map((which) => change(which, "total_credits = total_credits + 1")),
    change(lost, "escrow_transaction_id = uuidv7()")
  ]
  const [rows = []] = await afterDamage(db, damage, asked)
  const where = rows.map(({ user_id, detail }) => `${user_id} ${detail}`).toSorted()
  const said = [
    { which: active, is: "of 11 credits is active: escrowed 10, paid out 0, returned 0" },
    { which: redeemed, is: "of 21 credits is redeemed: escrowed 20, paid out 20, returned 0" },
    { which: cancelled, is: "of 31 credits is cancelled: escrowed 30, paid out 0, returned 30" },
    { which: lost, is: "of 40 credits is active: escrowed 0, paid out 0, returned 0" }
  ]
  expect(where).toEqual(said.map(({ which, is }) => `${which.creatorId} gift ${which.gift.id} ${is}`).toSorted())
})

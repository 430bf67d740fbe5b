import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import { noPackage, packageInactive } from "../../support/refusals.ts"
import { begin, paymentIntent, send, standing } from "../../support/stripe.ts"

const db = await database()

const ids = async () => {
  const packages: ReadonlyArray<{ id: string }> = await db.call("credits.packages", {})
  return packages.map(({ id }) => id)
}

test("takes a package off sale; ops.change_package brings it back", async () => {
  const purchase = await begin(db, { packageId: "credits_1000" })
  const [retired] = await db.rows("ops.retire_package", { id: "credits_1000" }, "mana_ops")
  expect(retired).toMatchObject({ id: "credits_1000", active: false })
  expect(await ids()).not.toContain("credits_1000")
  const buying = { userId: "u", packageId: "credits_1000", livemode: false }
  expect(await db.refused("stripe.begin_purchase", buying)).toEqual(packageInactive("credits_1000"))
  // Who was about to pay gets what they paid for.
  await send(db, paymentIntent(purchase, "succeeded"))
  expect(await standing(db, purchase)).toMatchObject({ status: "completed", balance: 1050 })
  await db.rows("ops.change_package", { id: "credits_1000", active: true }, "mana_ops")
  expect(await ids()).toContain("credits_1000")
})

test("refuses a package that isn't there (CR301)", async () => {
  expect(await db.refused("ops.retire_package", { id: "none" }, "mana_ops")).toEqual(noPackage("none"))
})

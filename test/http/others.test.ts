/**
 * What belongs to somebody else looks exactly like what isn't there: the whole answer, byte by byte, wherever an id
 * may be given. Where that is, the contract says; a new place has to be named here.
 */
import { randomUUID } from "node:crypto"
import { expect, test } from "vitest"
import { database } from "../support/database.ts"
import { createKey } from "../support/service-keys.ts"
import { paid } from "../support/stripe.ts"
import { type Ask, exampleOf, type Operation, operations, resolved, type Shape } from "./operations.ts"
import { type Answer, codeOf, sender } from "./sender.ts"
import { startShop } from "./stripe-support.ts"
import { authService, serviceKey } from "./support.ts"

const db = await database()
const auth = await authService()
const { service } = await startShop(db, auth)
const send = sender(service.port)

const isUuid = (shape: Shape): boolean => {
  const { format, anyOf = [] } = resolved(shape)
  return format === "uuid" || anyOf.some(isUuid)
}

/** Everywhere that an id of a row may be given, as `operation name`. */
const places = operations.flatMap(({ id, parameters, body }) => [
  ...parameters.filter(({ schema }) => isUuid(schema)).map(({ name }) => `${id} ${name}`),
  ...Object.entries(body?.properties ?? {})
    .filter(([, shape]) => isUuid(shape))
    .map(([name]) => `${id} ${name}`)
])

// Another person, and one of everything that they own. Names are of one length, as are ids.
const me = await db.userWith(1000)
const other = await db.userWith(10_000)
const charge = await db.call("credits.use", { userId: other, amount: 50, appId: "chat", description: "Theirs" })
const refunded = await db.call("credits.use", { userId: other, amount: 50, appId: "chat", description: "Theirs too" })
await db.call("credits.refund", {
  userId: other,
  amount: 50,
  description: "All",
  transactionId: refunded.transaction.id
})
const [grant] = await db.query("select id from credits.transactions where user_id = $1 and type = 'grant'", [other])
const give = (more: object = {}) => db.call("gifts.create", { userId: other, totalCredits: 10, ...more })
const active = await give()
const cancelled = await give()
await db.call("gifts.cancel", { userId: other, giftId: cancelled.id })
const redeemed = await give()
await db.call("gifts.redeem", { userId: await db.userWith(0), code: redeemed.code })
const received = await db.call("gifts.create", { userId: await db.userWith(10), totalCredits: 10 })
await db.call("gifts.redeem", { userId: other, code: received.code })
const forMe = await give({ targetEmail: "me@example.com" })
const begun = await db.call("stripe.begin_purchase", { userId: other, packageId: "credits_1000", livemode: false })
const purchase = await paid(db, {}, other)
const hold = (caller: string) =>
  db.call("credits.reserve", { userId: other, amount: 5, reason: "Theirs", caller: `service:${caller}` })
const reservation = await hold("other")
const committed = await hold("other")
await db.call("credits.commit", { reservationId: committed.reservationId, caller: "service:other" })
const released = await hold("other")
await db.call("credits.release", { reservationId: released.reservationId })
const holds = {
  open: reservation.reservationId,
  committed: committed.reservationId,
  released: released.reservationId,
  "of no app": (
    await db.call("credits.reserve", { userId: other, amount: 5, reason: "A house key's", caller: "service" })
  ).reservationId,
  "a transaction": charge.transaction.id
}

/** By place, what somebody else owns there: another person, or another app's key. A key of the house owns all holds. */
const owned: Readonly<Record<string, Readonly<Record<string, unknown>>>> = {
  "credits.transactions before": {
    charge: charge.transaction.id,
    grant: grant?.["id"],
    "a purchase in place of a transaction": purchase.purchaseId
  },
  "purchases.purchaseById id": { begun: begun.purchaseId, paid: purchase.purchaseId, "a gift": active.id },
  "gifts.created before": { active: active.id, cancelled: cancelled.id, "a transaction": charge.transaction.id },
  "gifts.received before": { received: received.id, given: active.id, "waiting for me": forMe.id },
  "gifts.cancel id": {
    active: active.id,
    cancelled: cancelled.id,
    redeemed: redeemed.id,
    received: received.id,
    "for me": forMe.id,
    "a purchase": purchase.purchaseId
  },
  "internalCredits.refund transactionId": {
    charge: charge.transaction.id,
    "a charge refunded already": refunded.transaction.id,
    grant: grant?.["id"],
    "a reservation": reservation.reservationId
  },
  "internalCredits.commit reservationId": holds,
  "internalCredits.refundReservation reservationId": holds
}

test("every place where an id may be given is known", () => {
  expect(places.toSorted()).toEqual(Object.keys(owned).toSorted())
})

/** An id drawn in the same moment as another: whatever goes by time can't tell the two apart. */
const neighbour = (id: string) => `${id.slice(0, -12)}${randomUUID().slice(-12)}`

const mine = await createKey(db, { appId: "mine" })
await send({
  method: "GET",
  path: "/api/v1/internal/credits/balance/nobody",
  headers: { "x-service-key": mine.secret }
})

const bearer = { authorization: `Bearer ${await auth.token(me, { email: "me@example.com", email_verified: true })}` }
const credentials = (operation: Operation) =>
  operation.access === "service" ? { "x-service-key": mine.secret } : bearer

const asking = (operation: Operation, name: string, id: string, more: object): Ask => {
  const known = { userId: me, amount: 1, [name]: id, ...more }
  const ask = exampleOf(operation, known)
  const inQuery = operation.parameters.some((parameter) => parameter.name === name && parameter.in === "query")
  return {
    ...ask,
    path: inQuery ? `${ask.path}?${name}=${id}` : ask.path,
    headers: { ...ask.headers, ...credentials(operation) }
  }
}

/** All of an answer but its time and its request's id; the names given are written as `<…>`. */
const whole = ({ status, headers, text }: Answer, names: ReadonlyArray<string> = []) => {
  const { date: _date, "x-request-id": _id, ...rest } = headers
  const said = JSON.stringify({ status, headers: rest, text })
  return names.reduce((all, name) => all.replaceAll(name, "<…>"), said)
}

const cases = Object.entries(owned).flatMap(([place, theirs]) =>
  Object.entries(theirs).map(([what, id]) => ({ place, what, id: String(id) }))
)

test.each(cases)("$place: $what", async ({ place, id }) => {
  const [operationId = "", name = ""] = place.split(" ")
  const operation = operations.find((each) => each.id === operationId)
  if (operation === undefined) throw new Error(`no ${operationId}`)
  const before = await db.books()
  // A rule that is looked at before the owner would show here: more than there is to refund, a key.
  for (const more of [{}, { amount: 51 }, { amount: 1_000_000_000 }, { idempotencyKey: "mine" }]) {
    const nobodys = neighbour(id)
    const [theirs, absent] = await Promise.all([
      send(asking(operation, name, id, more)),
      send(asking(operation, name, nobodys, more))
    ])
    expect(whole(theirs, [id])).toBe(whole(absent, [nobodys]))
    // A list that goes by time alone shows what is mine, whatever it goes on from.
    expect(theirs.status).toBe(place === "gifts.created before" ? 200 : 404)
  }
  expect(await db.books()).toEqual(before)
})

/** What differs between two answers to the same request: ids, times, who and with which key. */
const alike = (answer: Answer, names: ReadonlyArray<string>) =>
  whole(answer, names)
    .replaceAll(/[\da-f]{8}-[\da-f]{4}-[\da-f]{4}-[\da-f]{4}-[\da-f]{12}/g, "<id>")
    .replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replaceAll(/[0-9A-Z]{4}-[0-9A-Z]{4}-[0-9A-Z]{4}/g, "<code>")
    .replaceAll(/pi_\w+/g, "<payment>")

const keyed = operations.filter(
  ({ body, parameters }) =>
    body?.properties?.["idempotencyKey"] !== undefined || parameters.some(({ name }) => name === "idempotency-key")
)

test("there are operations that take a key", () => {
  expect(keyed.length).toBeGreaterThan(7)
})

test.each(keyed)("$id: a key that somebody else used is a key that nobody used", async (operation) => {
  const key = `key-${randomUUID()}`
  const asked = async (userId: string, idempotencyKey: string, app: string) => {
    const code = operation.id === "gifts.redeem" ? (await give()).code : undefined
    const ask = exampleOf(operation, {
      userId,
      amount: 3,
      packageId: "credits_1000",
      code,
      items: [
        {
          userId,
          amount: 3,
          appId: "chat",
          description: "One of a batch"
        }
      ]
    })
    const door =
      operation.access === "service"
        ? { "x-service-key": serviceKey, "x-app-id": app }
        : { authorization: `Bearer ${await auth.token(userId)}` }
    return send({ ...ask, headers: { ...ask.headers, ...door, "idempotency-key": idempotencyKey } })
  }
  const [first, second, third] = await Promise.all([db.userWith(500), db.userWith(500), db.userWith(500)])
  const before = await asked(first, key, "app-1")
  expect([200, 201]).toContain(before.status)
  const used = await asked(second, key, "app-1")
  const fresh = await asked(third, key.replace("key", "new"), "app-1")
  expect(used.headers["idempotency-replayed"]).toBeUndefined()
  expect(alike(used, [second, key])).toBe(alike(fresh, [third, key.replace("key", "new")]))
  // And the one who used it gets the first answer, so that the two before are worth something.
  const again = await asked(first, key, "app-1")
  expect([again.headers["idempotency-replayed"] ?? codeOf(again), again.status]).toEqual(
    operation.id === "gifts.redeem" ? ["idempotency_key_reused", 409] : ["true", before.status]
  )
})

test.each(keyed.filter(({ access }) => access === "service"))(
  "$id: a key that another app used is a key that nobody used",
  async (operation) => {
    const key = `key-${randomUUID()}`
    const userId = await db.userWith(500)
    const items = [{ userId, amount: 3, appId: "chat", description: "One of a batch" }]
    const ask = exampleOf(operation, { userId, amount: 3, items })
    const headers = { ...ask.headers, "x-service-key": serviceKey, "idempotency-key": key }
    const [one, two] = [
      await send({ ...ask, headers: { ...headers, "x-app-id": "app-1" } }),
      await send({ ...ask, headers: { ...headers, "x-app-id": "app-2" } })
    ]
    expect([one.status, two.status]).toEqual([200, 200])
    expect(two.headers["idempotency-replayed"]).toBeUndefined()
  }
)

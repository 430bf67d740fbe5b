/** What a client does all day: debits, holds, refunds, gifts, purchases and billing, as its dice say. */
import { type Lane, text } from "./lane.ts"
import * as requests from "./requests.ts"
import { sleep } from "./wait.ts"

export interface LifeOptions {
  /** Unique among all clients of a run. */
  readonly name: string
  readonly lane: Lane
  readonly random: () => number
  readonly users: ReadonlyArray<string>
  /** Gift codes that clients of this process have and nobody has redeemed, as far as they know. */
  readonly gifts: Array<requests.Given>
  readonly isOver: () => boolean
  /** Milliseconds between two things, at most. */
  readonly pause: number
}

/** Few of each are kept in mind: what is older stays as it is. */
const remembered = 20

const takeOne = <A>(list: Array<A>, random: () => number): A | undefined =>
  list.splice(Math.floor(random() * list.length), 1)[0]

const keep = <A>(list: Array<A>, one: A) => {
  list.push(one)
  if (list.length > remembered) list.shift()
}

const packages = ["credits_100", "credits_500"]
const intervals = ["monthly", "quarterly", "yearly"]

export const live = async ({ name, lane, random, users, gifts, isOver, pause }: LifeOptions) => {
  const holds: Array<requests.Held> = []
  const charges: Array<{ readonly userId: string; readonly transactionId: string; readonly amount: number }> = []
  let number = 0
  const op = () => `${name}-${++number}`
  const oneOf = (list: ReadonlyArray<string>) => list[Math.floor(random() * list.length)] ?? ""
  const user = () => oneOf(users)
  const upTo = (most: number) => 1 + Math.floor(random() * most)

  const deeds: ReadonlyArray<readonly [weight: number, deed: () => Promise<unknown>]> = [
    [
      28,
      async () => {
        const [id, userId, amount] = [op(), user(), upTo(9)]
        const heard = await lane.send(requests.use(id, userId, amount, id))
        const transactionId = text(heard?.body, "transaction", "id")
        if (transactionId !== undefined) keep(charges, { userId, transactionId, amount })
      }
    ],
    // Without a key: at most once, and nobody asks again.
    [5, () => lane.send(requests.use(op(), user(), upTo(9)))],
    [10, () => lane.send(requests.personalUse(op(), user(), upTo(9)))],
    [
      4,
      () =>
        lane.send(
          requests.useBatch(
            op(),
            Array.from({ length: upTo(6) }, () => [user(), upTo(5)] as const)
          )
        )
    ],
    [
      10,
      async () => {
        const [userId, amount] = [user(), upTo(20)]
        const heard = await lane.send(requests.reserve(op(), userId, amount))
        const reservationId = text(heard?.body, "reservationId")
        if (reservationId !== undefined) keep(holds, { reservationId, userId, amount })
      }
    ],
    [
      9,
      async () => {
        const hold = takeOne(holds, random)
        if (hold === undefined) return
        if (random() < 0.7) await lane.send(requests.commit(op(), hold, upTo(hold.amount)))
        else await lane.send(requests.release(op(), hold))
      }
    ],
    [
      6,
      async () => {
        const charge = takeOne(charges, random)
        if (charge === undefined || random() < 0.3) await lane.send(requests.refund(op(), user(), upTo(5)))
        else await lane.send(requests.refund(op(), charge.userId, upTo(charge.amount), charge.transactionId))
      }
    ],
    [4, () => lane.send(requests.grant(op(), user(), upTo(40)))],
    [
      5,
      async () => {
        const creatorId = user()
        const heard = await lane.send(requests.giftCreate(op(), creatorId, upTo(30)))
        const [giftId, code] = [text(heard?.body, "id"), text(heard?.body, "code")]
        if (giftId !== undefined && code !== undefined) keep(gifts, { giftId, code, creatorId })
      }
    ],
    [
      6,
      async () => {
        // Left in the list now and then, so that somebody else wants the same.
        const gift = random() < 0.7 ? takeOne(gifts, random) : gifts[Math.floor(random() * gifts.length)]
        if (gift !== undefined) await lane.send(requests.giftRedeem(op(), user(), gift))
      }
    ],
    [
      2,
      async () => {
        const gift = takeOne(gifts, random)
        if (gift !== undefined) await lane.send(requests.giftCancel(op(), gift))
      }
    ],
    [
      3,
      async () => {
        const userId = user()
        const heard = await lane.send(requests.purchase(op(), userId, oneOf(packages)))
        const [purchaseId, secret] = [text(heard?.body, "purchaseId"), text(heard?.body, "clientSecret")]
        if (purchaseId !== undefined && secret !== undefined && random() < 0.8) {
          await lane.send(requests.pay(op(), userId, purchaseId, secret))
        }
      }
    ],
    [2, () => lane.send(requests.activate(op(), user()))],
    [1, () => lane.send(requests.deactivate(op(), user()))],
    [1, () => lane.send(requests.changeInterval(op(), user(), oneOf(intervals)))],
    [2, () => lane.send(requests.chargeRun(op()))],
    [2, () => lane.send(requests.balance(op(), user()))]
  ]
  const total = deeds.reduce((sum, [weight]) => sum + weight, 0)

  while (!isOver()) {
    let dice = random() * total
    const [, deed] = deeds.find(([weight]) => (dice -= weight) < 0) ?? [0, () => Promise.resolve()]
    await deed()
    await sleep(random() * pause)
  }
}

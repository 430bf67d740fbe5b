/**
 * Holds what clients were told against what is in the books: the operations are replayed on the model in the ledger's
 * order. Every acknowledged one is there exactly once and as it was answered, every other at most once, and nothing is
 * there that nobody asked for.
 */
import { isDeepStrictEqual } from "node:util"
import { balance, type Books, post, type Posting, shown } from "../model/books.ts"
import { app } from "./ask.ts"
import type { Entry, Request } from "./journal.ts"
import { field, text } from "./lane.ts"
import type { Ledger, LedgerRow } from "./ledger.ts"
import { type Operation, operations } from "./operations.ts"
import { itemOf, mark } from "./requests.ts"
import { seeding } from "./stage.ts"

const byService = `service:${app}`
const byUser = "user"

const numberIn = (body: unknown, ...names: ReadonlyArray<string>) => Number(field(body, ...names))

interface Debit {
  readonly userId: string
  readonly amount: number
}

const items = (request: Request): ReadonlyArray<Debit> => {
  const list = field(request.body, "items")
  return Array.isArray(list)
    ? list.map((item: unknown) => ({ userId: text(item, "userId") ?? "", amount: numberIn(item, "amount") }))
    : []
}

/** What a request puts into the ledger, each with its mark; nothing for those that leave no row of their own. */
const postingsOf = (request: Request): ReadonlyArray<readonly [string, { userId: string; posting: Posting }]> => {
  const { op, kind, userId, body, key } = request
  const usage = (name: string, debit: Debit, more: Partial<Posting>) =>
    [
      mark(name),
      {
        userId: debit.userId,
        posting: {
          type: "usage",
          amount: -debit.amount,
          counterAccount: `revenue:${app}`,
          appId: app,
          description: mark(name),
          caller: byService,
          ...more
        }
      }
    ] as const
  const amount = numberIn(body, "amount")
  switch (kind) {
    case "use":
      return [usage(op, { userId, amount }, { key: key ?? null })]
    case "personalUse":
      return [usage(op, { userId, amount }, { key: key ?? null, caller: byUser, metadata: { op } })]
    case "useBatch":
      return items(request).map((item, index) => usage(itemOf(op, index), item, { key: itemOf(op, index) }))
    case "commit":
      return [usage(op, { userId, amount }, { metadata: { reservationId: field(body, "reservationId") } })]
    case "refund":
      return [
        usage(
          op,
          { userId, amount: -amount },
          {
            type: "refund",
            key: key ?? null,
            related: text(body, "transactionId") ?? null
          }
        )
      ]
    case "grant":
      return [
        usage(
          op,
          { userId, amount: -amount },
          {
            type: "grant",
            counterAccount: "promotions",
            appId: null,
            metadata: { reason: "torture", referenceId: op }
          }
        )
      ]
    default:
      return []
  }
}

const postingOf = (row: LedgerRow): Posting => ({
  type: row.type,
  amount: row.amount,
  counterAccount: row.counter_account,
  appId: row.app_id,
  description: row.description,
  metadata: row.metadata,
  key: row.idempotency_key,
  related: row.related_transaction_id,
  caller: row.caller
})

const by = <A>(list: ReadonlyArray<A>, name: (each: A) => string | null) =>
  new Map(list.flatMap((each) => [[name(each), each] as const]))

const grouped = <A>(list: ReadonlyArray<A>, name: (each: A) => string | null) => {
  const groups = new Map<string | null, Array<A>>()
  for (const each of list) groups.set(name(each), [...(groups.get(name(each)) ?? []), each])
  return groups
}

export const check = (entries: ReadonlyArray<Entry>, ledger: Ledger): ReadonlyArray<string> => {
  const all = operations(entries)
  const wrong: Array<string> = []
  const books: Books = { now: new Date(0), accounts: new Map(), holds: [] }

  const expected = new Map([...all.values()].flatMap(({ request }) => [...postingsOf(request)]))
  const gifts = by(ledger.gifts, ({ id }) => id)
  const purchases = by(ledger.purchases, ({ id }) => id)
  const charges = by(ledger.charges, (charge) => charge.transaction_id)
  const rowsByMark = grouped(ledger.rows, ({ description }) => description)
  const requestsOf = (kind: Request["kind"]) =>
    [...all.values()].map(({ request }) => request).filter((request) => request.kind === kind)
  const paidFor = new Set(requestsOf("pay").map(({ body }) => text(body, "purchaseId")))
  const redeemable = new Set(requestsOf("giftRedeem").map(({ userId, body }) => `${userId} ${text(body, "giftId")}`))
  const cancellable = new Set(requestsOf("giftCancel").map(({ path }) => path.split("/").at(-1)))
  const created = new Map(requestsOf("giftCreate").map((request) => [mark(request.op), request]))

  /** What a row should be, by what was asked; undefined when nobody asked for it. */
  const cause = (row: LedgerRow): Posting | undefined => {
    const asItIs = postingOf(row)
    if (row.caller === seeding || row.caller === `sync:${seeding}`) return asItIs
    if (row.caller.startsWith("sync:")) {
      const charge = charges.get(row.id)
      return charge === undefined ? undefined : { ...asItIs, type: "usage", amount: -charge.credits }
    }
    if (row.type === "purchase") {
      const purchase = purchases.get(text(row.metadata, "purchaseId") ?? "")
      const isPaid = purchase !== undefined && paidFor.has(purchase.id) && purchase.user_id === row.user_id
      return isPaid ? { ...asItIs, amount: purchase.credits, counterAccount: "stripe" } : undefined
    }
    if (row.type === "gift") {
      const gift = gifts.get(text(row.metadata, "giftId") ?? "")
      if (gift === undefined) return undefined
      const posting = { ...asItIs, counterAccount: "gifts" }
      if (row.amount < 0) {
        const request = created.get(gift.message ?? "")
        const isIt = request?.userId === row.user_id && row.id === gift.escrow_transaction_id
        return isIt
          ? { ...posting, amount: -numberIn(request.body, "totalCredits"), key: request.key ?? null }
          : undefined
      }
      const isReturn = row.id === gift.return_transaction_id && cancellable.has(gift.id)
      const isRedeemed = row.id === gift.redemption_id && redeemable.has(`${row.user_id} ${gift.id}`)
      return isReturn || isRedeemed ? { ...posting, amount: gift.total_credits } : undefined
    }
    const asked = expected.get(row.description)
    return asked?.userId === row.user_id ? asked.posting : undefined
  }

  for (const row of ledger.rows) {
    const posting = cause(row)
    const where = `${row.user_id} #${row.seq} (${row.type} ${row.amount}, ${row.description})`
    if (posting === undefined) wrong.push(`nobody asked for ${where}`)
    books.now = row.created_at
    const due = post(books, row.user_id, posting ?? postingOf(row), row.id)
    const { before, after, seq, ...rest } = due
    const { id: _, at: __, ...written } = rest
    const real = { seq: row.seq, before: row.balance_before, after: row.balance_after, ...postingOf(row) }
    const model = { seq, before, after, ...written }
    if (!isDeepStrictEqual(real, model)) {
      wrong.push(`${where} is ${JSON.stringify(real)}, by the model ${JSON.stringify(model)}`)
    }
  }

  const rowById = new Map(
    [...books.accounts].flatMap(([userId, { rows }]) => rows.map((row) => [row.id, shown(userId, row)] as const))
  )

  /** An operation that leaves one row: there once if it was acknowledged, at most once if not. */
  const once = (
    what: string,
    found: ReadonlyArray<unknown>,
    { done, isRefused }: Pick<Operation, "done" | "isRefused">
  ) => {
    if (found.length > 1) wrong.push(`${what} is there ${found.length} times`)
    if (found.length === 0 && done !== undefined) wrong.push(`${what} was acknowledged and is not there`)
    if (found.length > 0 && isRefused) wrong.push(`${what} was refused and is there`)
  }
  const same = (what: string, told: unknown, real: unknown) => {
    if (!isDeepStrictEqual(told, real)) {
      wrong.push(`${what} was answered ${JSON.stringify(told)}, the books have ${JSON.stringify(real)}`)
    }
  }

  const reservationsByReason = grouped(ledger.reservations, ({ reason }) => reason)
  const reservations = by(ledger.reservations, ({ id }) => id)
  const giftsByMessage = grouped(ledger.gifts, ({ message }) => message)
  const answersByKey = by(ledger.keys, (key) => `${key.user_id} ${key.caller} ${key.key}`)

  const judge = (operation: Operation) => {
    const { request, done } = operation
    const { op, kind, userId, body } = request
    const what = `${kind} ${op}`
    const found = rowsByMark.get(mark(op)) ?? []
    const [row] = found
    switch (kind) {
      case "use":
      case "personalUse":
      case "refund":
        once(what, found, operation)
        if (done !== undefined) same(what, field(done.body, "transaction"), rowById.get(row?.id))
        return
      case "grant":
      case "commit":
        once(what, found, operation)
        if (done !== undefined) same(what, field(done.body, "transactionId"), row?.id)
        return
      case "useBatch":
        for (const [index] of items(request).entries()) {
          const name = itemOf(op, index)
          const rows = rowsByMark.get(mark(name)) ?? []
          const result = field(done?.body, "results", `${index}`)
          const isDone = field(result, "ok") === true
          once(`${kind} ${name}`, rows, {
            done: isDone ? done : undefined,
            isRefused: done !== undefined && !isDone && operation.open === 0
          })
          if (isDone) same(`${kind} ${name}`, field(result, "transaction"), rowById.get(rows[0]?.id))
        }
        return
      case "reserve": {
        const holds = reservationsByReason.get(mark(op)) ?? []
        once(what, holds, operation)
        const [hold] = holds
        if (hold !== undefined) same(what, [userId, numberIn(body, "amount")], [hold.user_id, hold.amount])
        if (done !== undefined) same(what, field(done.body, "reservationId"), hold?.id)
        return
      }
      case "release":
        if (done === undefined) return
        return same(what, "released", reservations.get(text(body, "reservationId") ?? "")?.status)
      case "giftCreate": {
        const given = giftsByMessage.get(mark(op)) ?? []
        once(what, given, operation)
        if (done !== undefined) same(what, field(done.body, "id"), given[0]?.id)
        return
      }
      case "giftRedeem": {
        if (done === undefined) return
        const gift = gifts.get(text(body, "giftId") ?? "")
        const told = ["giftId", "transactionId", "creditsReceived"].map((name) => field(done.body, name))
        same(what, [userId, ...told], [gift?.redeemer, gift?.id, gift?.redemption_id, gift?.total_credits])
        return
      }
      case "giftCancel":
        if (done === undefined) return
        return same(what, "cancelled", gifts.get(request.path.split("/").at(-1) ?? "")?.status)
      case "purchase": {
        if (done === undefined) return
        const purchase = purchases.get(text(done.body, "purchaseId") ?? "")
        same(what, [userId, field(body, "packageId")], [purchase?.user_id, purchase?.package_id])
        return
      }
      case "pay":
        if (done === undefined) return
        return same(what, "completed", purchases.get(text(body, "purchaseId") ?? "")?.status)
      case "activate": {
        if (done === undefined) return
        const answer = answersByKey.get(`${userId} ${byUser} ${op}`)?.answer
        same(what, field(done.body, "nextChargeAt"), field(answer, "nextChargeAt"))
        return
      }
      default:
        return
    }
  }
  for (const operation of all.values()) judge(operation)

  // Holds: each was asked for, and those that are open are what the balance says.
  const reserved = new Set(requestsOf("reserve").map(({ op }) => mark(op)))
  for (const hold of ledger.reservations) {
    if (!reserved.has(hold.reason)) wrong.push(`nobody asked for the hold ${hold.id} (${hold.reason})`)
    books.holds.push({
      id: hold.id,
      userId: hold.user_id,
      amount: hold.amount,
      reason: hold.reason,
      appId: hold.app_id,
      createdAt: hold.created_at,
      expiresAt: hold.expires_at,
      status: hold.status,
      ...(hold.closed_at === null ? {} : { closedAt: hold.closed_at })
    })
  }

  // Purchases: as many a user as were asked for at most, and credits only for what was paid.
  const askedPurchases = grouped(requestsOf("purchase"), ({ userId }) => userId)
  for (const [userId, bought] of grouped(ledger.purchases, (purchase) => purchase.user_id)) {
    const asked = askedPurchases.get(userId)?.length ?? 0
    if (bought.length > asked) wrong.push(`${userId} has ${bought.length} purchases and asked for ${asked}`)
  }

  // Billing: a row for every charge, no run told more than it did.
  const charged = ledger.rows.filter(({ caller }) => caller === `sync:${byService}`).length
  const told = [...all.values()]
    .filter(({ request }) => request.kind === "chargeRun")
    .reduce((sum, { done }) => sum + (done === undefined ? 0 : numberIn(done.body, "charged")), 0)
  if (told > charged) wrong.push(`charge runs told of ${told} charges, the ledger has ${charged}`)
  const rowIds = new Set(ledger.rows.map(({ id }) => id))
  for (const charge of ledger.charges) {
    if (!rowIds.has(charge.transaction_id)) wrong.push(`a charge of ${charge.user_id} has no ledger row`)
  }

  books.now = new Date(8.64e15)
  for (const each of ledger.balances) {
    const real = {
      balance: each.balance - each.held,
      held: each.held,
      debt: each.debt,
      totalEarned: each.total_earned,
      totalSpent: each.total_spent
    }
    same(`the balance of ${each.user_id}`, balance(books, each.user_id), real)
  }
  return wrong
}

/** One Stripe customer a user. */
import { createHash } from "node:crypto"
import { Effect, Schema } from "effect"
import { call } from "../database/call.ts"
import type { Order } from "./order.ts"
import type { Account, StripeAway, StripeRefused } from "./stripe.ts"

const Attached = Schema.Struct({ customerId: Schema.String })

const Forgotten = Schema.Struct({ customerId: Schema.NullOr(Schema.String), customerSince: Schema.String })

// A key is ASCII, a user id needn't be. Another one after the first customer was deleted.
const keyOf = ({ userId, customerSince }: Order, attempt: number) =>
  `customer_${createHash("sha256")
    .update(JSON.stringify([userId, customerSince]))
    .digest("hex")}_${attempt}`

/** A key that was answered with a fault is lost for a day. Two more, and it isn't a moment's fault. */
const attempts = 3

const create = (account: Account, order: Order, email: string | null, attempt: number): ReturnType<typeof made> =>
  made(account, order, email, attempt).pipe(
    Effect.catchTags({
      // Whoever begins at the same time goes the same way, and comes to the same customer.
      StripeAway: (away) =>
        away.answered && attempt < attempts ? create(account, order, email, attempt + 1) : Effect.fail(away),
      StripeRefused: (refused) =>
        refused.param === "email" && email !== null ? create(account, order, null, attempt + 1) : Effect.fail(refused)
    })
  )

const made = (account: Account, order: Order, email: string | null, attempt: number) =>
  account.ask((stripe) =>
    stripe.customers.create(
      { metadata: { userId: order.userId }, ...(email === null ? {} : { email }) },
      { idempotencyKey: keyOf(order, attempt) }
    )
  )

/** The customer of an order's user: the one we know, or a new one, which we know from then on. */
const customerOf = (account: Account, order: Order) =>
  order.customerId !== null
    ? Effect.succeed(order.customerId)
    : Effect.gen(function* () {
        const { id } = yield* create(account, order, order.email, 1)
        const { customerId } = yield* call(
          "stripe.attach_customer",
          Attached,
          { userId: order.userId, livemode: account.livemode, customerId: id },
          { keyed: true }
        )
        return customerId
      })

/** Does something with the order's customer; with another one where Stripe says that it has this one no longer. */
export const withCustomer = <A, R>(
  account: Account,
  order: Order,
  make: (customer: string) => Effect.Effect<A, StripeAway | StripeRefused, R>
) =>
  Effect.flatMap(customerOf(account, order), (customer) =>
    Effect.catchIf(
      make(customer),
      (error) => error._tag === "StripeRefused" && error.code === "resource_missing" && error.param === "customer",
      () =>
        call(
          "stripe.forget_customer",
          Forgotten,
          { userId: order.userId, livemode: account.livemode, customerId: customer },
          { keyed: true }
        ).pipe(
          Effect.flatMap((forgotten) => customerOf(account, { ...order, ...forgotten })),
          Effect.flatMap(make)
        )
    )
  )

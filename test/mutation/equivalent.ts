/** Mutants that change nothing anybody could notice, and why. Whoever adds one says why here, in one sentence. */
import type { Mutant } from "./functions.ts"

interface Reason {
  readonly matches: (mutant: Mutant) => boolean
  readonly why: string
}

const ids = (...wanted: ReadonlyArray<string>) => {
  const known = new Set(wanted)
  return ({ id }: Mutant) => known.has(id)
}

const reasons: ReadonlyArray<Reason> = [
  {
    matches: ({ rule }) => rule === "strict",
    why: "`into strict` says that the row is there, which was made sure before; it never isn't"
  },
  {
    matches: ids(
      "credits.commit/where-part-3b2fe3",
      "credits.lock_reservation/where-part-1161bd",
      "credits.open_debt/where-part-d29cc6",
      "credits.pay_debts/on-part-d09e47",
      "credits.refundable_charge/where-part-decacf",
      "credits.release/where-part-5c33f9",
      "events.claim/where-part-44ff6b",
      "events.claim/where-part-499714",
      "events.wake_next/where-part-2bab9f",
      "ops.verify_purchases/on-part-158cea",
      "ops.verify_purchases/on-part-3cebda",
      "stripe.due_refunds/where-part-b07c33",
      "stripe.refundable_euro_cents/where-part-76e20e",
      "stripe.refunded_euro_cents/where-part-8bf68d"
    ),
    why: "the user beside an id that is unique by itself is there for the index"
  },
  {
    matches: ids("credits.init/statement-c5ac3a", "credits.init/number-e1ac17"),
    why: "`credits.lock_balance`, called next, refuses the same with the same words"
  },
  {
    matches: ids("credits.lock_caps/distinct-241797"),
    why: "`on conflict do nothing` takes the second row of one statement as well"
  },
  {
    matches: ids(
      "credits.history/order-by-0ec4ff",
      "credits.history/order-by-1327f9",
      "credits.purchases/order-by-3174e6",
      "gifts.created_by/order-by-74a9d1",
      "gifts.created_by/order-by-7e0b3d",
      "gifts.received_by/order-by-7a7145",
      "sync.details/order-by-6a7a17",
      "stripe.due_purchases/order-by-1fe9a1"
    ),
    why: "one of several `order by` that say the same, of which another is enough"
  },
  {
    matches: ids(
      "credits.history/coalesce-9ee1b7",
      "gifts.created_by/coalesce-dd63ad",
      "gifts.received_by/coalesce-ac8d10"
    ),
    why: "`unnest(null)` gives no rows, as an empty array does"
  },
  {
    matches: ids("gifts.cancel/lock-93aaea", "gifts.redeem/lock-2a96aa", "gifts.redeem_pending/lock-188852"),
    why: "whoever changes a gift has locked its giver's balance before, so the gift's own lock never waits"
  },
  {
    matches: ids("ops.verify_balances/where-part-part-d1bea6"),
    why: "a last `balance_after` that isn't the sum is found by `ledger_chain` or `ledger_amount`, too"
  },
  {
    matches: ids("ops.verify_balances/where-part-12827f"),
    why: "without a balance row the comparison is with null, which is no difference"
  },
  {
    matches: ids(
      "ops.payment/coalesce-cdf08b",
      "ops.verify_holds/coalesce-fee855",
      "ops.verify_holds/sign-c487b8",
      "ops.verify_usage/coalesce-22e714",
      "ops.verify_usage/coalesce-2f7e86",
      "ops.verify_usage/coalesce-8b7b22"
    ),
    why: "only in the words of a message: a null, a sign, or one of two equal names"
  },
  {
    matches: ids("stripe.doubt/when-6c6a91"),
    why: "events of other kinds are put aside by `stripe.event_kind` before anybody doubts them"
  },
  {
    matches: ids("stripe.check_unpaid/limit-80ee24"),
    why: "the limit only stops the counting early"
  },
  {
    matches: ids("sync.charge_due/exit-b5d200", "sync.charge_due/exit-7142ce"),
    why: "a pass over nobody charges nobody, and only such a pass does: either exit alone ends the loop"
  },
  {
    matches: ids("sync.charge_due/comparison-406fd4", "sync.charge_due/sign-43b70e", "sync.charge_due/sign-115820"),
    why: "a limit that is used up leaves a limit of 0, which finds nobody, and that ends the loop"
  },
  {
    matches: ids("sync.warn_at_risk/comparison-4538b5"),
    why: "a time that isn't later than now wasn't found by the look before it"
  },
  {
    matches: ids("events.wake_next/where-part-252a1b", "events.wake_next/comparison-98d627"),
    why: "what is due by now stays as it is, by `least`"
  },
  {
    matches: ids("sync.charge_batch/comparison-3ff06f", "sync.charge_batch/comparison-9cb989"),
    why: "what is done for nobody writes nothing"
  },
  {
    matches: ids("sync.charge_batch/where-01e2cb"),
    why: "who comes here was found due under the subscription's own lock"
  },
  {
    matches: ids("sync.start/when-cd7bf8"),
    why: "within paid time its end is what anchor and months come to, as written before"
  },
  {
    matches: ids("gifts.redeem/if-1c6abb"),
    why: "a user redeems one at a time (`gifts.check_misses`), so no redeem of the same key came in between"
  },
  {
    matches: ids(
      "credits.history/limit-4095ec",
      "gifts.redeem_pending/limit-0ccba2",
      "gifts.created_by/limit-213f5c",
      "gifts.received_by/limit-4ade31"
    ),
    why: "the limit only bounds the search: what is beyond it is cut off by what uses the rows"
  },
  {
    matches: ids("credits.commit/lock-6ad4f8", "credits.pay_debts/lock-324ecb", "credits.pay_debts/lock-b1b76d"),
    why: "the balance is locked by then, by the caller or by `credits.lock_reservation`"
  },
  {
    matches: ids(
      "credits.balance_at/comparison-b886e6",
      "credits.balance_at/comparison-f35d8d",
      "credits.post/comparison-2f11a7"
    ),
    why: "the ledger takes no row of 0 credits (`transactions_amount_check`)"
  },
  {
    matches: ids("credits.check_metadata/if-990bc5", "credits.history/if-part-295a72"),
    why: "null passes the checks after it as well: compared with anything it is null, which is no offence"
  },
  {
    matches: ids("credits.commit/if-part-e5215f"),
    why: "only a committed hold has a committed amount (`reservations_committed_check`)"
  },
  {
    matches: ids("credits.price/if-part-bc2bae"),
    why: "`credits.amount_to_charge`, which alone calls it, says 1 where nothing was said"
  },
  {
    matches: ids("credits.refundable_charge/where-part-8efe49"),
    why: "what is related to a usage row is a refund: gifts and clawbacks are related to rows of other types"
  },
  {
    matches: ids("credits.lock_caps/where-part-503361", "credits.lock_caps/where-part-8bc405"),
    why: "keys that weren't asked for or have no cap find no locked day to be joined with"
  },
  {
    matches: ids("credits.expire_reservations/where-dcaea3"),
    why: "a hold that came through no key finds none to be joined with (`credits.free_caps`)"
  },
  {
    matches: ids("credits.pay_debts/if-105111"),
    why: "who owes nothing has no purchase for which anything is owed, so nothing is paid after it"
  },
  {
    matches: ids(
      "credits.balance/grant-382306",
      "credits.history/grant-82debf",
      "credits.packages/grant-e076db",
      "credits.pricing/grant-2da1aa",
      "credits.purchase/grant-f5d9aa",
      "credits.purchases/grant-bd163c",
      "credits.usage/grant-dfaf84",
      "sync.details/grant-8eb267",
      "sync.status/grant-38bee2"
    ),
    why: "`mana_ops` is one of `mana_readonly`, which is granted the same"
  },
  {
    matches: ids("credits.sync_subscriptions/not-null-33a3c4"),
    why: "generated from two conditions of `is null`, the column is never null"
  },
  {
    matches: ids("credits.write_caps/where-part-808464"),
    why: "to write what is there changes nothing"
  },
  {
    matches: ids("gifts.lock_balances/distinct-4fe0b9"),
    why: "to lock a balance twice is to lock it once"
  },
  {
    matches: ids("gifts.new_code/order-by-d0c8bd"),
    why: "random symbols are as random in another order"
  },
  {
    matches: ids("credits.expire_reservations/order-by-7bd8ef", "gifts.expire/order-by-734484"),
    why: "with `skip locked` nobody waits, so no order of locks can make a circle"
  }
]

/** Why a mutant needn't be caught; undefined when it has to be. */
export const equivalent = (mutant: Mutant) => reasons.find(({ matches }) => matches(mutant))?.why

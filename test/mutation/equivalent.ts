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
      "ops.debts_hash/where-part-498112",
      "ops.park_events/where-part-281aad",
      "ops.payment/on-part-255444",
      "ops.payment/on-part-4c4c05",
      "ops.payment/on-part-9ed955",
      "ops.payment/on-part-bd7aea",
      "ops.payment/on-part-cbd44e",
      "ops.verify_gifts/on-part-e8df90",
      "ops.verify_gifts/on-part-ef9b08",
      "ops.verify_gifts/on-part-feb2aa",
      "ops.verify_gifts/where-part-344478",
      "ops.verify_gifts/where-part-673e3c",
      "ops.verify_gifts/where-part-c5e411",
      "ops.verify_holds/on-part-e7a40a",
      "ops.verify_purchases/on-part-0c8e9e",
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
      "ops.verify_purchases/on-part-4b4000",
      "ops.verify_purchases/on-part-765738",
      "ops.verify_purchases/on-part-b63e58",
      "ops.verify_refunds/on-part-57b53c",
      "ops.verify_refunds/on-part-5a86b2",
      "ops.verify_service_keys/where-part-5b2216",
      "ops.verify_sync/on-part-663e67",
      "ops.verify_sync/on-part-75855f",
      "stripe.begin_purchase/where-part-d05684",
      "stripe.dispute_state/where-part-c44962",
      "stripe.due_refunds/on-part-ebf761",
      "stripe.lock_purchase/where-part-d87be7",
      "stripe.due_purchases/where-part-ea044d",
      "stripe.due_refunds/where-part-b07c33",
      "stripe.refundable_euro_cents/where-part-76e20e",
      "stripe.refundable_euro_cents/where-part-7cf0fe",
      "stripe.settle_purchase/where-part-70d5db",
      "stripe.refunded_euro_cents/where-part-8bf68d"
    ),
    why: "the user beside an id that is unique by itself is there for the index"
  },
  {
    matches: ids("credits.init/statement-c5ac3a", "credits.init/number-e1ac17"),
    why: "`credits.lock_balance`, called next, refuses the same with the same words"
  },
  {
    matches: ids(
      "credits.sound_use_request/coalesce-77b933",
      "credits.sound_use_request/coalesce-6b1d07",
      "credits.sound_use_request/coalesce-a19c1b",
      "credits.sound_use_request/coalesce-f60d94",
      "credits.sound_use_request/coalesce-4143fd",
      "credits.sound_use_request/coalesce-9111d2",
      "credits.sound_use_request/coalesce-2bf474",
      "credits.sound_use_request/coalesce-7f1db2",
      "credits.sound_use_request/comparison-9fd90f",
      "credits.sound_use_request/number-cdfdb2",
      "credits.sound_use_request/number-eba5ba",
      "credits.sound_use_request/when-part-adb14a",
      "credits.sound_use_request/when-part-part-11bb74",
      "credits.sound_use_request/when-part-part-1c3e95",
      "credits.use_many/coalesce-c650e1",
      "credits.use_many/coalesce-f156ff",
      "credits.use_many/comparison-3e7dab",
      "credits.use_many/comparison-fb7ae7",
      "credits.use_many/when-7557a7",
      "credits.use_many/if-1b60ec",
      "credits.decide_use/coalesce-781048",
      "credits.decide_use/comparison-0d0431"
    ),
    why: "what the quick way then leaves out or can't find goes the slow way, which decides the same"
  },
  {
    matches: ids("credits.use_many/comparison-603fa1"),
    why: "a place in an array is never 0"
  },
  {
    matches: ids("credits.write_uses/if-2350cd", "credits.remembered_answer/if-c50d28"),
    why: "returns early what the rest comes to as well, of no rows"
  },
  {
    matches: ids("credits.post_many/comparison-7b61a7", "credits.post_many/where-239fbe"),
    why: "`credits.settle` changes nothing for who can't spend more than before"
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
      "ops.verify_balances/order-by-75b432",
      "ops.verify_balances/order-by-b9b49b",
      "sync.details/order-by-6a7a17",
      "stripe.due_purchases/order-by-1fe9a1",
      "stripe.due_purchases/order-by-fa12eb"
    ),
    why: "one of several `order by` that say the same, of which another is enough"
  },
  {
    matches: ids(
      "credits.history/coalesce-9ee1b7",
      "credits.post_many/coalesce-463713",
      "gifts.created_by/coalesce-dd63ad",
      "gifts.received_by/coalesce-ac8d10",
      "stripe.due_purchases/coalesce-0d25c6"
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
    matches: ids(
      "ops.verify_balances/where-part-12827f",
      "ops.verify_balances/where-part-721c4d",
      "ops.verify_balances/where-part-8f0e19",
      "ops.verify_balances/where-part-af9a91"
    ),
    why: "without a balance row the comparison is with null, which is no difference"
  },
  {
    matches: ids(
      "ops.verify_purchases/null-safe-88e40d",
      "ops.verify_purchases/null-safe-afd3bf",
      "ops.verify_purchases/null-safe-d721d4",
      "ops.verify_purchases/null-safe-e445cd",
      "ops.verify_usage/null-safe-7ef8d6",
      "ops.verify_usage/null-safe-d412cf"
    ),
    why: "a row that isn't there has nothing of what is compared: the comparison beside it finds that, too"
  },
  {
    matches: ids("ops.verify_purchases/where-part-f2d9df"),
    why: "what is kept is never below zero, so that a ledger below it is an amount that doesn't add up or a debt below zero"
  },
  {
    matches: ids(
      "ops.verify_purchases/coalesce-807ecc",
      "ops.verify_purchases/coalesce-933e31",
      "stripe.refunded_euro_cents/coalesce-41c710"
    ),
    why: "`greatest` passes over null, and what failed is made 0 again where it is read"
  },
  {
    matches: ids("ops.verify_balances/coalesce-c5bc48"),
    why: "the table's check leaves nobody who has spent and not earned, and that comparison stands before it"
  },
  {
    matches: ids("ops.verify_balances/coalesce-8e33f8", "ops.verify_balances/coalesce-b6c5fc"),
    why: "made 0 again where it is read, as for those who have no ledger"
  },
  {
    matches: ids("ops.seal/limit-f7ab4e", "ops.seal/number-311939"),
    why: "`into` takes the first row, however many there are"
  },
  {
    matches: ids("ops.seal_digest/order-by-464866"),
    why: "the parts are made by sorting, since the leaves within each have an order, and so come out sorted"
  },
  {
    matches: ids("ops.verify_seal/null-safe-fedc80"),
    why: "whatever is null in what a digest covers, the digest isn't"
  },
  {
    matches: ids("ops.verify_balances/coalesce-8a25b4", "ops.verify_balances/coalesce-99b1dd"),
    why: "without a ledger its sum is 0 and its last balance, too: a balance of anything else differs from either"
  },
  {
    matches: ids(
      "ops.verify_balances/comparison-17331a",
      "ops.verify_balances/comparison-1ebe6b",
      "stripe.note_dispute/comparison-9b52ca",
      "stripe.note_dispute/comparison-e6cb77"
    ),
    why: "an amount of 0 adds nothing to either total"
  },
  {
    matches: ids("ops.verify_service_keys/where-part-11edab"),
    why: "only leaves out early what the join by the caller leaves out"
  },
  {
    matches: ids("ops.post_by_hand/comparison-fd0bbe"),
    why: "an amount of 0 was refused just before"
  },
  {
    matches: ids("ops.post_by_hand/number-c2bf06"),
    why: "either is one of the amounts below every limit, which are refused with the same words"
  },
  {
    matches: ids("stripe.settle_purchase/null-safe-1280f3"),
    why: "in a comparison of whole rows null equals null"
  },
  {
    matches: ids("stripe.apply_stored_event/if-part-ab61cb", "stripe.attach_payment/if-part-591517"),
    why: "no event is about the PaymentIntent null"
  },
  {
    matches: ids("stripe.settle_purchase/comparison-88b136", "stripe.settle_purchase/comparison-99ad89"),
    why: "of a change of 0 nothing is taken and nothing given back"
  },
  {
    matches: ids("stripe.take_back/lock-0209f3"),
    why: "its caller holds the balance's lock already, and needs this only to read it"
  },
  {
    matches: ids("stripe.apply_waiting_events/where-part-719983"),
    why: "only what is kept has the reason `purchase_unknown`"
  },
  {
    matches: ids("stripe.forget_customer/where-part-44c599"),
    why: "the mode beside a customer's id, of which no two rows have the same"
  },
  {
    matches: ids("stripe.check_unpaid/coalesce-280caa"),
    why: "null is no more than 50 either"
  },
  {
    matches: ({ rule, object }) =>
      rule === "definer" && object.startsWith("ops.verify_") && object !== "ops.verify_seal",
    why: "nobody but `ops.verify` may call it, which runs as the owner already"
  },
  {
    matches: ids(
      "ops.kept_events/grant-232785",
      "ops.migrations/grant-97a488",
      "ops.payment/grant-11fe80",
      "ops.verify/grant-08e38c",
      "ops.verify_seal/grant-b75111"
    ),
    why: "mana_ops may what mana_readonly may, being a member of it"
  },
  {
    matches: ids("stripe.doubt/when-6c6a91"),
    why: "events of other kinds are put aside by `stripe.event_kind` before anybody doubts them"
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
    matches: ids("credits.expire_holds_of/where-aba97e"),
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
    matches: ids("sync.charge_due/comparison-cba527"),
    why: "where all could be locked, nobody is busy"
  },
  {
    matches: ids("ops.park_events/distinct-cf7297"),
    why: "to wake somebody's next event twice is to wake it once"
  },
  {
    matches: ids("gifts.expire/where-part-588cbc"),
    why: "a gift that isn't active is passed by the query after it, and the loop goes on"
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

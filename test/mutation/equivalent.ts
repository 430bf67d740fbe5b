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
      "ops.verify_purchases/on-part-158cea",
      "ops.verify_purchases/on-part-3cebda",
      "stripe.due_refunds/where-part-b07c33",
      "stripe.refundable_euro_cents/where-part-76e20e",
      "stripe.refunded_euro_cents/where-part-8bf68d"
    ),
    why: "the user beside an id that is unique by itself is there for the index"
  },
  {
    matches: ids("credits.init/statement-c5ac3a"),
    why: "`credits.lock_balance`, called next, refuses the same with the same words"
  },
  {
    matches: ids("credits.lock_caps/distinct-241797"),
    why: "`on conflict do nothing` takes the second row of one statement as well"
  },
  {
    matches: ids("gifts.created_by/order-by-74a9d1", "stripe.due_purchases/order-by-1fe9a1"),
    why: "one of two `order by` that say the same, of which either is enough"
  },
  {
    matches: ids("credits.history/coalesce-9ee1b7"),
    why: "`unnest(null)` gives no rows, as an empty array does"
  },
  {
    matches: ids("gifts.cancel/lock-93aaea"),
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
    matches: ids("sync.charge_due/exit-b5d200"),
    why: "a pass over nobody charges nobody, and the exit after it ends the loop"
  },
  {
    matches: ids("sync.warn_at_risk/comparison-4ed3c0", "sync.warn_at_risk/where-part-f46644"),
    why: "a first look without locks, repeated under them: either alone leaves out who can pay"
  }
]

/** Why a mutant needn't be caught; undefined when it has to be. */
export const equivalent = (mutant: Mutant) => reasons.find(({ matches }) => matches(mutant))?.why

/** The seven main events of a purchase in every order there is, each told twice: always the same end. */
import { expect, test } from "vitest"
import { database } from "../../support/database.ts"
import {
  chargeRefunded,
  checkoutSession,
  dispute,
  paymentIntent,
  type Purchase,
  refund,
  type StripeEvent
} from "../../support/stripe.ts"

const db = await database()

// Seven events have 5,040 orders, half a minute a history on an idle machine. `npm run test:soak` (MANA_SOAK=1) takes
// them all, the test run one in seven and one in 35: numbers without 2 and 3, by which the orders differ below.
const soak = process.env["MANA_SOAK"] === "1"

// One database call runs thousands of orders, so it is SQL. Each order has a user and a purchase of its own, named by
// its number, which takes the place of # in the events.
await db.query(`
  create procedure public.run_orders(p_history text, p_events jsonb, p_first integer, p_step integer)
  language plpgsql as $$
  declare
    v_order integer[];
    v_number integer := 0;
    v_user_id text;
    v_purchase_id uuid;
    v_index integer;
    v_told integer;
  begin
    for v_order in
      with recursive orders as (
        select array[]::integer[] as o
        union all
        select o || n from orders, generate_series(0, 6) n where n <> all (o) and cardinality(o) < 7
      )
      select o from orders where cardinality(o) = 7 order by o
    loop
      v_number := v_number + 1;
      continue when v_number % p_step <> p_first;
      v_user_id := p_history || v_number;
      v_purchase_id := stripe.begin_purchase(
        v_user_id, 'credits_1000', false, 'https://app.test/done', 'https://app.test/back'
      ) ->> 'purchaseId';
      -- In every third, Stripe's answer got lost and only the metadata says whose it is.
      if v_number % 3 <> 0 then
        perform stripe.attach_payment(
          v_purchase_id, null, 'cs_' || p_history || v_number, 'https://checkout.test'
        );
      end if;
      for v_told in 1..2 loop
        foreach v_index in array v_order loop
          perform stripe.apply_event(
            replace(
              replace(p_events ->> v_index, '#purchase', v_purchase_id::text),
              -- In every second the other telling is an event of its own, as Stripe's often are.
              '#', p_history || v_number
            )::jsonb
            || jsonb_build_object(
              'id', concat_ws('_', 'evt', p_history, v_number, v_index, case when v_number % 2 = 0 then v_told end)
            )
          );
        end loop;
      end loop;
      commit;
    end loop;
  end
  $$`)

const purchase: Purchase = {
  userId: "#",
  purchaseId: "#purchase",
  paymentIntentId: "pi_#",
  checkoutSessionId: "cs_#",
  chargeId: "ch_#",
  credits: 1050,
  priceEuroCents: 1000
}

const unpaid = { fields: { payment_status: "unpaid" } }
const disputed = { disputeId: "du_#", amount: 300 }

interface History {
  readonly name: string
  readonly what: string
  readonly events: ReadonlyArray<StripeEvent>
  readonly end: { readonly status: string; readonly dispute: string | null; readonly kept: number }
  readonly oneIn: 7 | 35
}

const histories: ReadonlyArray<History> = [
  {
    name: "lost",
    what: "SEPA by Checkout, a part refunded, a part lost in a dispute",
    events: [
      checkoutSession(purchase, "completed", { at: 0, ...unpaid }),
      paymentIntent(purchase, "processing", { at: 1 }),
      paymentIntent(purchase, "succeeded", { at: 2 }),
      checkoutSession(purchase, "async_payment_succeeded", { at: 3 }),
      chargeRefunded(purchase, 400, { at: 4 }),
      dispute(purchase, "funds_withdrawn", { at: 5, ...disputed }),
      dispute(purchase, "closed", { at: 6, status: "lost", ...disputed })
    ],
    end: { status: "completed", dispute: "lost", kept: 315 },
    oneIn: 7
  },
  {
    name: "won",
    what: "a card that failed first, a refund that failed, a dispute won",
    events: [
      paymentIntent(purchase, "payment_failed", { at: 0 }),
      checkoutSession(purchase, "completed", { at: 1 }),
      refund(purchase, "created", { at: 2, refundId: "re_#", amount: 400, status: "pending" }),
      chargeRefunded(purchase, 400, { at: 3 }),
      refund(purchase, "failed", { at: 4, refundId: "re_#", amount: 400 }),
      dispute(purchase, "created", { at: 5, ...disputed, booked: [-300] }),
      dispute(purchase, "closed", { at: 6, status: "won", ...disputed, booked: [-300, 300] })
    ],
    end: { status: "completed", dispute: "won", kept: 1050 },
    oneIn: 35
  },
  {
    name: "gone",
    what: "refunded in two parts and lost in a dispute on top",
    events: [
      paymentIntent(purchase, "succeeded", { at: 0 }),
      refund(purchase, "created", { at: 1, refundId: "re_a_#", amount: 400 }),
      chargeRefunded(purchase, 400, { at: 1 }),
      refund(purchase, "updated", { at: 2, refundId: "re_b_#", amount: 300 }),
      chargeRefunded(purchase, 700, { at: 2 }),
      dispute(purchase, "funds_withdrawn", { at: 3, disputeId: "du_#" }),
      dispute(purchase, "closed", { at: 4, status: "lost", disputeId: "du_#" })
    ],
    end: { status: "refunded", dispute: "lost", kept: 0 },
    oneIn: 35
  },
  {
    name: "unpaid",
    what: "never paid: failed, tried again by SEPA, bounced, cancelled",
    events: [
      checkoutSession(purchase, "completed", { at: 0, ...unpaid }),
      paymentIntent(purchase, "payment_failed", { at: 1 }),
      paymentIntent(purchase, "processing", { at: 2 }),
      paymentIntent(purchase, "payment_failed", { at: 3 }),
      checkoutSession(purchase, "async_payment_failed", { at: 3 }),
      checkoutSession(purchase, "expired", { at: 4 }),
      paymentIntent(purchase, "canceled", { at: 5 })
    ],
    end: { status: "cancelled", dispute: null, kept: 0 },
    oneIn: 35
  }
]

test.each(histories)("$what", { timeout: soak ? 1_200_000 : 120_000 }, async ({ name, events, end, oneIn }) => {
  const step = soak ? 1 : oneIn
  // Two at a time.
  const run = async (half: number) => {
    const client = await db.pool.connect()
    try {
      await client.query("set synchronous_commit = off")
      await client.query("call public.run_orders($1, $2, $3, $4)", [
        name,
        JSON.stringify(events),
        half * step,
        2 * step
      ])
    } finally {
      client.release(true)
    }
  }
  await Promise.all([run(0), run(1)])

  const ends = await db.query(
    `select
       p.status, p.dispute, p.credits_kept as kept, b.balance, b.debt,
       (select sum(t.amount)::bigint from credits.transactions t where t.user_id = p.user_id and t.type = 'purchase') as credited,
       (select count(*) from credits.events e where e.user_id = p.user_id and e.type = 'purchase.completed') as told,
       (select count(*) from credits.stripe_events e where e.purchase_id = p.id and e.outcome = 'applied') % 7 as left,
       count(*) as orders
     from credits.purchases p join credits.balances b on b.user_id = p.user_id
     where p.user_id like $1 || '%'
     group by 1, 2, 3, 4, 5, 6, 7, 8`,
    [name]
  )
  const isPaid = end.status !== "cancelled"
  expect(ends).toEqual([
    {
      ...end,
      balance: end.kept,
      debt: 0,
      credited: isPaid ? 1050 : null,
      told: isPaid ? 1 : 0,
      left: 0,
      orders: 5040 / step
    }
  ])
  expect(await db.query("select * from credits.stripe_events where outcome = 'kept'")).toEqual([])
})

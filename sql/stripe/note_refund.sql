create or replace function stripe.note_refund(p_purchase credits.purchases, p_refund jsonb, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into credits.purchase_refunds as r (user_id, purchase_id, id, amount_euro_cents, failed, created_at)
  values (
    p_purchase.user_id,
    p_purchase.id,
    p_refund ->> 'id',
    (p_refund ->> 'amount')::bigint,
    p_refund ->> 'status' in ('failed', 'canceled'),
    p_now
  )
  on conflict (user_id, purchase_id, id) do update
  -- A refund that succeeded may fail later, at the bank; never the other way round.
  set failed = r.failed or excluded.failed;
$$;

comment on function stripe.note_refund(credits.purchases, jsonb, timestamptz) is
  'Writes down a refund as Stripe describes it, on top of what is known of it. Internal.';

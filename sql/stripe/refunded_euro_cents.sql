create or replace function stripe.refunded_euro_cents(p_purchase credits.purchases)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- The charge's total may be known before its refunds, or the other way round; failed ones are in both.
  select greatest(
    0,
    greatest(p_purchase.charge_refunded_euro_cents, coalesce(sum(r.amount_euro_cents), 0))
    - coalesce(sum(r.amount_euro_cents) filter (where r.failed), 0)
  )::bigint
  from credits.purchase_refunds r
  where r.user_id = p_purchase.user_id and r.purchase_id = p_purchase.id;
$$;

comment on function stripe.refunded_euro_cents(credits.purchases) is
  'Euro cents that refunds took back from us: all that were made less those that failed. Internal.';

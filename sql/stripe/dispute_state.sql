create or replace function stripe.dispute_state(
  p_purchase credits.purchases, out o_disputed_euro_cents bigint, out o_dispute text
)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(
      sum(
        least(d.amount_euro_cents, greatest(0, d.withdrawn_euro_cents - d.reinstated_euro_cents))
      ), 0
    )::bigint,
    case when bool_or(d.outcome is null) then 'open' else max(d.outcome) end
  from credits.purchase_disputes d
  where d.user_id = p_purchase.user_id and d.purchase_id = p_purchase.id;
$$;

comment on function stripe.dispute_state(credits.purchases) is
  'Euro cents that disputes took and didn''t give back, and how they stand: open, closed, lost, won, or null for none. Internal.';

create or replace function stripe.refundable_euro_cents(p_purchase credits.purchases)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select case
    when p_purchase.paid_at is null then 0
    else greatest(
      0,
      p_purchase.price_euro_cents - p_purchase.refunded_euro_cents - p_purchase.disputed_euro_cents
      - coalesce(sum(q.amount_euro_cents), 0)
    )
  end::bigint
  from credits.refund_requests q
  where q.user_id = p_purchase.user_id
    and q.purchase_id = p_purchase.id
    -- Asked for, and not among the reported refunds yet.
    and q.status <> 'refused'
    and not exists (
      select
      from credits.purchase_refunds r
      where r.user_id = q.user_id and r.purchase_id = q.purchase_id and r.id = q.refund_id
    );
$$;

comment on function stripe.refundable_euro_cents(credits.purchases) is
  'Euro cents of a payment that are still with us and that nobody has asked to refund. The caller holds the lock. Internal.';

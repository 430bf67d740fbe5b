create or replace function stripe.status(p_purchase credits.purchases)
returns text
language sql
immutable
return case
  -- Nothing of the money is left with us.
  when p_purchase.paid_at is not null
    and p_purchase.refunded_euro_cents + p_purchase.disputed_euro_cents >= p_purchase.price_euro_cents then 'refunded'
  when p_purchase.paid_at is not null then 'completed'
  when p_purchase.cancelled_at is not null then 'cancelled'
  -- An attempt under way after a failed one is pending again.
  when p_purchase.failed_at >= coalesce(p_purchase.processing_at, p_purchase.failed_at) then 'failed'
  else 'pending'
end;

comment on function stripe.status(credits.purchases) is
  'A purchase''s status, from the facts alone: pending, completed, failed, cancelled or refunded. Internal.';

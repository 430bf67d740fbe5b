create or replace function stripe.credits_to_keep(p_purchase credits.purchases)
returns bigint
language sql
immutable
return case
  when p_purchase.paid_at is null then 0
  else (
    p_purchase.credits * greatest(
      0, p_purchase.price_euro_cents - p_purchase.refunded_euro_cents - p_purchase.disputed_euro_cents
    )
    + p_purchase.price_euro_cents - 1 -- rounds up: the fraction of a credit is the person's
  ) / p_purchase.price_euro_cents
end;

comment on function stripe.credits_to_keep(credits.purchases) is
  'Credits that what is left of a payment pays for, in proportion to the price, rounded up; none before it is paid. Follows from the facts alone. Internal.';

create or replace function stripe.check_startable(p_purchase credits.purchases, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_purchase.payment_intent_id is null and p_purchase.checkout_session_id is null
     -- Stripe remembers an idempotency key for 24 hours at least; later, asking again could make a second payment.
     and (p_purchase.status <> 'pending' or p_purchase.created_at < p_now - interval '20 hours') then
    raise exception using
      errcode = 'CR304',
      message = 'This purchase was never started and has been given up. Buy again with a new idempotency key.',
      detail = jsonb_build_object('purchaseId', p_purchase.id);
  end if;
end
$$;

comment on function stripe.check_startable(credits.purchases, timestamptz) is
  'Raises CR304 when a purchase that Stripe knows nothing of is given up or older than 20 hours. Internal.';

create or replace function stripe.find_purchase(p_object jsonb)
returns uuid
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_purchase_id uuid;
  v_said text := p_object #>> '{metadata,purchaseId}';
begin
  select p.id into v_purchase_id
  from credits.purchases p
  where p.payment_intent_id = stripe.payment_intent_id(p_object);
  if not found then
    select p.id into v_purchase_id
    from credits.purchases p
    where p_object ->> 'object' = 'checkout.session' and p.checkout_session_id = p_object ->> 'id';
  end if;
  -- Before we were told which PaymentIntent it is, its metadata, which we gave it, says whose it is.
  if v_purchase_id is null and pg_input_is_valid(v_said, 'uuid') then
    select p.id into v_purchase_id from credits.purchases p where p.id = v_said::uuid;
  end if;
  return v_purchase_id;
end
$$;

comment on function stripe.find_purchase(jsonb) is
  'The purchase that a PaymentIntent, Checkout Session, charge, refund or dispute is about; null when we know of none (yet). Internal.';

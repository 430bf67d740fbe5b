create or replace function stripe.doubt(p_event credits.stripe_events, p_purchase credits.purchases)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object jsonb := p_event.payload #> '{data,object}';
  v_kind text := v_object ->> 'object';
begin
  return case
    when p_event.api_version is distinct from stripe.api_version() then 'api_version_mismatch'
    when p_purchase.id is null then 'purchase_unknown'
    when p_event.livemode <> p_purchase.livemode then 'livemode_mismatch'
    when stripe.payment_intent_id(v_object) <> p_purchase.payment_intent_id then 'payment_intent_mismatch'
    when v_object ->> 'currency' is distinct from 'eur' then 'currency_mismatch'
    when (case v_kind
      when 'payment_intent' then
        (v_object ->> 'amount')::bigint is distinct from p_purchase.price_euro_cents
        or (
          v_object ->> 'status' = 'succeeded'
          and (v_object ->> 'amount_received')::bigint is distinct from p_purchase.price_euro_cents
        )
      when 'checkout.session' then
        (v_object ->> 'amount_total')::bigint is distinct from p_purchase.price_euro_cents
        or v_object ->> 'payment_status' = 'no_payment_required'
      when 'charge' then (v_object ->> 'amount')::bigint is distinct from p_purchase.price_euro_cents
      when 'refund' then coalesce((v_object ->> 'amount')::bigint, 0) not between 1 and p_purchase.price_euro_cents
      -- What is disputed may differ from what was paid; what it costs us is capped by it elsewhere.
      when 'dispute' then coalesce((v_object ->> 'amount')::bigint, -1) < 0
    end) then 'amount_mismatch'
    when v_kind not in ('payment_intent', 'checkout.session', 'charge', 'refund', 'dispute') then 'type_unknown'
  end;
end
$$;

comment on function stripe.doubt(credits.stripe_events, credits.purchases) is
  'Why an event can''t be applied to a purchase: api_version_mismatch, purchase_unknown, livemode_mismatch, payment_intent_mismatch, currency_mismatch, amount_mismatch or type_unknown; null when it can. Internal.';

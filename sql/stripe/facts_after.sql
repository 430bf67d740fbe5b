create or replace function stripe.facts_after(
  p_purchase credits.purchases, p_event credits.stripe_events, p_now timestamptz
)
returns credits.purchases
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_purchase credits.purchases := p_purchase;
  v_type text := p_event.type;
  v_object jsonb := p_event.payload #> '{data,object}';
  v_kind text := v_object ->> 'object';
  v_status text := v_object ->> 'status';
  v_payment_status text := v_object ->> 'payment_status'; -- of a Checkout Session
begin
  v_purchase.payment_intent_id := coalesce(v_purchase.payment_intent_id, stripe.payment_intent_id(v_object));

  if v_kind = 'payment_intent' and v_status = 'succeeded'
     or v_kind = 'checkout.session' and v_payment_status = 'paid' then
    v_purchase.paid_at := least(v_purchase.paid_at, p_event.created);
  elsif v_kind = 'payment_intent' and v_status = 'processing'
     or v_kind = 'checkout.session' and v_type = 'checkout.session.completed' then
    v_purchase.processing_at := greatest(v_purchase.processing_at, p_event.created);
  elsif v_kind = 'payment_intent' and v_status = 'canceled'
     or v_kind = 'checkout.session' and v_status = 'expired' then
    v_purchase.cancelled_at := greatest(v_purchase.cancelled_at, p_event.created);
  elsif v_type in ('payment_intent.payment_failed', 'checkout.session.async_payment_failed') then
    v_purchase.failed_at := greatest(v_purchase.failed_at, p_event.created);
  end if;

  if v_kind = 'charge' then
    v_purchase.charge_refunded_euro_cents := greatest(
      v_purchase.charge_refunded_euro_cents, (v_object ->> 'amount_refunded')::bigint
    );
  elsif v_kind = 'refund' then
    perform stripe.note_refund(v_purchase, v_object, p_now);
  elsif v_kind = 'dispute' then
    perform stripe.note_dispute(v_purchase, v_object, v_type, p_now);
  end if;

  v_purchase.refunded_euro_cents := stripe.refunded_euro_cents(v_purchase);
  select d.o_disputed_euro_cents, d.o_dispute
  into v_purchase.disputed_euro_cents, v_purchase.dispute
  from stripe.dispute_state(v_purchase) d;
  return v_purchase;
end
$$;

comment on function stripe.facts_after(credits.purchases, credits.stripe_events, timestamptz) is
  'A purchase with the facts that an event adds. Reads the state of the object more than the name of the event, so a late or repeated report changes nothing. Writes refunds and disputes, not the purchase. Internal.';

create or replace function stripe.attach_payment(
  p_purchase_id uuid,
  p_payment_intent_id text default null,
  p_checkout_session_id text default null,
  p_checkout_url text default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before credits.purchases := stripe.lock_purchase(p_purchase_id);
  v_purchase credits.purchases := v_before;
begin
  if v_before.id is null then
    perform stripe.no_such_purchase(p_purchase_id);
  end if;
  if v_before.payment_intent_id <> p_payment_intent_id or v_before.checkout_session_id <> p_checkout_session_id then
    raise exception using
      errcode = 'CR305',
      message = 'The purchase has another payment already. Look at both with ops.payment(), and cancel one in Stripe.',
      detail = jsonb_build_object(
        'purchaseId', p_purchase_id,
        'paymentIntentId', v_before.payment_intent_id,
        'checkoutSessionId', v_before.checkout_session_id
      );
  end if;
  v_purchase.payment_intent_id := coalesce(v_before.payment_intent_id, p_payment_intent_id);
  v_purchase.checkout_session_id := coalesce(v_before.checkout_session_id, p_checkout_session_id);
  v_purchase.checkout_url := coalesce(v_before.checkout_url, p_checkout_url);
  if (v_purchase.checkout_session_id is null) <> (v_purchase.checkout_url is null) then
    perform credits.invalid('checkoutUrl', 'must be given with checkoutSessionId, and only with it');
  end if;
  if v_purchase.checkout_url is not null and v_purchase.success_url is null then
    perform credits.invalid('checkoutUrl', 'is for purchases begun with a successUrl');
  end if;
  v_purchase := stripe.settle_purchase(v_before, v_purchase, p_now);
  if v_before.payment_intent_id is null and p_payment_intent_id is not null then
    perform stripe.apply_waiting_events(p_payment_intent_id, p_now);
    v_purchase := stripe.lock_purchase(p_purchase_id);
  end if;
  return stripe.purchase_order(v_purchase);
end
$$;

comment on function stripe.attach_payment(uuid, text, text, text, timestamptz) is
  'Keeps which PaymentIntent or Checkout Session (with its URL) Stripe made for a purchase, and applies events of it that came sooner. Calling it again changes nothing. Answers the order as stripe.begin_purchase. CR001 invalid argument, CR303 no such purchase, CR305 it has another payment. For mana_service and mana_ops.';

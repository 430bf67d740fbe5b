create or replace function stripe.purchase_order(p_purchase credits.purchases)
returns jsonb
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'purchaseId', p_purchase.id,
    'userId', p_purchase.user_id,
    'packageId', p_purchase.package_id,
    'stripePriceId', p_purchase.stripe_price_id,
    'credits', p_purchase.credits,
    'priceEuroCents', p_purchase.price_euro_cents,
    'livemode', p_purchase.livemode,
    'status', p_purchase.status,
    'successUrl', p_purchase.success_url,
    'cancelUrl', p_purchase.cancel_url,
    'customerId', c.customer_id,
    'customerSince', credits.iso8601(c.created_at),
    'email', c.email,
    'paymentIntentId', p_purchase.payment_intent_id,
    'checkoutSessionId', p_purchase.checkout_session_id,
    'checkoutUrl', p_purchase.checkout_url,
    'createdAt', credits.iso8601(p_purchase.created_at)
  )
  from credits.stripe_customers c
  where c.user_id = p_purchase.user_id and c.livemode = p_purchase.livemode;
$$;

comment on function stripe.purchase_order(credits.purchases) is
  'A purchase as the code that talks to Stripe needs it: { purchaseId, userId, packageId, stripePriceId, credits, priceEuroCents, livemode, status, successUrl, cancelUrl, customerId, customerSince, email, paymentIntentId, checkoutSessionId, checkoutUrl, createdAt }. Internal.';

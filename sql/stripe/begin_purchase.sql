create or replace function stripe.begin_purchase(
  p_user_id text,
  p_package_id text,
  p_livemode boolean,
  p_success_url text default null,
  p_cancel_url text default null,
  p_email text default null,
  p_idempotency_key text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request jsonb := jsonb_build_array('purchase', p_package_id, p_livemode, p_success_url, p_cancel_url);
  v_package credits.packages;
  v_purchase credits.purchases;
  v_answer jsonb;
begin
  perform credits.check_text('packageId', p_package_id, 64);
  if p_livemode is null then
    perform credits.invalid('livemode', 'must be true or false');
  end if;
  if (p_success_url is null) <> (p_cancel_url is null) then
    perform credits.invalid(
      case when p_success_url is null then 'successUrl' else 'cancelUrl' end, 'must be given when the other one is'
    );
  end if;
  if p_success_url is not null then
    perform credits.check_text('successUrl', p_success_url, 2000);
    perform credits.check_text('cancelUrl', p_cancel_url, 2000);
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;

  perform credits.lock_balance(p_user_id);
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    select * into strict v_purchase
    from credits.purchases p
    where p.user_id = p_user_id and p.id = (v_answer ->> 'purchaseId')::uuid;
    perform stripe.check_startable(v_purchase, p_now);
    return stripe.purchase_order(v_purchase) || jsonb_build_object('replayed', true);
  end if;

  select * into v_package from credits.packages k where k.id = p_package_id;
  if not found then
    raise exception using
      errcode = 'CR301', message = 'There is no such package: see the list of packages.',
      detail = jsonb_build_object('packageId', p_package_id);
  end if;
  if not v_package.active then
    raise exception using
      errcode = 'CR302', message = 'This package is no longer sold. Choose another one.',
      detail = jsonb_build_object('packageId', p_package_id);
  end if;

  perform stripe.check_unpaid(p_user_id, p_now);
  insert into credits.stripe_customers (user_id, livemode, email, created_at)
  values (p_user_id, p_livemode, case when char_length(p_email) between 3 and 254 then p_email end, p_now)
  on conflict (user_id, livemode) do nothing;
  insert into credits.purchases (
    user_id, package_id, credits, price_euro_cents, stripe_price_id, livemode, success_url, cancel_url, caller,
    next_check_at, created_at, updated_at
  )
  values (
    p_user_id, p_package_id, v_package.credits, v_package.price_euro_cents, v_package.stripe_price_id, p_livemode,
    p_success_url, p_cancel_url, p_caller, p_now + interval '15 minutes', p_now, p_now
  )
  returning * into v_purchase;

  perform credits.remember_answer(
    p_user_id, p_caller, p_idempotency_key, v_request, jsonb_build_object('purchaseId', v_purchase.id), p_now
  );
  return stripe.purchase_order(v_purchase);
end
$$;

comment on function stripe.begin_purchase(text, text, boolean, text, text, text, text, text, timestamptz) is
  'Writes down that a user wants to buy a package, before Stripe is asked for anything; with URLs through Checkout, else with a PaymentIntent. Answers the order as stripe.purchase_order, replayed: true when the key was seen before; then what Stripe was asked for already is in it. CR001 invalid argument, CR003 key reused, CR301 no such package, CR302 no longer sold, CR304 the purchase of this key was given up, CR308 too many begun and not paid. For mana_service and mana_ops.';

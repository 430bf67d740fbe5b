create or replace function stripe.attach_customer(p_user_id text, p_livemode boolean, p_customer_id text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customer_id text;
begin
  if (p_customer_id ~ '^cus_[A-Za-z0-9_]{1,250}$') is not true then
    perform credits.invalid('customerId', 'must be a Stripe customer''s id: cus_ and 1 to 250 letters, digits or _');
  end if;
  perform credits.lock_balance(p_user_id);
  -- The first one stays.
  update credits.stripe_customers c
  set customer_id = p_customer_id, email = null
  where c.user_id = p_user_id and c.livemode = p_livemode and c.customer_id is null;
  select c.customer_id into v_customer_id
  from credits.stripe_customers c
  where c.user_id = p_user_id and c.livemode = p_livemode;
  if not found then
    perform credits.invalid('userId', 'has never begun a purchase');
  end if;
  return jsonb_build_object('customerId', v_customer_id);
end
$$;

comment on function stripe.attach_customer(text, boolean, text) is
  'Keeps which Stripe customer a user is, once. Answers { customerId }, the one to use: the first that was kept. CR001 invalid argument. For mana_service and mana_ops.';

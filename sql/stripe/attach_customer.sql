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
  perform credits.check_text('customerId', p_customer_id, 255);
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

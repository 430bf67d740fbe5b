create or replace function stripe.forget_customer(
  p_user_id text, p_livemode boolean, p_customer_id text, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customer credits.stripe_customers;
begin
  perform credits.check_text('customerId', p_customer_id, 255);
  perform credits.lock_balance(p_user_id);
  -- Whoever comes second finds another one, or none: it is forgotten once.
  update credits.stripe_customers c
  set customer_id = null, created_at = p_now
  where c.user_id = p_user_id and c.livemode = p_livemode and c.customer_id = p_customer_id;
  select * into v_customer
  from credits.stripe_customers c
  where c.user_id = p_user_id and c.livemode = p_livemode;
  if not found then
    perform credits.invalid('userId', 'has never begun a purchase');
  end if;
  return jsonb_build_object(
    'customerId', v_customer.customer_id, 'customerSince', credits.iso8601(v_customer.created_at)
  );
end
$$;

comment on function stripe.forget_customer(text, boolean, text, timestamptz) is
  'Forgets a Stripe customer that Stripe no longer has (somebody deleted it), so that the user gets another one. Answers { customerId, customerSince } as they are now: customerId is null, or the one that somebody else has made since. CR001 invalid argument. For mana_service and mana_ops.';

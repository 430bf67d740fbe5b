create or replace function stripe.due_refunds(
  p_livemode boolean, p_now timestamptz default now(), p_limit integer default 50
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer jsonb;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 1000');
  end if;
  with due as (
    select r.user_id, r.id, p.payment_intent_id
    from credits.refund_requests r
    join credits.purchases p on p.user_id = r.user_id and p.id = r.purchase_id
    where r.next_attempt_at <= p_now and p.livemode = p_livemode
    order by r.next_attempt_at
    limit p_limit
    for no key update of r skip locked
  ), claimed as (
    update credits.refund_requests r
    set attempts = r.attempts + 1, next_attempt_at = p_now + interval '15 minutes'
    from due
    where r.user_id = due.user_id and r.id = due.id
    returning r.id, r.purchase_id, r.amount_euro_cents, due.payment_intent_id
  )
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'requestId', c.id,
        'purchaseId', c.purchase_id,
        'paymentIntentId', c.payment_intent_id,
        'amountEuroCents', c.amount_euro_cents
      )
      order by c.id
    ),
    '[]'
  )
  into v_answer
  from claimed c;
  return v_answer;
end
$$;

comment on function stripe.due_refunds(boolean, timestamptz, integer) is
  'Refunds asked for by hand that Stripe hasn''t been told of, at most p_limit (1 to 1,000): [{ requestId, purchaseId, paymentIntentId, amountEuroCents }]; handed out again after 15 minutes unless stripe.close_refund has closed them. CR001 limit. For mana_service and mana_ops.';

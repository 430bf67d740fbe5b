create or replace function stripe.give_up_purchase(p_purchase_id uuid, p_now timestamptz default now())
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
  -- With Stripe, 30 days: SEPA takes 14 business days at most. Without, as long as the request may still be repeated.
  if v_before.paid_at is null and v_before.created_at <= p_now - (
    case
      when v_before.payment_intent_id is null and v_before.checkout_session_id is null then interval '1 day'
      else interval '30 days'
    end
  ) then
    v_purchase.cancelled_at := greatest(v_purchase.cancelled_at, p_now);
    v_purchase.next_check_at := null;
    v_purchase := stripe.settle_purchase(v_before, v_purchase, p_now);
  end if;
  return credits.purchase_json(v_purchase);
end
$$;

comment on function stripe.give_up_purchase(uuid, timestamptz) is
  'Cancels a purchase that nothing came of: a day old and unknown to Stripe, or 30 days old and unpaid; any other stays as it is. Money that comes in later is credited all the same. Answers the purchase. CR303 no such purchase. For mana_service and mana_ops.';

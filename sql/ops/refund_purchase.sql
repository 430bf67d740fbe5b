create or replace function ops.refund_purchase(
  p_purchase_id uuid,
  p_who text,
  p_why text,
  p_amount_euro_cents bigint default null,
  p_now timestamptz default now()
)
returns credits.refund_requests
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_who text := btrim(p_who, e' \t\r\n');
  v_why text := btrim(p_why, e' \t\r\n');
  v_purchase credits.purchases;
  v_request credits.refund_requests;
  v_left bigint;
  v_amount bigint;
begin
  perform ops.check_who_and_why(v_who, v_why);
  v_purchase := stripe.lock_purchase(p_purchase_id);
  if v_purchase.id is null then
    perform stripe.no_such_purchase(p_purchase_id);
  end if;
  v_left := stripe.refundable_euro_cents(v_purchase);
  v_amount := coalesce(p_amount_euro_cents, greatest(v_left, 1));
  perform credits.check_amount('amountEuroCents', v_amount);
  if v_amount > v_left then
    raise exception using
      errcode = 'CR306',
      message = format('Of this payment %s euro cents can be refunded.', v_left),
      detail = jsonb_build_object(
        'purchaseId', p_purchase_id, 'purchaseStatus', v_purchase.status, 'refundable', v_left
      );
  end if;

  insert into credits.refund_requests (
    user_id, purchase_id, amount_euro_cents, who, why, next_attempt_at, created_at
  )
  values (v_purchase.user_id, v_purchase.id, v_amount, v_who, v_why, p_now, p_now)
  returning * into v_request;
  return v_request;
end
$$;

comment on function ops.refund_purchase(uuid, text, text, bigint, timestamptz) is
  'A goodwill refund: has the worker give money of a payment back through Stripe, all that is left of it or p_amount_euro_cents, signed with who and why. The credits go with it once Stripe reports the refund; ops.grant gives some back if the person is to keep them. Returns the request. CR001 invalid argument, CR303 no such purchase, CR306 more than is left of the payment. For mana_ops.';

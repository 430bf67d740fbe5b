create or replace function stripe.settle_purchase(
  p_before credits.purchases, p_purchase credits.purchases, p_now timestamptz
)
returns credits.purchases
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_purchase credits.purchases := p_purchase;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_change bigint;
begin
  if v_purchase.paid_at is not null and v_purchase.transaction_id is null then
    v_posting.type := 'purchase';
    v_posting.amount := v_purchase.credits;
    v_posting.counter_account := 'stripe';
    v_posting.description := (select k.name from credits.packages k where k.id = v_purchase.package_id);
    v_posting.metadata := jsonb_build_object('purchaseId', v_purchase.id, 'packageId', v_purchase.package_id);
    v_posting.caller := 'stripe';
    v_transaction := credits.post(credits.lock_balance(v_purchase.user_id), v_posting, p_now);
    v_purchase.transaction_id := v_transaction.id;
    v_purchase.credits_kept := v_purchase.credits;
    v_purchase.completed_at := p_now;
    v_purchase.next_check_at := null;
  end if;

  -- What the books say and what the facts say, brought together.
  v_change := stripe.credits_to_keep(v_purchase) - v_purchase.credits_kept;
  v_purchase.credits_kept := v_purchase.credits_kept + v_change;
  v_purchase.status := stripe.status(v_purchase);
  if v_purchase is not distinct from p_before then
    return v_purchase;
  end if;
  v_purchase.updated_at := p_now;

  update credits.purchases p
  set
    payment_intent_id = v_purchase.payment_intent_id,
    checkout_session_id = v_purchase.checkout_session_id,
    checkout_url = v_purchase.checkout_url,
    paid_at = v_purchase.paid_at,
    processing_at = v_purchase.processing_at,
    failed_at = v_purchase.failed_at,
    cancelled_at = v_purchase.cancelled_at,
    charge_refunded_euro_cents = v_purchase.charge_refunded_euro_cents,
    refunded_euro_cents = v_purchase.refunded_euro_cents,
    disputed_euro_cents = v_purchase.disputed_euro_cents,
    dispute = v_purchase.dispute,
    status = v_purchase.status,
    credits_kept = v_purchase.credits_kept,
    transaction_id = v_purchase.transaction_id,
    completed_at = v_purchase.completed_at,
    next_check_at = v_purchase.next_check_at,
    updated_at = v_purchase.updated_at
  where p.user_id = v_purchase.user_id and p.id = v_purchase.id;

  if v_change < 0 then
    perform stripe.take_back(v_purchase, -v_change, p_now);
  elsif v_change > 0 then
    perform stripe.give_back(v_purchase, v_change, p_now);
  end if;
  perform stripe.emit_changes(p_before, v_purchase, p_now);
  return v_purchase;
end
$$;

comment on function stripe.settle_purchase(credits.purchases, credits.purchases, timestamptz) is
  'Writes a purchase''s new facts and makes the books agree with them: credits it once when it is paid, takes back or returns the difference. p_before is the purchase as it was, p_purchase with the new facts. The caller holds the lock. Internal.';

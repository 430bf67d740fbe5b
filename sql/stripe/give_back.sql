create or replace function stripe.give_back(p_purchase credits.purchases, p_amount bigint, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cancelled bigint := least(p_amount, credits.open_debt(p_purchase.user_id, p_purchase.id));
  v_posting credits.posting;
begin
  if v_cancelled > 0 then
    perform credits.change_debt(p_purchase.user_id, p_purchase.id, 'cancelled', -v_cancelled, null, p_now);
  end if;
  if p_amount > v_cancelled then
    v_posting.type := 'adjustment';
    v_posting.amount := p_amount - v_cancelled;
    v_posting.counter_account := 'stripe';
    v_posting.description := 'A payment that was taken back came in after all';
    v_posting.metadata := jsonb_build_object('purchaseId', p_purchase.id);
    v_posting.related_transaction_id := p_purchase.transaction_id;
    v_posting.caller := 'stripe';
    perform credits.post(credits.lock_balance(p_purchase.user_id), v_posting, p_now);
  end if;
end
$$;

comment on function stripe.give_back(credits.purchases, bigint, timestamptz) is
  'Returns credits of a purchase that had been taken back: cancels what is still owed for it first, then puts the rest on the balance. The caller holds the lock. Internal.';

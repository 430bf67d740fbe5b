create or replace function gifts.post(
  p_gift gifts.gift_codes, p_user_id text, p_posting credits.posting, p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting := p_posting;
begin
  v_posting.type := 'gift';
  v_posting.counter_account := 'gifts';
  -- The id, not the code: the ledger is read by people whom nobody gave a gift.
  v_posting.metadata := jsonb_build_object('giftId', p_gift.id);
  if p_user_id = p_gift.creator_id then
    v_posting.related_transaction_id := p_gift.escrow_transaction_id;
  end if;
  return credits.post(credits.lock_balance(p_user_id), v_posting, p_now);
end
$$;

comment on function gifts.post(gifts.gift_codes, text, credits.posting, timestamptz) is
  'One ledger row between a user and the escrow account of gifts: the posting''s amount, description, app_id, idempotency_key and caller. The caller holds the locks and has checked. Internal.';

create or replace function gifts.give_back(
  p_gift gifts.gift_codes, p_status text, p_caller text, p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting;
  v_transaction credits.transactions;
begin
  v_posting.amount := p_gift.total_credits;
  v_posting.description := format('Gift %s, credits returned', p_status);
  v_posting.caller := p_caller;
  v_transaction := gifts.post(p_gift, p_gift.creator_id, v_posting, p_now);
  update gifts.gift_codes g
  set status = p_status, closed_at = p_now, return_transaction_id = v_transaction.id
  where g.id = p_gift.id;
  perform credits.emit(
    p_gift.creator_id,
    'gift.' || p_status,
    jsonb_build_object('giftId', p_gift.id, 'credits', p_gift.total_credits, 'transactionId', v_transaction.id),
    p_now
  );
  return v_transaction;
end
$$;

comment on function gifts.give_back(gifts.gift_codes, text, text, timestamptz) is
  'Returns a gift''s credits to its creator and closes it as expired or cancelled. The caller holds the creator''s balance and the gift, and has checked that it is active. Internal.';

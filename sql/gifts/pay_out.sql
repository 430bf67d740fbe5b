create or replace function gifts.pay_out(
  p_gift gifts.gift_codes, p_user_id text, p_posting credits.posting, p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting := p_posting;
  v_transaction credits.transactions;
begin
  v_posting.amount := p_gift.total_credits;
  v_posting.description := 'Gift received';
  v_transaction := gifts.post(p_gift, p_user_id, v_posting, p_now);
  insert into gifts.gift_redemptions (gift_id, user_id, transaction_id, source_app_id, redeemed_at)
  values (p_gift.id, p_user_id, v_transaction.id, v_posting.app_id, p_now);
  update gifts.gift_codes g
  set status = 'redeemed', closed_at = p_now
  where g.id = p_gift.id;

  -- To both sides. Neither learns who the other is beyond the name the giver signed with.
  perform credits.emit(
    p_gift.creator_id,
    'gift.redeemed',
    jsonb_build_object('giftId', p_gift.id, 'side', 'creator', 'credits', p_gift.total_credits),
    p_now
  );
  perform credits.emit(
    p_user_id,
    'gift.redeemed',
    jsonb_build_object(
      'giftId', p_gift.id,
      'side', 'redeemer',
      'credits', p_gift.total_credits,
      'creatorName', p_gift.creator_name,
      'message', p_gift.message,
      'transactionId', v_transaction.id
    ),
    p_now
  );
  return v_transaction;
end
$$;

comment on function gifts.pay_out(gifts.gift_codes, text, credits.posting, timestamptz) is
  'Pays a gift to a user and closes it; the posting says app_id, idempotency_key and caller. The caller holds both balances and the gift, and has checked that the user may have it. Internal.';

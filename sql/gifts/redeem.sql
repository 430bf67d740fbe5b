create or replace function gifts.redeem(
  p_user_id text,
  p_code text,
  p_email text default null,
  p_email_verified boolean default null,
  p_source_app_id text default null,
  p_idempotency_key text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code text := gifts.normal_code(p_code);
  v_request jsonb;
  v_gift gifts.gift_codes;
  v_answer jsonb;
  v_posting credits.posting;
  v_transaction credits.transactions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_source_app_id is not null then
    perform credits.check_text('sourceAppId', p_source_app_id, 64);
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;
  perform gifts.check_misses('user ' || p_user_id, 10, p_now);
  select * into v_gift from gifts.gift_codes g where g.code = v_code;
  if not found then
    -- Answered, not raised: an error would undo the counting.
    perform gifts.count_miss('user ' || p_user_id, p_now);
    return jsonb_build_object('found', false);
  end if;

  -- Before any lock, since a closed gift stays closed: who can't have it keeps nobody waiting.
  v_request := jsonb_build_array('gifts.redeem', v_gift.id, p_source_app_id);
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform gifts.check_redeemable(v_gift, p_email, p_email_verified, p_now);

  -- The giver's too, for the event that tells them.
  perform gifts.lock_balances(array[v_gift.creator_id, p_user_id]);
  select * into strict v_gift from gifts.gift_codes g where g.id = v_gift.id for no key update;
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform gifts.check_redeemable(v_gift, p_email, p_email_verified, p_now);

  v_posting.app_id := p_source_app_id;
  v_posting.idempotency_key := p_idempotency_key;
  v_posting.caller := p_caller;
  v_transaction := gifts.pay_out(v_gift, p_user_id, v_posting, p_now);
  v_answer := jsonb_build_object(
    'found', true,
    'giftId', v_gift.id,
    'transactionId', v_transaction.id,
    'creditsReceived', v_gift.total_credits,
    'newBalance', credits.spendable(p_user_id),
    'message', v_gift.message,
    'creatorName', v_gift.creator_name
  );
  perform credits.remember_answer(p_user_id, p_caller, p_idempotency_key, v_request, v_answer, p_now);
  return v_answer;
end
$$;

comment on function gifts.redeem(text, text, text, boolean, text, text, text, timestamptz) is
  'Pays a gift to a user, all of it, once. p_email and p_email_verified are what the user''s sign-in says: a personalized gift is only for its address, not marked unverified. The giver may redeem a simple gift too. Answers { found: true, giftId, transactionId, creditsReceived, newBalance, message, creatorName }, newBalance in credits that can be spent, replayed: true when the key was seen before; { found: false } when there is no such code, which a user may miss 10 times within a minute. CR001 invalid argument, CR003 key reused, CR202 redeemed or cancelled, CR203 expired, CR204 for somebody else, CR205 too many misses. For mana_service and mana_ops.';

create or replace function gifts.cancel(
  p_user_id text, p_gift_id uuid, p_caller text default session_user, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_gift gifts.gift_codes;
begin
  select * into v_gift from gifts.gift_codes g where g.id = p_gift_id and g.creator_id = p_user_id;
  if not found then
    raise exception using
      errcode = 'CR201', message = 'You gave no such gift.',
      detail = jsonb_build_object('giftId', p_gift_id);
  end if;
  perform credits.lock_balance(p_user_id);
  select * into strict v_gift from gifts.gift_codes g where g.id = p_gift_id for no key update;
  perform gifts.check_active(v_gift, p_now);
  perform gifts.give_back(v_gift, 'cancelled', p_caller, p_now);
  return jsonb_build_object(
    'giftId', p_gift_id,
    'refundedCredits', v_gift.total_credits,
    'newBalance', credits.spendable(p_user_id)
  );
end
$$;

comment on function gifts.cancel(text, uuid, text, timestamptz) is
  'Takes back a gift that nobody has redeemed: its credits return to the user who gave it, its code is void. Answers { giftId, refundedCredits, newBalance }, newBalance in credits that can be spent. CR201 no such gift of this user, CR202 redeemed or cancelled, CR203 expired (the credits come back by themselves). For mana_service and mana_ops.';

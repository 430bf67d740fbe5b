create or replace function gifts.look_up(
  p_code text, p_client inet default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_guesser text := gifts.guesser(p_client);
  v_gift gifts.gift_codes;
begin
  if v_guesser is not null then
    perform gifts.check_misses(v_guesser, 30, p_now);
  end if;
  select * into v_gift from gifts.gift_codes g where g.code = gifts.normal_code(p_code);
  if not found then
    -- Answered, not raised: an error would undo the counting.
    if v_guesser is not null then
      perform gifts.count_miss(v_guesser, p_now);
    end if;
    return jsonb_build_object('found', false);
  end if;
  return jsonb_build_object(
    'found', true,
    'gift', jsonb_build_object(
      'code', gifts.shown_code(v_gift.code),
      'type', v_gift.type,
      'status', gifts.status(v_gift, p_now),
      'totalCredits', v_gift.total_credits,
      'redeemed', v_gift.status = 'redeemed',
      'isPersonalized', v_gift.type = 'personalized',
      'message', v_gift.message,
      'creatorName', v_gift.creator_name,
      'expiresAt', credits.iso8601(v_gift.expires_at)
    )
  );
end
$$;

comment on function gifts.look_up(text, inet, timestamptz) is
  'What a code shows to anybody who has it: { found: true, gift: { code, type, status, totalCredits, redeemed, isPersonalized, message, creatorName, expiresAt } }, never an address or a user id; { found: false } when there is none. A client address (an IPv6 /64) has 30 misses within a minute; p_client null isn''t counted. CR205 too many misses. For mana_service and mana_ops.';

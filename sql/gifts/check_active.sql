create or replace function gifts.check_active(p_gift gifts.gift_codes, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status text := gifts.status(p_gift, p_now);
begin
  if v_status = 'expired' then
    raise exception using
      errcode = 'CR203',
      message = format(
        'The gift expired on %s; its credits go back to who gave it.',
        to_char(p_gift.expires_at at time zone 'UTC', 'YYYY-MM-DD')
      ),
      detail = jsonb_build_object('expiresAt', credits.iso8601(p_gift.expires_at));
  end if;
  if v_status <> 'active' then
    raise exception using
      errcode = 'CR202',
      message = format('The gift is %s already.', v_status),
      detail = jsonb_build_object('giftStatus', v_status);
  end if;
end
$$;

comment on function gifts.check_active(gifts.gift_codes, timestamptz) is
  'Raises CR203 when the gift is expired, CR202 when it is redeemed or cancelled. Internal.';

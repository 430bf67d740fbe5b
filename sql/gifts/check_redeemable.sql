create or replace function gifts.check_redeemable(
  p_gift gifts.gift_codes, p_email text, p_email_verified boolean, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform gifts.check_active(p_gift, p_now);
  if p_gift.type = 'personalized'
     and (gifts.normal_email(p_email) is distinct from p_gift.target_email or p_email_verified is false) then
    raise exception using
      errcode = 'CR204',
      message = 'The gift is for somebody else: sign in with the e-mail address it was sent to, and confirm it.',
      detail = '{}';
  end if;
end
$$;

comment on function gifts.check_redeemable(gifts.gift_codes, text, boolean, timestamptz) is
  'Raises CR203 expired, CR202 redeemed or cancelled, CR204 personalized for another address or for one that is marked unverified. Internal.';

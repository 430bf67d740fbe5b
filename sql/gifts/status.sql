create or replace function gifts.status(p_gift gifts.gift_codes, p_now timestamptz)
returns text
language sql
immutable
return case when p_gift.status = 'active' and p_gift.expires_at <= p_now then 'expired' else p_gift.status end;

comment on function gifts.status(gifts.gift_codes, timestamptz) is
  'A gift''s state at a time: past its expiry it is expired, swept or not. Internal.';

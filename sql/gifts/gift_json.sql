create or replace function gifts.gift_json(p_gift gifts.gift_codes, p_now timestamptz)
returns jsonb
language sql
immutable
return jsonb_build_object(
  'id', p_gift.id,
  'code', gifts.shown_code(p_gift.code),
  'type', p_gift.type,
  'status', gifts.status(p_gift, p_now),
  'totalCredits', p_gift.total_credits,
  'redeemed', p_gift.status = 'redeemed',
  'targetEmail', p_gift.target_email,
  'message', p_gift.message,
  'expiresAt', credits.iso8601(p_gift.expires_at),
  'createdAt', credits.iso8601(p_gift.created_at),
  'closedAt', credits.iso8601(p_gift.closed_at)
);

comment on function gifts.gift_json(gifts.gift_codes, timestamptz) is
  'A gift as its creator sees it, and nobody else: it holds the address it is meant for. Internal.';

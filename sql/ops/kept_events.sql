create or replace function ops.kept_events()
returns table (
  event_id text,
  type text,
  reason text,
  detail text,
  payment_intent_id text,
  purchase_id uuid,
  user_id text,
  attempts integer,
  next_attempt_at timestamptz,
  received_at timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    e.id, e.type, e.reason, e.detail, e.payment_intent_id, e.purchase_id, e.user_id, e.attempts, e.next_attempt_at,
    e.received_at
  from credits.stripe_events e
  where e.outcome = 'kept'
  order by e.received_at, e.id;
$$;

comment on function ops.kept_events() is
  'Stripe''s events that couldn''t be applied, oldest first, and why; without next_attempt_at nobody tries any more but ops.retry_event. For mana_service, mana_ops and mana_readonly.';

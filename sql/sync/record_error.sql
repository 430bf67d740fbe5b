create or replace function sync.record_error(p_user_id text, p_sqlstate text, p_message text, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into credits.sync_charge_errors as e (
    user_id, period_start, sqlstate, message, attempts, first_failed_at, last_failed_at, next_attempt_at
  )
  values (
    p_user_id,
    (select s.next_charge_at from credits.sync_subscriptions s where s.user_id = p_user_id),
    p_sqlstate, left(p_message, 1000), 1, p_now, p_now, p_now + interval '1 hour'
  )
  on conflict (user_id) do update
  set
    period_start = excluded.period_start,
    sqlstate = excluded.sqlstate,
    message = excluded.message,
    attempts = e.attempts + 1,
    last_failed_at = excluded.last_failed_at,
    -- 1, 2, 4, 8, 16 hours, then once a day: what is broken wants a person, and is tried in case one came.
    next_attempt_at = p_now + least(interval '1 hour' * 2 ^ least(e.attempts, 5), interval '1 day');
$$;

comment on function sync.record_error(text, text, text, timestamptz) is
  'Records a subscription that can''t be charged, and when to try again. Internal.';

create or replace function credits.settle(p_user_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.pay_debts(p_user_id, p_now);
  perform sync.resume_by_itself(p_user_id, p_now);
end
$$;

comment on function credits.settle(text, timestamptz) is
  'What waits for credits gets them, now that a user can spend more than before, whatever brought it: debts first, then sync paused for want of credits goes on if its owner chose so. Called by whatever raises balance - held, in the same transaction and under the balance''s lock; the balance may be lower afterwards. Internal.';

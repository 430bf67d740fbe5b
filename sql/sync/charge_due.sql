create or replace function sync.charge_due(
  p_now timestamptz default now(), p_limit integer default 1000, p_caller text default session_user
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids text[];
  v_due text[];
  -- Due, and their balances in use: this call does without them.
  v_busy text[] := '{}';
  v_pass record;
  v_charged bigint := 0;
  v_paused bigint := 0;
  v_errors bigint := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;

  -- A pass charges one period a user, the longest due first; whoever owes several is due again in the next one.
  while v_charged + v_paused + v_errors < p_limit loop
    -- Nothing waits here, so no order of locks can make a circle: what another run has, it charges, and whose balance
    -- is in use is still due at the next run. The subscription's lock shares the queue out among runs at the same
    -- time; the balance's lock is what guards balance and subscription both.
    v_due := array(
      select s.user_id
      from credits.sync_subscriptions s
      where s.next_charge_at <= p_now
        and not exists (
          select from credits.sync_charge_errors e where e.user_id = s.user_id and e.next_attempt_at > p_now
        )
        and s.user_id <> all (v_busy)
      order by s.next_charge_at
      limit p_limit - v_charged - v_paused - v_errors
      for no key update of s skip locked
    );
    exit when cardinality(v_due) = 0;
    v_user_ids := array(
      select b.user_id from credits.balances b where b.user_id = any (v_due) for no key update skip locked
    );
    if cardinality(v_user_ids) < cardinality(v_due) then
      v_busy := v_busy || array(select unnest(v_due) except select unnest(v_user_ids));
    end if;
    continue when cardinality(v_user_ids) = 0;

    select * into v_pass from sync.charge_users(v_user_ids, p_caller, p_now);
    v_charged := v_charged + v_pass.o_charged;
    v_paused := v_paused + v_pass.o_paused;
    v_errors := v_errors + v_pass.o_errors;
    exit when v_pass.o_charged + v_pass.o_paused + v_pass.o_errors = 0;
  end loop;

  if v_charged + v_paused + v_errors < p_limit then
    begin
      perform sync.warn_at_risk(p_now, p_limit);
    exception when others then
      -- What has been charged stays charged.
      if credits.is_passing_trouble(sqlstate) then
        raise;
      end if;
      raise warning 'sync.warn_at_risk failed (%): %', sqlstate, sqlerrm;
    end;
  end if;
  return jsonb_build_object(
    'charged', v_charged, 'paused', v_paused, 'errors', v_errors, 'total', v_charged + v_paused + v_errors
  );
end
$$;

comment on function sync.charge_due(timestamptz, integer, text) is
  'Charges Cloud Sync that is due, at most p_limit (1 to 10,000) periods in this transaction, each elapsed period once, the longest due first; pauses where the spendable credits don''t suffice; records and passes what is broken (tried again later, see ops.sync_errors()); when nothing is left, warns whose charge within three days can''t be met. Skips who is locked by somebody else. Safe to run at any time and several at once. Answers { charged, paused, errors, total }, numbers of periods; call again until total is below p_limit. CR001 limit. For mana_service and mana_ops.';

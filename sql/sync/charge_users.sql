create or replace function sync.charge_users(
  p_user_ids text[], p_caller text, p_now timestamptz, out o_charged bigint, out o_paused bigint, out o_errors bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_middle integer := cardinality(p_user_ids) / 2;
begin
  begin
    select b.o_charged, b.o_paused, 0
    into o_charged, o_paused, o_errors
    from sync.charge_batch(p_user_ids, p_caller, p_now) b;
    return;
  exception when others then
    if credits.is_passing_trouble(sqlstate) then
      raise;
    end if;
    if v_middle = 0 then
      perform sync.record_error(p_user_ids[1], sqlstate, sqlerrm, p_now);
    end if;
  end;
  if v_middle = 0 then
    o_charged := 0;
    o_paused := 0;
    o_errors := 1;
    return;
  end if;

  -- The batch is undone because of somebody in it. Halve until the one who can't be charged is alone: a broken row
  -- in a thousand costs twenty calls, and the depth is the logarithm of the batch.
  select sum(h.o_charged), sum(h.o_paused), sum(h.o_errors)
  into o_charged, o_paused, o_errors
  from (values (p_user_ids[:v_middle]), (p_user_ids[v_middle + 1:])) half (user_ids),
    sync.charge_users(half.user_ids, p_caller, p_now) h;
end
$$;

comment on function sync.charge_users(text[], text, timestamptz) is
  'sync.charge_batch for users of whom some may be broken: those are recorded and passed, the others charged. Answers how many of each. Errors of the server, not of a row, end it. Internal to sync.charge_due.';

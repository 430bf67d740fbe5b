create or replace function credits.free_caps(p_holds credits.reservations[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_freed record;
begin
  for v_freed in
    select
      k.first_id,
      (h.created_at at time zone 'UTC')::date as day,
      sum(h.amount - coalesce(h.committed_amount, 0)) as amount
    from unnest(p_holds) h
    join credits.service_keys k on k.id = h.service_key_id
    group by 1, 2
    order by 1, 2
  loop
    update credits.service_key_days d
    set spent = d.spent - v_freed.amount
    where d.key_id = v_freed.first_id and d.day = v_freed.day;
  end loop;
end
$$;

comment on function credits.free_caps(credits.reservations[]) is
  'Gives what closed holds didn''t charge (all but committed_amount) back to the caps they were counted against, to the day of the hold: what was held yesterday leaves no more for today. After the balances, in the order of credits.lock_caps. Internal.';

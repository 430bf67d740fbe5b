create or replace function gifts.count_miss(p_guesser text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into gifts.misses as m (guesser, missed_at, last_missed_at)
  values (p_guesser, array[p_now], p_now)
  on conflict (guesser) do update
  set
    missed_at = array(
      select t.missed_at from unnest(m.missed_at) t (missed_at) where t.missed_at > p_now - interval '1 minute'
    ) || p_now,
    last_missed_at = p_now;

  -- One in, up to two out: the table never outgrows a minute's misses.
  delete from gifts.misses m
  where m.guesser in (
    select o.guesser
    from gifts.misses o
    where o.last_missed_at <= p_now - interval '1 minute'
    order by o.last_missed_at
    limit 2
    for update skip locked
  );
end
$$;

comment on function gifts.count_miss(text, timestamptz) is
  'Remembers that a guesser asked for a code that doesn''t exist. gifts.check_misses comes first, in the same transaction, which must commit: a miss is answered, never raised. Internal.';

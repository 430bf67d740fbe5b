create or replace function gifts.check_misses(p_guesser text, p_allowed integer, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missed_at timestamptz[];
  v_retry_after integer;
begin
  -- One look at a time for each guesser, until the miss, if it is one, is counted: a hundred guesses sent at
  -- once are no way round. Not a row lock: most who come here have no row, and hits write none.
  perform pg_advisory_xact_lock(hashtextextended('gifts.misses ' || p_guesser, 0));
  select array(
    select t.missed_at
    from gifts.misses m, unnest(m.missed_at) t (missed_at)
    where m.guesser = p_guesser and t.missed_at > p_now - interval '1 minute'
    order by t.missed_at
  ) into v_missed_at;
  if cardinality(v_missed_at) >= p_allowed then
    -- Until the oldest of the last p_allowed misses is a minute old.
    v_retry_after := least(60, greatest(1, ceil(extract(
      epoch from v_missed_at[cardinality(v_missed_at) - p_allowed + 1] + interval '1 minute' - p_now
    ))));
    raise exception using
      errcode = 'CR205',
      message = format(
        'Too many codes that don''t exist. Wait %s s, and type the code as it was sent.', v_retry_after
      ),
      detail = jsonb_build_object('retryAfterSeconds', v_retry_after);
  end if;
end
$$;

comment on function gifts.check_misses(text, integer, timestamptz) is
  'Raises CR205 when this guesser missed p_allowed (at most 30) times within the last minute, else lets nobody else with the same name look until the transaction ends. Internal.';

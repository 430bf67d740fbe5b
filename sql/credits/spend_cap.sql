create or replace function credits.spend_cap(p_key_id uuid, p_amount bigint, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select credits.write_caps(
    credits.count_against_caps(credits.lock_caps(array[p_key_id], p_now), p_key_id, p_amount)
  );
$$;

comment on function credits.spend_cap(uuid, bigint, timestamptz) is
  'Counts one debit or hold against the daily cap of the key it comes through, if it has one. After the balance''s lock. CR403 more than the cap has left. Internal.';

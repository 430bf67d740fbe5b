create or replace function credits.count_against_caps(p_caps credits.cap_count[], p_key_id uuid, p_amount bigint)
returns credits.cap_count[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_caps credits.cap_count[] := p_caps;
  v_cap credits.cap_count;
begin
  for v_n in 1..cardinality(v_caps) loop
    v_cap := v_caps[v_n];
    -- null for most: no key, or none with a cap
    continue when coalesce(p_key_id <> all (v_cap.key_ids), true);
    if v_cap.spent + p_amount > v_cap.cap then
      raise exception using
        errcode = 'CR403',
        message = format(
          'This service key may spend %s credits a day: %s are spent, %s were asked for. The day ends at midnight UTC.',
          v_cap.cap, v_cap.spent, p_amount
        ),
        detail = jsonb_build_object(
          'cap', v_cap.cap, 'spent', v_cap.spent, 'retryAfterSeconds', v_cap.resets_in_seconds
        );
    end if;
    v_caps[v_n].spent := v_cap.spent + p_amount;
  end loop;
  return v_caps;
end
$$;

comment on function credits.count_against_caps(credits.cap_count[], uuid, bigint) is
  'The caps with this much more spent through a key; unchanged where the key has none. CR403 more than the key''s cap has left. Writes nothing: credits.write_caps does. Internal.';

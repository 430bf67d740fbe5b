create or replace function stripe.unseen_events(p_event_ids jsonb)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if (case when jsonb_typeof(p_event_ids) = 'array' then jsonb_array_length(p_event_ids) else 1001 end) > 1000 then
    perform credits.invalid('eventIds', 'must be an array of at most 1000 ids');
  end if;
  return (
    select coalesce(jsonb_agg(i.value order by i.ordinality), '[]')
    from jsonb_array_elements(p_event_ids) with ordinality i
    where not exists (
      select
      from credits.stripe_events e
      where e.id = i.value #>> '{}' and e.reason is distinct from 'api_version_mismatch'
    )
  );
end
$$;

comment on function stripe.unseen_events(jsonb) is
  'Of these event ids (an array, at most 1,000), those to be read from Stripe: never delivered here, or in a version of the API that isn''t ours. CR001 not such an array. For mana_service and mana_ops.';

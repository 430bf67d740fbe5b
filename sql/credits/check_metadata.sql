create or replace function credits.check_metadata(p_metadata jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_metadata is null then
    return;
  end if;
  if jsonb_typeof(p_metadata) <> 'object' then
    perform credits.invalid('metadata', 'must be a JSON object');
  end if;
  if octet_length(p_metadata::text) > 8192 then
    perform credits.invalid('metadata', 'must be at most 8 KiB of JSON');
  end if;
end
$$;

comment on function credits.check_metadata(jsonb) is
  'Raises CR001 unless the metadata is absent or a JSON object of at most 8 KiB. Internal.';

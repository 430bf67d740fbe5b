create or replace function credits.check_text(p_path text, p_value text, p_max integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_value is null or char_length(p_value) not between 1 and p_max then
    perform credits.invalid(p_path, format('must be 1 to %s characters', p_max));
  end if;
end
$$;

comment on function credits.check_text(text, text, integer) is
  'Raises CR001 unless the value has 1 to p_max characters. Internal.';

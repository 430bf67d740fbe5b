create or replace function ops.check_who_and_why(p_who text, p_why text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('who', btrim(p_who, e' \t\r\n'), 128);
  perform credits.check_text('why', btrim(p_why, e' \t\r\n'), 500);
end
$$;

comment on function ops.check_who_and_why(text, text) is
  'Raises CR001 unless somebody signs (1 to 128 characters) and says why (1 to 500), blanks around not counted. Internal.';

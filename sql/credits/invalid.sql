create or replace function credits.invalid(p_path text, p_message text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'CR001',
    message = btrim(format('%s %s', p_path, p_message)),
    detail = jsonb_build_object('issues', jsonb_build_array(
      jsonb_build_object('path', p_path, 'message', p_message)
    ));
end
$$;

comment on function credits.invalid(text, text) is
  'Raises CR001: an argument breaks a rule. The path is the argument''s name on the wire. Internal.';

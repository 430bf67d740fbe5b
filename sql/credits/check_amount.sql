create or replace function credits.check_amount(p_path text, p_amount bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_amount is null or p_amount not between 1 and 1000000000 then
    perform credits.invalid(p_path, 'must be a whole number from 1 to 1000000000');
  end if;
end
$$;

comment on function credits.check_amount(text, bigint) is
  'Raises CR001 unless the amount is 1 to 1,000,000,000 credits. Internal.';

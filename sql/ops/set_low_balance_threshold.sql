create or replace function ops.set_low_balance_threshold(
  p_credits bigint, p_who text, p_why text, p_now timestamptz default now()
)
returns credits.settings
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_settings credits.settings;
begin
  perform ops.check_who_and_why(p_who, p_why);
  if p_credits is not null then
    perform credits.check_amount('credits', p_credits);
  end if;
  update credits.settings
  set low_balance_threshold = p_credits, changed_by = p_who, changed_why = p_why, changed_at = p_now
  returning * into strict v_settings;
  return v_settings;
end
$$;

comment on function ops.set_low_balance_threshold(bigint, text, text, timestamptz) is
  'From now on a debit that takes a balance from this many credits or more to less emits credits.low_balance; null for never. Signed. Returns the settings. CR001 invalid argument. For mana_ops.';

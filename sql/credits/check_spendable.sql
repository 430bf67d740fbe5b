create or replace function credits.check_spendable(p_balance credits.balances, p_amount bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_available bigint := coalesce(p_balance.balance - p_balance.held, 0);
begin
  if v_available < p_amount then
    raise exception using
      errcode = 'CR002',
      message = format('Not enough credits: %s needed, %s available. Top up and try again.', p_amount, v_available),
      detail = jsonb_build_object('required', p_amount, 'available', v_available);
  end if;
end
$$;

comment on function credits.check_spendable(credits.balances, bigint) is
  'Raises CR002 unless the credits can be spent now: balance less holds. A balance that is null has none. Internal.';

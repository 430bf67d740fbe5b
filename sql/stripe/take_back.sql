create or replace function stripe.take_back(p_purchase credits.purchases, p_amount bigint, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances := credits.lock_balance(p_purchase.user_id);
  v_spendable bigint := least(p_amount, v_balance.balance - v_balance.held);
begin
  if v_spendable > 0 then
    perform credits.claw_back(
      v_balance, p_purchase.id, p_purchase.transaction_id, v_spendable, 'A payment was taken back', p_now
    );
  end if;
  -- Spent or held already: owed, and paid by the next credits that come in.
  if p_amount > v_spendable then
    perform credits.change_debt(
      p_purchase.user_id, p_purchase.id, 'incurred', p_amount - v_spendable, null, p_now
    );
  end if;
end
$$;

comment on function stripe.take_back(credits.purchases, bigint, timestamptz) is
  'Takes credits of a purchase back: what is spendable now, and the rest as a debt. The caller holds the lock. Internal.';

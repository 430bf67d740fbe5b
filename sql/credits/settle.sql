create or replace function credits.settle(p_user_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
  v_owed record;
  v_amount bigint;
  v_transaction credits.transactions;
begin
  v_balance := credits.lock_balance(p_user_id);
  if v_balance.debt = 0 then
    return;
  end if;
  -- Oldest debt first; a debt a payment, so as many rounds as payments that were taken back.
  for v_owed in
    select d.purchase_id, p.transaction_id, sum(d.amount)::bigint as amount
    from credits.debts d
    join credits.purchases p on p.user_id = d.user_id and p.id = d.purchase_id
    where d.user_id = p_user_id
    group by d.purchase_id, p.transaction_id
    having sum(d.amount) > 0
    order by min(d.created_at), d.purchase_id
  loop
    v_amount := least(v_owed.amount, v_balance.balance - v_balance.held);
    exit when v_amount = 0;
    v_transaction := credits.claw_back(
      v_balance, v_owed.purchase_id, v_owed.transaction_id, v_amount, 'Owed for a payment that was taken back', p_now
    );
    perform credits.change_debt(p_user_id, v_owed.purchase_id, 'paid', -v_amount, v_transaction.id, p_now);
    v_balance := credits.lock_balance(p_user_id);
  end loop;
end
$$;

comment on function credits.settle(text, timestamptz) is
  'What has first call on credits that became spendable: pays what the user owes, oldest first, as far as they go. Called when credits come in (credits.post) and when a hold is set free; the caller holds the lock and reads the balance anew after it. Internal.';

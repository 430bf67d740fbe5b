create or replace function credits.post(p_balance credits.balances, p_posting credits.posting, p_now timestamptz)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_transaction credits.transactions;
begin
  v_transaction.user_id := p_balance.user_id;
  v_transaction.seq := p_balance.version + 1;
  v_transaction.id := uuidv7();
  v_transaction.type := p_posting.type;
  v_transaction.amount := p_posting.amount;
  v_transaction.balance_before := p_balance.balance;
  v_transaction.balance_after := p_balance.balance + p_posting.amount;
  v_transaction.counter_account := p_posting.counter_account;
  v_transaction.app_id := p_posting.app_id;
  v_transaction.description := p_posting.description;
  v_transaction.metadata := p_posting.metadata;
  v_transaction.idempotency_key := p_posting.idempotency_key;
  v_transaction.related_transaction_id := p_posting.related_transaction_id;
  v_transaction.caller := p_posting.caller;
  v_transaction.created_at := p_now;
  v_transaction.hash := credits.transaction_hash(p_balance.head, v_transaction);

  insert into credits.transactions values (v_transaction.*);

  update credits.balances b
  set
    balance = v_transaction.balance_after,
    held = b.held - coalesce(p_posting.released, 0),
    total_earned = b.total_earned + greatest(p_posting.amount, 0),
    total_spent = b.total_spent + greatest(-p_posting.amount, 0),
    version = v_transaction.seq,
    head = v_transaction.hash,
    updated_at = p_now
  where b.user_id = p_balance.user_id;

  if p_posting.type = 'usage' then
    insert into credits.usage_stats as s (user_id, day, app_id, credits_used, count)
    values (
      v_transaction.user_id, (p_now at time zone 'UTC')::date, v_transaction.app_id, -v_transaction.amount, 1
    )
    on conflict (user_id, day, app_id) do update
    set credits_used = s.credits_used + excluded.credits_used, count = s.count + 1;
  end if;

  if p_posting.amount > 0 and p_balance.debt > 0 then
    perform credits.settle(p_balance.user_id, p_now);
  end if;
  return v_transaction;
end
$$;

comment on function credits.post(credits.balances, credits.posting, timestamptz) is
  'The one writer of the ledger: writes the row, the balance and the day''s usage, lets what comes in pay debts first (credits.settle), and returns the row. The caller holds the lock, passes the balance as it stands under it, and has checked that it suffices. Internal.';

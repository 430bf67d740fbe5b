create or replace function credits.change_debt(
  p_user_id text, p_purchase_id uuid, p_kind text, p_amount bigint, p_transaction_id uuid, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into credits.debts (user_id, purchase_id, kind, amount, transaction_id, created_at)
  values (p_user_id, p_purchase_id, p_kind, p_amount, p_transaction_id, p_now);
  update credits.balances b
  set debt = b.debt + p_amount, updated_at = p_now
  where b.user_id = p_user_id;
end
$$;

comment on function credits.change_debt(text, uuid, text, bigint, uuid, timestamptz) is
  'Writes a change of what a user owes for a purchase, in credits: incurred (more), paid with a clawback, or cancelled (less). The caller holds the balance''s lock. Internal.';

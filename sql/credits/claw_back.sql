create or replace function credits.claw_back(
  p_balance credits.balances,
  p_purchase_id uuid,
  p_transaction_id uuid,
  p_amount bigint,
  p_description text,
  p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting;
begin
  v_posting.type := 'clawback';
  v_posting.amount := -p_amount;
  v_posting.counter_account := 'stripe';
  v_posting.description := p_description;
  v_posting.metadata := jsonb_build_object('purchaseId', p_purchase_id);
  v_posting.related_transaction_id := p_transaction_id;
  v_posting.caller := 'stripe';
  return credits.post(p_balance, v_posting, p_now);
end
$$;

comment on function credits.claw_back(credits.balances, uuid, uuid, bigint, text, timestamptz) is
  'Takes credits of a purchase (its ledger row is p_transaction_id) back into the ledger''s stripe account. The caller holds the lock, passes the balance as it stands, and takes no more than is spendable. Internal.';

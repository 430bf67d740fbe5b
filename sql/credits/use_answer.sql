create or replace function credits.use_answer(
  p_transaction credits.transactions, p_balance credits.balances, p_amount bigint
)
returns jsonb
language sql
stable
return jsonb_build_object(
  'transaction', credits.transaction_json(p_transaction),
  'newBalance', jsonb_build_object(
    'balance', p_transaction.balance_after - p_balance.held,
    'totalSpent', p_balance.total_spent + p_amount
  )
);

comment on function credits.use_answer(credits.transactions, credits.balances, bigint) is
  'What a debit answers; the balance is the one before it. Internal.';

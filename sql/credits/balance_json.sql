create or replace function credits.balance_json(p_balance credits.balances)
returns jsonb
language sql
stable
return jsonb_build_object(
  'balance', p_balance.balance - p_balance.held,
  'held', p_balance.held,
  'debt', p_balance.debt,
  'totalEarned', p_balance.total_earned,
  'totalSpent', p_balance.total_spent
);

comment on function credits.balance_json(credits.balances) is
  'A balance as callers see it: balance is what can be spent now, holds taken off. Internal.';

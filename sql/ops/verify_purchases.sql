create or replace function ops.verify_purchases()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with refunds as (
    select
      r.user_id,
      r.purchase_id,
      sum(r.amount_euro_cents) as made,
      coalesce(sum(r.amount_euro_cents) filter (where r.failed), 0) as failed
    from credits.purchase_refunds r
    group by r.user_id, r.purchase_id
  ),
  disputes as (
    select
      d.user_id,
      d.purchase_id,
      sum(least(d.amount_euro_cents, greatest(0, d.withdrawn_euro_cents - d.reinstated_euro_cents))) as taken
    from credits.purchase_disputes d
    group by d.user_id, d.purchase_id
  ),
  ledger as (
    select t.user_id, coalesce(t.related_transaction_id, t.id) as transaction_id, sum(t.amount) as amount
    from credits.transactions t
    where t.counter_account = 'stripe'
    group by 1, 2
  ),
  debts as (
    select d.user_id, d.purchase_id, sum(d.amount) as amount
    from credits.debts d
    group by d.user_id, d.purchase_id
  ),
  checked as (
    select
      p.*,
      stripe.status(p) as expected_status,
      stripe.credits_to_keep(p) as expected_kept,
      greatest(0, greatest(p.charge_refunded_euro_cents, coalesce(r.made, 0)) - coalesce(r.failed, 0))
        as expected_refunded,
      coalesce(x.taken, 0) as expected_disputed,
      t.type as ledger_type,
      t.amount as ledger_credited,
      coalesce(l.amount, 0) as ledger_amount,
      coalesce(d.amount, 0) as debt
    from credits.purchases p
    left join refunds r on r.user_id = p.user_id and r.purchase_id = p.id
    left join disputes x on x.user_id = p.user_id and x.purchase_id = p.id
    left join credits.transactions t on t.user_id = p.user_id and t.id = p.transaction_id
    left join ledger l on l.user_id = p.user_id and l.transaction_id = p.transaction_id
    left join debts d on d.user_id = p.user_id and d.purchase_id = p.id
  )
  select
    'purchase_credit', c.user_id,
    format('purchase %s of %s credits: ledger row %s of %s', c.id, c.credits, c.ledger_type, c.ledger_credited)
  from checked c
  where c.paid_at is not null
    and (c.ledger_type is distinct from 'purchase' or c.ledger_credited is distinct from c.credits)
  union all
  -- Each payment credits once: no ledger row of a purchase that isn't exactly one purchase's.
  select 'purchase_once', t.user_id, format('ledger row %s credits %s purchases', t.id, count(p.id))
  from credits.transactions t
  left join credits.purchases p on p.user_id = t.user_id and p.transaction_id = t.id
  where t.type = 'purchase'
  group by t.user_id, t.id
  having count(p.id) <> 1
  union all
  -- Whatever else the ledger has of Stripe is of a purchase: taken back from it or given back to it.
  select
    'purchase_ledger', t.user_id,
    format('ledger row %s, %s of %s credits, is of no purchase', t.id, t.type, t.amount)
  from credits.transactions t
  left join credits.purchases p on p.user_id = t.user_id and p.transaction_id = t.related_transaction_id
  where t.counter_account = 'stripe' and t.type <> 'purchase' and p.id is null
  union all
  select
    'purchase_facts', c.user_id,
    format(
      'purchase %s: status %s, expected %s; refunded %s, expected %s; disputed %s, expected %s',
      c.id, c.status, c.expected_status, c.refunded_euro_cents, c.expected_refunded, c.disputed_euro_cents,
      c.expected_disputed
    )
  from checked c
  where c.status <> c.expected_status
    or c.refunded_euro_cents <> c.expected_refunded
    or c.disputed_euro_cents <> c.expected_disputed
  union all
  -- What the ledger gave less what is owed is what the rest of the payment is worth: never refunded beyond itself.
  select
    'purchase_kept', c.user_id,
    format(
      'purchase %s: %s credits to keep, %s kept, ledger %s, debt %s', c.id, c.expected_kept, c.credits_kept,
      c.ledger_amount, c.debt
    )
  from checked c
  where c.credits_kept <> c.expected_kept
    or c.credits_kept <> c.ledger_amount - c.debt
    or c.ledger_amount < 0
    or c.debt < 0
  union all
  select 'debt_sum', b.user_id, format('debt %s, debts add up to %s', b.debt, coalesce(d.amount, 0))
  from credits.balances b
  left join (select x.user_id, sum(x.amount) as amount from debts x group by x.user_id) d on d.user_id = b.user_id
  where b.debt <> coalesce(d.amount, 0)
  union all
  select 'debt_first', b.user_id, format('owes %s with %s spendable', b.debt, b.balance - b.held)
  from credits.balances b
  where b.debt > 0 and b.balance > b.held
  union all
  select 'debt_paid', d.user_id, format('debt row %s of %s: ledger %s of %s', d.id, d.amount, t.type, t.amount)
  from credits.debts d
  left join credits.transactions t on t.user_id = d.user_id and t.id = d.transaction_id
  where d.kind = 'paid' and (t.type is distinct from 'clawback' or t.amount is distinct from d.amount);
$$;

comment on function ops.verify_purchases() is
  'Invariant 5, the payments'' part: each paid purchase is credited exactly once, what the ledger has of it less what is owed is what the rest of its payment is worth, debts add up and come first, and a row of the ledger on Stripe''s account belongs to a purchase (purchase_ledger). Part of ops.verify().';

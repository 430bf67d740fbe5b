create or replace function ops.payment(p_id text)
returns table (at timestamptz, what text, id text, summary text, detail jsonb)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with named as (
    select p.id from credits.purchases p where p.id::text = p_id
    union
    select p.id from credits.purchases p where p.payment_intent_id = p_id or p.checkout_session_id = p_id
    union
    select r.purchase_id from credits.purchase_refunds r where r.id = p_id
    union
    select d.purchase_id from credits.purchase_disputes d where d.id = p_id
    union
    select e.purchase_id from credits.stripe_events e where e.id = p_id
  ),
  found as (
    select p.* from credits.purchases p join named n on n.id = p.id
  )
  select
    f.created_at, 'purchase', f.id::text,
    format(
      '%s: %s credits for %s euro cents by %s, %s kept', f.status, f.credits, f.price_euro_cents, f.user_id,
      f.credits_kept
    ),
    to_jsonb(f)
  from found f
  union all
  select
    t.created_at, 'ledger', t.id::text,
    format('%s %s, balance %s: %s', t.type, t.amount, t.balance_after, t.description),
    to_jsonb(t)
  from found f
  join credits.transactions t
    on t.user_id = f.user_id and (t.id = f.transaction_id or t.related_transaction_id = f.transaction_id)
  union all
  select d.created_at, 'debt', d.id::text, format('%s %s', d.kind, d.amount), to_jsonb(d)
  from found f
  join credits.debts d on d.user_id = f.user_id and d.purchase_id = f.id
  union all
  select
    r.created_at, 'refund', r.id,
    format('%s euro cents%s', r.amount_euro_cents, case when r.failed then ', failed' end),
    to_jsonb(r)
  from found f
  join credits.purchase_refunds r on r.user_id = f.user_id and r.purchase_id = f.id
  union all
  select
    d.created_at, 'dispute', d.id,
    format(
      '%s: %s euro cents, %s withdrawn, %s reinstated', coalesce(d.outcome, 'open'), d.amount_euro_cents,
      d.withdrawn_euro_cents, d.reinstated_euro_cents
    ),
    to_jsonb(d)
  from found f
  join credits.purchase_disputes d on d.user_id = f.user_id and d.purchase_id = f.id
  union all
  select
    q.created_at, 'refund request', q.id::text,
    format('%s: %s euro cents, %s: %s', q.status, q.amount_euro_cents, q.who, q.why),
    to_jsonb(q)
  from found f
  join credits.refund_requests q on q.user_id = f.user_id and q.purchase_id = f.id
  union all
  select e.received_at, 'event', e.id, format('%s, %s', e.type, coalesce(e.reason, e.outcome)), e.payload
  from credits.stripe_events e
  where e.id = p_id
    or e.payment_intent_id = p_id
    or e.purchase_id in (select f.id from found f)
    or e.payment_intent_id in (select f.payment_intent_id from found f)
  order by 1, 2, 3;
$$;

comment on function ops.payment(text) is
  'Everything about one payment, oldest first: the purchase, its ledger rows, debts, refunds, disputes, refund requests and Stripe''s events. p_id is whatever is at hand: the id of the purchase, PaymentIntent, Checkout Session, refund, dispute or event. For mana_ops and mana_readonly.';

create or replace function ops.verify_gifts()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with ledger as (
    select t.user_id, t.id, t.type, t.amount
    from credits.transactions t
    where t.counter_account = 'gifts'
  ),
  placed as (
    select
      g.id, g.creator_id, g.status, g.total_credits, g.return_transaction_id,
      e.amount as escrowed,
      b.amount as returned,
      r.user_id as redeemer_id,
      p.amount as paid
    from gifts.gift_codes g
    left join ledger e on e.user_id = g.creator_id and e.id = g.escrow_transaction_id
    left join ledger b on b.user_id = g.creator_id and b.id = g.return_transaction_id
    left join gifts.gift_redemptions r on r.gift_id = g.id
    left join ledger p on p.user_id = r.user_id and p.id = r.transaction_id
  )
  select 'gift_escrow', null, format('the account gifts holds %s credits, active gifts %s', l.held, g.active)
  from
    (select coalesce(-sum(t.amount), 0) as held from ledger t) l,
    (select coalesce(sum(c.total_credits), 0) as active from gifts.gift_codes c where c.status = 'active') g
  where l.held <> g.active
  union all
  select
    'gift_place', p.creator_id,
    format(
      'gift %s of %s credits is %s: escrowed %s, paid out %s, returned %s',
      p.id, p.total_credits, p.status, coalesce(-p.escrowed, 0), coalesce(p.paid, 0), coalesce(p.returned, 0)
    )
  from placed p
  where p.escrowed is distinct from -p.total_credits
    or (p.status = 'redeemed') <> (p.redeemer_id is not null)
    or p.paid is distinct from (case when p.status = 'redeemed' then p.total_credits end)
    or p.returned is distinct from (case when p.status in ('expired', 'cancelled') then p.total_credits end)
  union all
  select 'gift_ledger', l.user_id, format('ledger row %s of %s credits belongs to no gift', l.id, l.amount)
  from ledger l
  where l.type <> 'gift'
    or not exists (
      select from gifts.gift_codes g where g.creator_id = l.user_id and g.escrow_transaction_id = l.id
      union all
      select from gifts.gift_codes g where g.creator_id = l.user_id and g.return_transaction_id = l.id
      union all
      select from gifts.gift_redemptions r where r.user_id = l.user_id and r.transaction_id = l.id
    )
  union all
  select 'gift_ledger', t.user_id, format('ledger row %s is a gift without the account gifts', t.id)
  from credits.transactions t
  where t.type = 'gift' and t.counter_account <> 'gifts';
$$;

comment on function ops.verify_gifts() is
  'Invariant 4: a gift''s credits are in exactly one place, escrow, redeemer or back with the creator; the escrow account holds what active gifts add up to. Part of ops.verify().';

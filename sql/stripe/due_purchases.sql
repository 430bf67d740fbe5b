create or replace function stripe.due_purchases(
  p_livemode boolean, p_now timestamptz default now(), p_limit integer default 50
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due credits.purchases[];
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 1000');
  end if;
  with due as (
    select p.user_id, p.id
    from credits.purchases p
    where p.next_check_at <= p_now and p.livemode = p_livemode
    order by p.next_check_at
    limit p_limit
    for no key update skip locked
  ), claimed as (
    update credits.purchases p
    set
      checks = p.checks + 1,
      -- 15 and 30 minutes, 1, 2, 4, 8, 16 hours, then daily; whoever takes it and dies leaves it for then.
      next_check_at = p_now + least(interval '15 minutes' * 2 ^ least(p.checks, 7), interval '1 day')
    from due
    where p.user_id = due.user_id and p.id = due.id
    returning p.*
  )
  select coalesce(array_agg(c.* order by c.id), '{}') into v_due from claimed c;
  return (select coalesce(jsonb_agg(stripe.purchase_order(d) order by d.id), '[]') from unnest(v_due) d);
end
$$;

comment on function stripe.due_purchases(boolean, timestamptz, integer) is
  'Purchases that have waited too long for Stripe''s word and should be asked about, at most p_limit (1 to 1,000), each as stripe.begin_purchase answers it; each is handed out again later, less and less often, until it is paid or given up. CR001 limit. For mana_service and mana_ops.';

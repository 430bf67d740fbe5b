create or replace function credits.post_many(p_postings credits.user_posting[], p_now timestamptz)
returns credits.transactions[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_transactions credits.transactions[];
  v_updated bigint;
begin
  with numbered as materialized (
    select
      b.head,
      row(
        b.user_id,
        b.version + 1,
        uuidv7(),
        (p.posting).type,
        (p.posting).amount,
        b.balance,
        b.balance + (p.posting).amount,
        (p.posting).counter_account,
        (p.posting).app_id,
        (p.posting).description,
        (p.posting).metadata,
        (p.posting).idempotency_key,
        (p.posting).related_transaction_id,
        (p.posting).caller,
        p_now,
        null
      )::credits.transactions as transaction
    from unnest(p_postings) p
    join credits.balances b on b.user_id = p.user_id
  ),
  written as (
    insert into credits.transactions
    select
      (n.transaction).user_id,
      (n.transaction).seq,
      (n.transaction).id,
      (n.transaction).type,
      (n.transaction).amount,
      (n.transaction).balance_before,
      (n.transaction).balance_after,
      (n.transaction).counter_account,
      (n.transaction).app_id,
      (n.transaction).description,
      (n.transaction).metadata,
      (n.transaction).idempotency_key,
      (n.transaction).related_transaction_id,
      (n.transaction).caller,
      (n.transaction).created_at,
      credits.transaction_hash(n.head, n.transaction)
    from numbered n
    returning *
  )
  select coalesce(array_agg(row(w.*)::credits.transactions), '{}') into v_transactions from written w;

  update credits.balances b
  set
    balance = t.balance_after,
    held = b.held - coalesce((p.posting).released, 0),
    total_earned = b.total_earned + greatest(t.amount, 0),
    total_spent = b.total_spent + greatest(-t.amount, 0),
    version = t.seq,
    head = t.hash,
    updated_at = p_now
  from unnest(v_transactions) t
  join unnest(p_postings) p on p.user_id = t.user_id
  where b.user_id = t.user_id;
  get diagnostics v_updated = row_count;
  if v_updated <> cardinality(p_postings) then
    raise exception 'post_many wrote % of % postings: a user without a balance', v_updated, cardinality(p_postings);
  end if;

  insert into credits.usage_stats as s (user_id, day, app_id, credits_used, count)
  select t.user_id, (p_now at time zone 'UTC')::date, t.app_id, -t.amount, 1
  from unnest(v_transactions) t
  where t.type = 'usage'
  on conflict (user_id, day, app_id) do update
  set credits_used = s.credits_used + excluded.credits_used, count = s.count + 1;

  insert into credits.events (user_id, type, data, created_at, deliver_at)
  select
    t.user_id, 'credits.low_balance',
    jsonb_build_object('balance', t.balance_after, 'threshold', s.low_balance_threshold), p_now, p_now
  from unnest(v_transactions) t, credits.settings s
  where t.balance_before >= s.low_balance_threshold and t.balance_after < s.low_balance_threshold;

  perform credits.settle(p.user_id, p_now)
  from unnest(p_postings) p
  where (p.posting).amount + coalesce((p.posting).released, 0) > 0;

  return v_transactions;
end
$$;

comment on function credits.post_many(credits.user_posting[], timestamptz) is
  'credits.post for many users at once, one posting a user: the same rows, hashes included, in one statement a table. The caller holds the balances'' locks and has checked that each suffices. Internal.';

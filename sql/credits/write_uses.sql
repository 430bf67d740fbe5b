create or replace function credits.write_uses(p_uses credits.allowed_use[], p_now timestamptz)
returns jsonb[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_postings credits.user_posting[];
  v_transactions credits.transactions[];
  v_answers jsonb[];
begin
  if cardinality(p_uses) = 0 then
    return '{}';
  end if;
  select array_agg(row((u.request).user_id, credits.use_posting(u.request, u.amount))::credits.user_posting)
  into v_postings
  from unnest(p_uses) u;
  v_transactions := credits.post_many(v_postings, p_now);

  with answered as (
    select u.place, u.request, credits.use_answer(t, u.balance, u.amount) as answer
    from unnest(p_uses) u
    join unnest(v_transactions) t on t.user_id = (u.request).user_id
  ),
  remembered as (
    insert into credits.idempotency_keys (user_id, caller, key, request_hash, answer, created_at)
    select
      (a.request).user_id,
      (a.request).caller,
      (a.request).idempotency_key,
      credits.request_hash(credits.use_request_json(a.request)),
      a.answer,
      p_now
    from answered a
    where (a.request).idempotency_key is not null
  )
  select array_agg(a.answer order by a.place) into v_answers from answered a;
  return v_answers;
end
$$;

comment on function credits.write_uses(credits.allowed_use[], timestamptz) is
  'credits.write_use for many users at once, one debit a user: the same rows, in one statement a table. Answers in the order of their places. The caller holds the locks. Internal.';

create or replace function stripe.check_unpaid(p_user_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_allowed constant integer := 50;
  v_begun_at timestamptz[];
begin
  -- Ids are drawn in the order of time, so these are the latest.
  select coalesce(array_agg(latest.created_at order by latest.created_at), '{}')
  into v_begun_at
  from (
    select p.created_at
    from credits.purchases p
    where p.user_id = p_user_id and p.paid_at is null and p.created_at > p_now - interval '1 hour'
    order by p.id desc
    limit v_allowed
  ) latest;
  if cardinality(v_begun_at) >= v_allowed then
    raise exception using
      errcode = 'CR308',
      message = format('%s purchases were begun within an hour and not paid. Pay one of them, or wait.', v_allowed),
      detail = jsonb_build_object(
        'retryAfterSeconds',
        greatest(1, ceil(extract(epoch from v_begun_at[1] + interval '1 hour' - p_now)))::integer
      );
  end if;
end
$$;

comment on function stripe.check_unpaid(text, timestamptz) is
  'Raises CR308 when a user has begun 50 purchases within the last hour and paid none of them: each is something that Stripe is asked to make. The caller holds the lock. Internal.';

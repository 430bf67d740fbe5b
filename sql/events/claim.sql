create or replace function events.claim(
  p_limit integer default 20, p_lease_seconds integer default 60, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_lease_until timestamptz := p_now + make_interval(secs => p_lease_seconds);
  v_user_ids text[];
  v_ids bigint[];
  v_claimed jsonb;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 1000');
  end if;
  if p_lease_seconds is null or p_lease_seconds not between 1 and 3600 then
    perform credits.invalid('leaseSeconds', 'must be a whole number from 1 to 3600');
  end if;

  -- Each turn puts at least one due event off, so this ends.
  loop
    select array_agg(d.user_id), array_agg(d.id)
    into v_user_ids, v_ids
    from (
      select e.user_id, e.id
      from credits.events e
      where e.deliver_at <= p_now
      order by e.deliver_at, e.id
      limit 500 -- more than are claimed: some stand behind others of the same user
      for no key update skip locked
    ) d;
    if v_ids is null then
      return '[]';
    end if;

    with due as materialized (
      select d.user_id, d.id, h.id as head_id, h.deliver_at as head_deliver_at
      from unnest(v_user_ids, v_ids) d (user_id, id)
      cross join lateral (
        select e.id, e.deliver_at
        from credits.events e
        where e.user_id = d.user_id and e.deliver_at is not null
        order by e.id
        limit 1
      ) h
    ),
    -- Behind an earlier event of the user: not before that one is through or tried again.
    put_off as (
      update credits.events e
      set deliver_at = greatest(d.head_deliver_at, v_lease_until), due_since = coalesce(e.due_since, p_now)
      from due d
      where d.id <> d.head_id and e.user_id = d.user_id and e.id = d.id
    ),
    claimed as (
      update credits.events e
      set deliver_at = v_lease_until, due_since = coalesce(e.due_since, p_now), attempts = e.attempts + 1
      from (select * from due x where x.id = x.head_id order by x.id limit p_limit) d
      where e.user_id = d.user_id and e.id = d.id
      returning e.*
    )
    select jsonb_agg(
      jsonb_build_object(
        'id', c.id,
        'userId', c.user_id,
        'type', c.type,
        'data', c.data,
        'createdAt', credits.iso8601(c.created_at),
        'attempt', c.attempts
      )
      order by c.id
    )
    into v_claimed
    from claimed c;
    if v_claimed is not null then
      return v_claimed;
    end if;
  end loop;
end
$$;

comment on function events.claim(integer, integer, timestamptz) is
  'Events to deliver now: of at most p_limit (1 to 1000) users the earliest undelivered one, kept from other workers for the lease. Answers [{ id, userId, type, data, createdAt, attempt }], [] when nothing is due. For each call events.delivered or events.failed; after the lease it is due again. CR001 invalid argument. For mana_service and mana_ops.';

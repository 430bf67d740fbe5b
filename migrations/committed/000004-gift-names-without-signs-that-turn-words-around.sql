--! Previous: sha1:fb5d7b27f0e17283fe98b08e02c71850633860a5
--! Hash: sha1:d952ac582d872663052dbc9f7152909fc39afe21
--! Message: gift names without signs that turn words around

-- Functions live in sql/ and are edited there; the last line takes them along.
set local role mana_owner;

--! Included all.sql
-- Every function, in dependency order: what a function's declaration names comes before it.
--! Included credits/iso8601.sql
create or replace function credits.iso8601(p_time timestamptz)
returns text
language sql
immutable
parallel safe
return to_char(p_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

comment on function credits.iso8601(timestamptz) is
  'A time as the wire writes it: UTC, milliseconds, whatever the session''s time zone. Internal.';
--! EndIncluded credits/iso8601.sql
--! Included credits/invalid.sql
create or replace function credits.invalid(p_path text, p_message text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'CR001',
    message = btrim(format('%s %s', p_path, p_message)),
    detail = jsonb_build_object('issues', jsonb_build_array(
      jsonb_build_object('path', p_path, 'message', p_message)
    ));
end
$$;

comment on function credits.invalid(text, text) is
  'Raises CR001: an argument breaks a rule. The path is the argument''s name on the wire. Internal.';
--! EndIncluded credits/invalid.sql
--! Included credits/check_text.sql
create or replace function credits.check_text(p_path text, p_value text, p_max integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_value is null or char_length(p_value) not between 1 and p_max then
    perform credits.invalid(p_path, format('must be 1 to %s characters', p_max));
  end if;
end
$$;

comment on function credits.check_text(text, text, integer) is
  'Raises CR001 unless the value has 1 to p_max characters. Internal.';
--! EndIncluded credits/check_text.sql
--! Included credits/check_amount.sql
create or replace function credits.check_amount(p_path text, p_amount bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_amount is null or p_amount not between 1 and 1000000000 then
    perform credits.invalid(p_path, 'must be a whole number from 1 to 1000000000');
  end if;
end
$$;

comment on function credits.check_amount(text, bigint) is
  'Raises CR001 unless the amount is 1 to 1,000,000,000 credits. Internal.';
--! EndIncluded credits/check_amount.sql
--! Included credits/check_metadata.sql
create or replace function credits.check_metadata(p_metadata jsonb)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_metadata is null then
    return;
  end if;
  if jsonb_typeof(p_metadata) <> 'object' then
    perform credits.invalid('metadata', 'must be a JSON object');
  end if;
  if octet_length(p_metadata::text) > 8192 then
    perform credits.invalid('metadata', 'must be at most 8 KiB of JSON');
  end if;
end
$$;

comment on function credits.check_metadata(jsonb) is
  'Raises CR001 unless the metadata is absent or a JSON object of at most 8 KiB. Internal.';
--! EndIncluded credits/check_metadata.sql
--! Included credits/check_spendable.sql
create or replace function credits.check_spendable(p_balance credits.balances, p_amount bigint)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_available bigint := coalesce(p_balance.balance - p_balance.held, 0);
begin
  if v_available < p_amount then
    raise exception using
      errcode = 'CR002',
      message = format('Not enough credits: %s needed, %s available. Top up and try again.', p_amount, v_available),
      detail = jsonb_build_object('required', p_amount, 'available', v_available);
  end if;
end
$$;

comment on function credits.check_spendable(credits.balances, bigint) is
  'Raises CR002 unless the credits can be spent now: balance less holds. A balance that is null has none. Internal.';
--! EndIncluded credits/check_spendable.sql
--! Included credits/price.sql
create or replace function credits.price(p_operation text, p_quantity bigint default 1)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_credits bigint;
begin
  if p_quantity is null or p_quantity not between 1 and 1000000 then
    perform credits.invalid('quantity', 'must be a whole number from 1 to 1000000');
  end if;
  select o.credits into v_credits from credits.operations o where o.operation = p_operation;
  if not found then
    perform credits.invalid('operation', 'is not on the price list: see credits.pricing()');
  end if;
  if v_credits * p_quantity > 1000000000 then
    perform credits.invalid('quantity', format('costs %s credits, more than 1000000000', v_credits * p_quantity));
  end if;
  return v_credits * p_quantity;
end
$$;

comment on function credits.price(text, bigint) is
  'Credits that a number of units of an operation costs. CR001: not on the list, or quantity not 1 to 1,000,000. Internal.';
--! EndIncluded credits/price.sql
--! Included credits/amount_to_charge.sql
create or replace function credits.amount_to_charge(p_amount bigint, p_operation text, p_quantity bigint)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_operation is null then
    perform credits.check_amount('amount', p_amount);
    return p_amount;
  end if;
  if p_amount is not null then
    perform credits.invalid('amount', 'must be left out when operation is given: the price list knows it');
  end if;
  return credits.price(p_operation, coalesce(p_quantity, 1));
end
$$;

comment on function credits.amount_to_charge(bigint, text, bigint) is
  'Credits to charge: the amount given, or the price of the operation in its place. CR001: both, neither or not on the list. Internal.';
--! EndIncluded credits/amount_to_charge.sql
--! Included credits/lock_balance.sql
create or replace function credits.lock_balance(p_user_id text)
returns credits.balances
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
begin
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  if not found then
    -- A row that isn't there can't be locked: make it, whoever gets there first, then lock it.
    perform credits.check_text('userId', p_user_id, 128);
    insert into credits.balances (user_id) values (p_user_id) on conflict (user_id) do nothing;
    select * into strict v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  end if;
  return v_balance;
end
$$;

comment on function credits.lock_balance(text) is
  'Locks a user''s balance until the transaction ends and returns it, made with zeros if new. Callers that lock several take them in user_id order. CR001: no user id. Internal.';
--! EndIncluded credits/lock_balance.sql
--! Included credits/transaction_hash.sql
create or replace function credits.transaction_hash(p_previous bytea, p_transaction credits.transactions)
returns bytea
language sql
stable
return sha256(
  p_previous
  || convert_to(
    jsonb_build_array(
      p_transaction.user_id,
      p_transaction.seq,
      p_transaction.id,
      p_transaction.type,
      p_transaction.amount,
      p_transaction.balance_before,
      p_transaction.balance_after,
      p_transaction.counter_account,
      p_transaction.app_id,
      p_transaction.description,
      p_transaction.metadata,
      p_transaction.idempotency_key,
      p_transaction.related_transaction_id,
      p_transaction.caller,
      -- Microseconds since 1970, so that no session's time zone is in the hash.
      (extract(epoch from p_transaction.created_at) * 1000000)::bigint
    )::text,
    'UTF8'
  )
);

comment on function credits.transaction_hash(bytea, credits.transactions) is
  'sha256 over a ledger row and the hash of the same user''s previous row (empty before the first). ops.verify() recomputes it. Internal.';
--! EndIncluded credits/transaction_hash.sql
--! Included credits/emit.sql
create or replace function credits.emit(p_user_id text, p_type text, p_data jsonb, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into credits.events (user_id, type, data, created_at) values (p_user_id, p_type, p_data, p_now);
$$;

comment on function credits.emit(text, text, jsonb, timestamptz) is
  'Writes an event into the outbox, in the transaction of what happened. The caller holds the user''s balance lock. Internal.';
--! EndIncluded credits/emit.sql
--! Included credits/post.sql
create or replace function credits.post(p_balance credits.balances, p_posting credits.posting, p_now timestamptz)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_transaction credits.transactions;
begin
  v_transaction.user_id := p_balance.user_id;
  v_transaction.seq := p_balance.version + 1;
  v_transaction.id := uuidv7();
  v_transaction.type := p_posting.type;
  v_transaction.amount := p_posting.amount;
  v_transaction.balance_before := p_balance.balance;
  v_transaction.balance_after := p_balance.balance + p_posting.amount;
  v_transaction.counter_account := p_posting.counter_account;
  v_transaction.app_id := p_posting.app_id;
  v_transaction.description := p_posting.description;
  v_transaction.metadata := p_posting.metadata;
  v_transaction.idempotency_key := p_posting.idempotency_key;
  v_transaction.related_transaction_id := p_posting.related_transaction_id;
  v_transaction.caller := p_posting.caller;
  v_transaction.created_at := p_now;
  v_transaction.hash := credits.transaction_hash(p_balance.head, v_transaction);

  insert into credits.transactions values (v_transaction.*);

  update credits.balances b
  set
    balance = v_transaction.balance_after,
    held = b.held - coalesce(p_posting.released, 0),
    total_earned = b.total_earned + greatest(p_posting.amount, 0),
    total_spent = b.total_spent + greatest(-p_posting.amount, 0),
    version = v_transaction.seq,
    head = v_transaction.hash,
    updated_at = p_now
  where b.user_id = p_balance.user_id;

  if p_posting.type = 'usage' then
    insert into credits.usage_stats as s (user_id, day, app_id, credits_used, count)
    values (
      v_transaction.user_id, (p_now at time zone 'UTC')::date, v_transaction.app_id, -v_transaction.amount, 1
    )
    on conflict (user_id, day, app_id) do update
    set credits_used = s.credits_used + excluded.credits_used, count = s.count + 1;
  end if;

  return v_transaction;
end
$$;

comment on function credits.post(credits.balances, credits.posting, timestamptz) is
  'The one writer of the ledger: writes the row, the balance and the day''s usage, and returns the row. The caller holds the lock, passes the balance as it stands under it, and has checked that it suffices. Internal.';
--! EndIncluded credits/post.sql
--! Included credits/transaction_json.sql
create or replace function credits.transaction_json(p_transaction credits.transactions)
returns jsonb
language sql
immutable
return jsonb_build_object(
  'id', p_transaction.id,
  'userId', p_transaction.user_id,
  'type', p_transaction.type,
  'status', 'completed', -- a row is in the ledger or it isn't
  'amount', p_transaction.amount,
  'balanceBefore', p_transaction.balance_before,
  'balanceAfter', p_transaction.balance_after,
  'appId', p_transaction.app_id,
  'description', p_transaction.description,
  'metadata', p_transaction.metadata,
  'idempotencyKey', p_transaction.idempotency_key,
  'relatedTransactionId', p_transaction.related_transaction_id,
  'createdAt', credits.iso8601(p_transaction.created_at),
  'completedAt', credits.iso8601(p_transaction.created_at)
);

comment on function credits.transaction_json(credits.transactions) is
  'A ledger row as callers see it. Internal.';
--! EndIncluded credits/transaction_json.sql
--! Included credits/balance_json.sql
create or replace function credits.balance_json(p_balance credits.balances)
returns jsonb
language sql
immutable
return jsonb_build_object(
  'balance', p_balance.balance - p_balance.held,
  'held', p_balance.held,
  'debt', p_balance.debt,
  'totalEarned', p_balance.total_earned,
  'totalSpent', p_balance.total_spent
);

comment on function credits.balance_json(credits.balances) is
  'A balance as callers see it: balance is what can be spent now, holds taken off. Internal.';
--! EndIncluded credits/balance_json.sql
--! Included credits/request_hash.sql
create or replace function credits.request_hash(p_request jsonb)
returns bytea
language sql
immutable
return sha256(convert_to(p_request::text, 'UTF8'));

comment on function credits.request_hash(jsonb) is
  'What a key remembers of its request: sha256 over the call''s name and arguments. Internal.';
--! EndIncluded credits/request_hash.sql
--! Included credits/remembered_answer.sql
create or replace function credits.remembered_answer(p_user_id text, p_caller text, p_key text, p_request jsonb)
returns jsonb
language plpgsql
volatile -- a fresh snapshot: what committed while we waited for the lock must be seen
set search_path = pg_catalog, pg_temp
as $$
declare
  v_remembered credits.idempotency_keys;
begin
  select * into v_remembered
  from credits.idempotency_keys k
  where k.user_id = p_user_id and k.caller = p_caller and k.key = p_key;
  if not found then
    return null;
  end if;
  if v_remembered.request_hash <> credits.request_hash(p_request) then
    raise exception using
      errcode = 'CR003',
      message = 'This idempotency key was used for another request. Use a new key for a new request.',
      detail = jsonb_build_object('idempotencyKey', p_key);
  end if;
  return v_remembered.answer || jsonb_build_object('replayed', true);
end
$$;

comment on function credits.remembered_answer(text, text, text, jsonb) is
  'The first answer to this key with replayed: true, or null if the key is new (or null). CR003: the key was used for another request. Call it under the balance''s lock. Internal.';
--! EndIncluded credits/remembered_answer.sql
--! Included credits/remember_answer.sql
create or replace function credits.remember_answer(
  p_user_id text, p_caller text, p_key text, p_request jsonb, p_answer jsonb, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_key is not null then
    insert into credits.idempotency_keys (user_id, caller, key, request_hash, answer, created_at)
    values (p_user_id, p_caller, p_key, credits.request_hash(p_request), p_answer, p_now);
  end if;
end
$$;

comment on function credits.remember_answer(text, text, text, jsonb, jsonb, timestamptz) is
  'Keeps the answer for the key, in the transaction that made it. Nothing without a key. Internal.';
--! EndIncluded credits/remember_answer.sql
--! Included credits/init.sql
create or replace function credits.init(p_user_id text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('userId', p_user_id, 128);
  return credits.balance_json(credits.lock_balance(p_user_id));
end
$$;

comment on function credits.init(text) is
  'Opens a user''s account with zeros and answers its balance; an account that is there stays as it is. CR001 no user id. For mana_service and mana_ops.';
--! EndIncluded credits/init.sql
--! Included credits/balance_at.sql
create or replace function credits.balance_at(p_user_id text, p_at timestamptz)
returns credits.balances
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
begin
  v_balance.user_id := p_user_id;
  v_balance.debt := 0;
  select
    coalesce(sum(t.amount), 0),
    coalesce(sum(t.amount) filter (where t.amount > 0), 0),
    coalesce(-sum(t.amount) filter (where t.amount < 0), 0)
  into v_balance.balance, v_balance.total_earned, v_balance.total_spent
  from credits.transactions t
  where t.user_id = p_user_id and t.created_at <= p_at;

  select coalesce(sum(r.amount), 0)
  into v_balance.held
  from credits.reservations r
  where r.user_id = p_user_id and r.created_at <= p_at and (r.closed_at is null or r.closed_at > p_at);
  return v_balance;
end
$$;

comment on function credits.balance_at(text, timestamptz) is
  'A user''s balance as the ledger and the holds say it was at a time, that instant included. Reads the user''s whole ledger. Internal.';
--! EndIncluded credits/balance_at.sql
--! Included credits/balance.sql
create or replace function credits.balance(p_user_id text, p_at timestamptz default null)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_at is not null then
    return credits.balance_json(credits.balance_at(p_user_id, p_at));
  end if;
  return coalesce(
    (select credits.balance_json(b) from credits.balances b where b.user_id = p_user_id),
    '{"balance": 0, "held": 0, "debt": 0, "totalEarned": 0, "totalSpent": 0}'
  );
end
$$;

comment on function credits.balance(text, timestamptz) is
  'A user''s balance in credits, now or as it was at a time: { balance (spendable), held, debt, totalEarned, totalSpent }; zeros for a user without an account. Writes nothing. CR001 no user id. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded credits/balance.sql
--! Included credits/history.sql
create or replace function credits.history(
  p_user_id text,
  p_limit integer default 50,
  p_before uuid default null,
  p_offset integer default 0,
  p_type text default null,
  p_app_id text default null,
  p_from timestamptz default null,
  p_to timestamptz default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before_seq bigint;
  v_page credits.transactions[];
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_limit is null or p_limit not between 1 and 200 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 200');
  end if;
  if p_offset is null or p_offset not between 0 and 1000000 then
    perform credits.invalid('offset', 'must be a whole number from 0 to 1000000: use before to go further');
  end if;
  if p_type is not null and p_type <> all (enum_range(null::credits.transaction_type)::text[]) then
    perform credits.invalid(
      'type', 'must be one of ' || array_to_string(enum_range(null::credits.transaction_type), ', ')
    );
  end if;
  if p_before is not null then
    select t.seq into v_before_seq from credits.transactions t where t.user_id = p_user_id and t.id = p_before;
    if not found then
      raise exception using
        errcode = 'CR004', message = 'There is no such transaction in this account to page from.',
        detail = jsonb_build_object('transactionId', p_before);
    end if;
  end if;

  -- By seq, not by time: the order in which the rows were written, whatever any clock said.
  select coalesce(array_agg(page order by page.seq desc), '{}')
  into v_page
  from (
    select *
    from credits.transactions t
    where t.user_id = p_user_id
      and (v_before_seq is null or t.seq < v_before_seq)
      and (p_type is null or t.type = p_type::credits.transaction_type)
      and (p_app_id is null or t.app_id = p_app_id)
      and (p_from is null or t.created_at >= p_from)
      and (p_to is null or t.created_at < p_to)
    order by t.seq desc
    limit p_limit + 1 -- one more than asked, to know whether there is a next page
    offset p_offset
  ) page;

  return jsonb_build_object(
    'transactions', (
      select coalesce(jsonb_agg(credits.transaction_json(t) order by t.seq desc), '[]')
      from unnest(v_page[1:p_limit]) t
    ),
    'next', case when cardinality(v_page) > p_limit then v_page[p_limit].id end
  );
end
$$;

comment on function credits.history(text, integer, uuid, integer, text, text, timestamptz, timestamptz) is
  'A page of a user''s ledger, newest first: { transactions, next }; next is the id to pass as p_before for the following page, null on the last. p_limit 1 to 200; p_from inclusive, p_to exclusive. CR001 invalid argument, CR004 p_before is not in this account. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded credits/history.sql
--! Included credits/usage.sql
create or replace function credits.usage(
  p_user_id text,
  p_from timestamptz default null,
  p_to timestamptz default null,
  p_group_by text default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_by_day boolean := coalesce(p_group_by, 'day') = 'day';
  v_by_app boolean := coalesce(p_group_by, 'app') = 'app';
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_group_by not in ('day', 'app') then
    perform credits.invalid('groupBy', 'must be day or app');
  end if;
  return (
    select coalesce(
      jsonb_agg(
        jsonb_strip_nulls(
          jsonb_build_object('day', g.day, 'appId', g.app_id, 'creditsUsed', g.credits_used, 'count', g.count)
        )
        order by g.day desc nulls last, g.app_id
      ),
      '[]'
    )
    from (
      select
        case when v_by_day then s.day end as day,
        case when v_by_app then s.app_id end as app_id,
        sum(s.credits_used)::bigint as credits_used,
        sum(s.count)::bigint as count
      from credits.usage_stats s
      where s.user_id = p_user_id
        and (p_from is null or s.day >= (p_from at time zone 'UTC')::date)
        and (p_to is null or s.day <= (p_to at time zone 'UTC')::date)
      group by 1, 2
    ) g
  );
end
$$;

comment on function credits.usage(text, timestamptz, timestamptz, text) is
  'What a user spent, in credits and number of debits: [{ day?, appId?, creditsUsed, count }], days in UTC, newest first, both ends included; p_group_by day, app, or null for both. CR001 invalid argument. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded credits/usage.sql
--! Included credits/pricing.sql
create or replace function credits.pricing()
returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'operation', o.operation,
        'name', o.name,
        'description', o.description,
        'category', o.category,
        'app', o.app,
        'credits', o.credits,
        'unit', o.unit
      )
      order by o.sort_order, o.operation
    ),
    '[]'
  )
  from credits.operations o;
$$;

comment on function credits.pricing() is
  'The price list, in order: [{ operation, name, description, category, app, credits, unit }], credits per unit. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded credits/pricing.sql
--! Included credits/use_request_json.sql
create or replace function credits.use_request_json(p_request credits.use_request)
returns jsonb
language sql
immutable
return jsonb_build_array(
  'use',
  p_request.amount,
  p_request.app_id,
  p_request.description,
  p_request.metadata,
  p_request.operation,
  p_request.quantity
);

comment on function credits.use_request_json(credits.use_request) is
  'What makes two debits under one key the same request. Internal.';
--! EndIncluded credits/use_request_json.sql
--! Included credits/use_request_from_json.sql
create or replace function credits.use_request_from_json(p_item jsonb, p_caller text)
returns credits.use_request
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request credits.use_request;
  v_path text;
begin
  if jsonb_typeof(p_item) <> 'object' then
    perform credits.invalid('', 'must be an object');
  end if;
  foreach v_path in array array['userId', 'appId', 'description', 'idempotencyKey', 'operation'] loop
    if jsonb_typeof(p_item -> v_path) not in ('string', 'null') then
      perform credits.invalid(v_path, 'must be text');
    end if;
  end loop;
  foreach v_path in array array['amount', 'quantity'] loop
    if jsonb_typeof(p_item -> v_path) = 'null' then
      continue;
    end if;
    -- Compared as numeric: 1e30 and 0.5 are refused here, not by a cast.
    if jsonb_typeof(p_item -> v_path) <> 'number'
       or (p_item ->> v_path)::numeric not between 1 and 1000000000
       or (p_item ->> v_path)::numeric % 1 <> 0 then
      perform credits.invalid(v_path, 'must be a whole number from 1 to 1000000000');
    end if;
  end loop;
  v_request.user_id := p_item ->> 'userId';
  v_request.amount := (p_item ->> 'amount')::numeric;
  v_request.app_id := p_item ->> 'appId';
  v_request.description := p_item ->> 'description';
  v_request.idempotency_key := p_item ->> 'idempotencyKey';
  v_request.metadata := nullif(p_item -> 'metadata', 'null');
  v_request.operation := p_item ->> 'operation';
  v_request.quantity := (p_item ->> 'quantity')::numeric;
  v_request.caller := p_caller;
  return v_request;
end
$$;

comment on function credits.use_request_from_json(jsonb, text) is
  'One item of credits.use_many as a request. CR001: a field of the wrong kind. Internal.';
--! EndIncluded credits/use_request_from_json.sql
--! Included credits/decide_use.sql
create or replace function credits.decide_use(
  p_balance credits.balances, p_request credits.use_request, out o_answer jsonb, out o_amount bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('userId', p_request.user_id, 128);
  perform credits.check_text('appId', p_request.app_id, 64);
  perform credits.check_text('description', p_request.description, 500);
  perform credits.check_metadata(p_request.metadata);
  if p_request.idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_request.idempotency_key, 255);
    o_answer := credits.remembered_answer(
      p_request.user_id, p_request.caller, p_request.idempotency_key, credits.use_request_json(p_request)
    );
    if o_answer is not null then
      return;
    end if;
  end if;

  o_amount := credits.amount_to_charge(p_request.amount, p_request.operation, p_request.quantity);
  -- A user without a balance has no row, and nothing to spend.
  perform credits.check_spendable(p_balance, o_amount);
end
$$;

comment on function credits.decide_use(credits.balances, credits.use_request) is
  'Decides a debit without writing: the remembered answer of a replay, or the credits to take. CR001 invalid, CR002 not enough credits, CR003 key reused. The caller holds the lock. Internal.';
--! EndIncluded credits/decide_use.sql
--! Included credits/write_use.sql
create or replace function credits.write_use(
  p_balance credits.balances, p_request credits.use_request, p_amount bigint, p_now timestamptz
)
returns jsonb
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_metadata jsonb := p_request.metadata;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  if p_request.operation is not null then
    v_metadata := coalesce(v_metadata, '{}')
      || jsonb_build_object('operation', p_request.operation, 'quantity', coalesce(p_request.quantity, 1));
  end if;
  v_posting.type := 'usage';
  v_posting.amount := -p_amount;
  v_posting.counter_account := 'revenue:' || p_request.app_id;
  v_posting.app_id := p_request.app_id;
  v_posting.description := p_request.description;
  v_posting.metadata := v_metadata;
  v_posting.idempotency_key := p_request.idempotency_key;
  v_posting.caller := p_request.caller;
  v_transaction := credits.post(p_balance, v_posting, p_now);

  v_answer := jsonb_build_object(
    'transaction', credits.transaction_json(v_transaction),
    'newBalance', jsonb_build_object(
      'balance', v_transaction.balance_after - p_balance.held,
      'totalSpent', p_balance.total_spent + p_amount
    )
  );
  perform credits.remember_answer(
    p_request.user_id,
    p_request.caller,
    p_request.idempotency_key,
    credits.use_request_json(p_request),
    v_answer,
    p_now
  );
  return v_answer;
end
$$;

comment on function credits.write_use(credits.balances, credits.use_request, bigint, timestamptz) is
  'Writes a debit that credits.decide_use allowed, remembers the answer under its key, and returns it. The caller holds the lock. Internal.';
--! EndIncluded credits/write_use.sql
--! Included credits/use.sql
create or replace function credits.use(
  p_user_id text,
  p_amount bigint,
  p_app_id text,
  p_description text,
  p_idempotency_key text default null,
  p_metadata jsonb default null,
  p_operation text default null,
  p_quantity bigint default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request credits.use_request := row(
    p_user_id, p_amount, p_app_id, p_description, p_idempotency_key, p_metadata, p_operation, p_quantity, p_caller
  );
  v_balance credits.balances;
  v_answer jsonb;
  v_amount bigint;
begin
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  select d.o_answer, d.o_amount into v_answer, v_amount from credits.decide_use(v_balance, v_request) d;
  return coalesce(v_answer, credits.write_use(v_balance, v_request, v_amount, p_now));
end
$$;

comment on function credits.use(text, bigint, text, text, text, jsonb, text, bigint, text, timestamptz) is
  'Takes credits from a user for an app, or the price of an operation in place of an amount (then p_amount is null). Answers { transaction, newBalance: { balance, totalSpent } }, all in credits, balance being what can still be spent; replayed: true when the key was seen before. CR001 invalid argument, CR002 not enough credits, CR003 key reused. For mana_service and mana_ops.';
--! EndIncluded credits/use.sql
--! Included credits/use_many.sql
create or replace function credits.use_many(
  p_items jsonb, p_caller text default session_user, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_locked text[];
  v_item jsonb;
  v_request credits.use_request;
  v_balance credits.balances;
  v_answer jsonb;
  v_amount bigint;
  v_results jsonb[] := '{}';
  v_state text;
  v_message text;
  v_detail text;
begin
  -- case, since or may look at the length of what isn't an array
  if (case when jsonb_typeof(p_items) = 'array' then jsonb_array_length(p_items) else 0 end) not between 1 and 1000 then
    perform credits.invalid('items', 'must be an array of 1 to 1000 debits');
  end if;

  -- Every balance first, in order: two batches never wait for each other in a circle.
  select array_agg(l.user_id)
  into v_locked
  from (
    select b.user_id
    from credits.balances b
    where b.user_id in (select i.value ->> 'userId' from jsonb_array_elements(p_items) i)
    order by b.user_id
    for no key update
  ) l;

  for v_item in select i.value from jsonb_array_elements(p_items) with ordinality i order by i.ordinality loop
    begin
      v_request := credits.use_request_from_json(v_item, p_caller);
      -- An account opened since then isn't locked: this batch finds nothing in it.
      select * into v_balance
      from credits.balances b
      where b.user_id = v_request.user_id and b.user_id = any (v_locked);
      select d.o_answer, d.o_amount into v_answer, v_amount from credits.decide_use(v_balance, v_request) d;
    exception when others then
      -- Nothing was written in this block, so the item is refused alone. What isn't ours to judge ends the call.
      get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail;
      if v_state !~ '^CR' then
        raise;
      end if;
      v_results := v_results || jsonb_build_object(
        'ok', false,
        'error', jsonb_build_object('sqlstate', v_state, 'message', v_message, 'detail', v_detail::jsonb)
      );
      continue;
    end;
    v_answer := coalesce(v_answer, credits.write_use(v_balance, v_request, v_amount, p_now));
    v_results := v_results || (jsonb_build_object('ok', true) || v_answer);
  end loop;

  return jsonb_build_object('results', to_jsonb(v_results));
end
$$;

comment on function credits.use_many(jsonb, text, timestamptz) is
  'credits.use for 1 to 1000 items [{ userId, amount, appId, description, idempotencyKey?, metadata?, operation?, quantity? }] in one transaction. Answers { results } in the order asked, each { ok: true, transaction, newBalance } or { ok: false, error: { sqlstate, message, detail } }; each item stands alone. CR001 when there is no such array. For mana_service and mana_ops.';
--! EndIncluded credits/use_many.sql
--! Included credits/refundable_charge.sql
create or replace function credits.refundable_charge(p_user_id text, p_transaction_id uuid, p_amount bigint)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_charge credits.transactions;
  v_refunded bigint;
begin
  select * into v_charge
  from credits.transactions t
  where t.user_id = p_user_id and t.id = p_transaction_id and t.type = 'usage';
  if not found then
    raise exception using
      errcode = 'CR004', message = 'There is no such charge in this account.',
      detail = jsonb_build_object('transactionId', p_transaction_id);
  end if;
  select coalesce(sum(t.amount), 0) into v_refunded
  from credits.transactions t
  where t.user_id = p_user_id and t.related_transaction_id = p_transaction_id and t.type = 'refund';
  if v_refunded + p_amount > -v_charge.amount then
    raise exception using
      errcode = 'CR005',
      message = format(
        'The charge took %s credits and %s were given back already: at most %s can be refunded.',
        -v_charge.amount, v_refunded, -v_charge.amount - v_refunded
      ),
      detail = jsonb_build_object(
        'charged', -v_charge.amount, 'refunded', v_refunded, 'refundable', -v_charge.amount - v_refunded
      );
  end if;
  return v_charge;
end
$$;

comment on function credits.refundable_charge(text, uuid, bigint) is
  'The charge that this many credits can still be refunded of. CR004 no such usage row of this user, CR005 too much. The caller holds the lock. Internal.';
--! EndIncluded credits/refundable_charge.sql
--! Included credits/refund.sql
create or replace function credits.refund(
  p_user_id text,
  p_amount bigint,
  p_description text,
  p_app_id text default null,
  p_metadata jsonb default null,
  p_transaction_id uuid default null,
  p_idempotency_key text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request jsonb := jsonb_build_array('refund', p_amount, p_description, p_app_id, p_metadata, p_transaction_id);
  v_balance credits.balances;
  v_charge credits.transactions;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  perform credits.check_amount('amount', p_amount);
  perform credits.check_text('description', p_description, 500);
  perform credits.check_metadata(p_metadata);
  if p_app_id is not null then
    perform credits.check_text('appId', p_app_id, 64);
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;

  v_balance := credits.lock_balance(p_user_id);
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  if p_transaction_id is not null then
    v_charge := credits.refundable_charge(p_user_id, p_transaction_id, p_amount);
  end if;

  v_posting.type := 'refund';
  v_posting.amount := p_amount;
  v_posting.app_id := coalesce(p_app_id, v_charge.app_id);
  v_posting.counter_account := coalesce(v_charge.counter_account, 'revenue:' || p_app_id, 'adjustments');
  v_posting.description := p_description;
  v_posting.metadata := p_metadata;
  v_posting.idempotency_key := p_idempotency_key;
  v_posting.related_transaction_id := p_transaction_id;
  v_posting.caller := p_caller;
  v_transaction := credits.post(v_balance, v_posting, p_now);

  v_answer := jsonb_build_object(
    'transaction', credits.transaction_json(v_transaction),
    'newBalance', jsonb_build_object('balance', v_transaction.balance_after - v_balance.held)
  );
  perform credits.remember_answer(p_user_id, p_caller, p_idempotency_key, v_request, v_answer, p_now);
  return v_answer;
end
$$;

comment on function credits.refund(text, bigint, text, text, jsonb, uuid, text, text, timestamptz) is
  'Gives credits back to a user: freely, or against a charge (p_transaction_id, a usage row of the same user), then never more in all than it took. Answers { transaction, newBalance: { balance } }, replayed: true when the key was seen before. CR001 invalid argument, CR003 key reused, CR004 no such charge, CR005 more than the charge has left. For mana_service and mana_ops.';
--! EndIncluded credits/refund.sql
--! Included credits/grant.sql
create or replace function credits.grant(
  p_user_id text,
  p_amount bigint,
  p_reason text,
  p_reference_id text,
  p_description text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
  v_transaction_id uuid;
  v_posting credits.posting;
  v_transaction credits.transactions;
begin
  perform credits.check_amount('amount', p_amount);
  perform credits.check_text('reason', p_reason, 64);
  perform credits.check_text('referenceId', p_reference_id, 128);
  if p_description is not null then
    perform credits.check_text('description', p_description, 500);
  end if;

  v_balance := credits.lock_balance(p_user_id);
  select g.transaction_id into v_transaction_id
  from credits.grants g
  where g.user_id = p_user_id and g.reference_id = p_reference_id;
  if found then
    return jsonb_build_object(
      'alreadyGranted', true,
      'newBalance', v_balance.balance - v_balance.held,
      'transactionId', v_transaction_id
    );
  end if;

  v_posting.type := 'grant';
  v_posting.amount := p_amount;
  v_posting.counter_account := 'promotions';
  v_posting.description := coalesce(p_description, p_reason);
  v_posting.metadata := jsonb_build_object('reason', p_reason, 'referenceId', p_reference_id);
  v_posting.caller := p_caller;
  v_transaction := credits.post(v_balance, v_posting, p_now);

  insert into credits.grants (user_id, reference_id, reason, transaction_id, created_at)
  values (p_user_id, p_reference_id, p_reason, v_transaction.id, p_now);

  return jsonb_build_object(
    'alreadyGranted', false,
    'newBalance', v_transaction.balance_after - v_balance.held,
    'transactionId', v_transaction.id
  );
end
$$;

comment on function credits.grant(text, bigint, text, text, text, text, timestamptz) is
  'Gives credits for a reason, once per user and reference. Answers { alreadyGranted, newBalance (spendable credits now), transactionId }; a second call with the reference changes nothing. CR001 invalid argument. For mana_service and mana_ops.';
--! EndIncluded credits/grant.sql
--! Included credits/reserve.sql
create or replace function credits.reserve(
  p_user_id text,
  p_amount bigint,
  p_reason text,
  p_expires_in_seconds bigint default 86400,
  p_idempotency_key text default null,
  p_app_id text default null,
  p_operation text default null,
  p_quantity bigint default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request jsonb := jsonb_build_array(
    'reserve', p_amount, p_reason, p_expires_in_seconds, p_app_id, p_operation, p_quantity
  );
  v_balance credits.balances;
  v_amount bigint;
  v_reservation credits.reservations;
  v_answer jsonb;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform credits.check_text('reason', p_reason, 200);
  -- At most 30 days: a hold is for a call under way, not for keeping credits aside.
  if p_expires_in_seconds is null or p_expires_in_seconds not between 1 and 2592000 then
    perform credits.invalid('expiresInSeconds', 'must be a whole number from 1 to 2592000');
  end if;
  if p_app_id is not null then
    perform credits.check_text('appId', p_app_id, 64);
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;

  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  v_amount := credits.amount_to_charge(p_amount, p_operation, p_quantity);
  perform credits.check_spendable(v_balance, v_amount);

  update credits.balances b
  set held = b.held + v_amount, updated_at = p_now
  where b.user_id = p_user_id;
  insert into credits.reservations (user_id, amount, reason, app_id, caller, expires_at, created_at)
  values (
    p_user_id, v_amount, p_reason, p_app_id, p_caller, p_now + make_interval(secs => p_expires_in_seconds), p_now
  )
  returning * into v_reservation;

  v_answer := jsonb_build_object(
    'reservationId', v_reservation.id,
    'balance', v_balance.balance - v_balance.held - v_amount,
    'expiresAt', credits.iso8601(v_reservation.expires_at)
  );
  perform credits.remember_answer(p_user_id, p_caller, p_idempotency_key, v_request, v_answer, p_now);
  return v_answer;
end
$$;

comment on function credits.reserve(text, bigint, text, bigint, text, text, text, bigint, text, timestamptz) is
  'Holds credits for a call that will cost money: they can''t be spent elsewhere until credits.commit, credits.release or the expiry (1 second to 30 days). An operation stands in place of an amount as in credits.use. Answers { reservationId, balance, expiresAt }, balance in credits that can still be spent. CR001 invalid argument, CR002 not enough credits, CR003 key reused. For mana_service and mana_ops.';
--! EndIncluded credits/reserve.sql
--! Included credits/lock_reservation.sql
create or replace function credits.lock_reservation(p_reservation_id uuid)
returns credits.reservations
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text;
  v_reservation credits.reservations;
begin
  select r.user_id into v_user_id from credits.reservations r where r.id = p_reservation_id;
  if not found then
    raise exception using
      errcode = 'CR006', message = 'There is no such reservation.',
      detail = jsonb_build_object('reservationId', p_reservation_id);
  end if;
  -- The balance's lock guards the user's holds too: read the hold once we have it.
  perform credits.lock_balance(v_user_id);
  select * into strict v_reservation
  from credits.reservations r
  where r.user_id = v_user_id and r.id = p_reservation_id;
  return v_reservation;
end
$$;

comment on function credits.lock_reservation(uuid) is
  'Locks the balance a hold is on and returns the hold as it stands under the lock. CR006 no such reservation. Internal.';
--! EndIncluded credits/lock_reservation.sql
--! Included credits/check_reservation_open.sql
create or replace function credits.check_reservation_open(p_reservation credits.reservations, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status text := case
    when p_reservation.status = 'open' and p_reservation.expires_at <= p_now then 'expired'
    else p_reservation.status
  end;
begin
  if v_status <> 'open' then
    raise exception using
      errcode = 'CR007',
      message = format('The reservation is %s already. Reserve anew if the call is still to be made.', v_status),
      detail = jsonb_build_object('reservationId', p_reservation.id, 'reservationStatus', v_status);
  end if;
end
$$;

comment on function credits.check_reservation_open(credits.reservations, timestamptz) is
  'Raises CR007 unless the hold is open and not past its expiry. Internal.';
--! EndIncluded credits/check_reservation_open.sql
--! Included credits/commit.sql
create or replace function credits.commit(
  p_reservation_id uuid,
  p_amount bigint default null,
  p_description text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
  v_reservation credits.reservations;
  v_amount bigint;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  if p_amount is not null then
    perform credits.check_amount('amount', p_amount);
  end if;
  if p_description is not null then
    perform credits.check_text('description', p_description, 500);
  end if;

  v_reservation := credits.lock_reservation(p_reservation_id);
  v_amount := coalesce(p_amount, v_reservation.amount);
  if v_amount > v_reservation.amount then
    perform credits.invalid('amount', format('must be at most the %s credits held', v_reservation.amount));
  end if;
  if v_reservation.status = 'committed' and v_reservation.committed_amount = v_amount then
    return v_reservation.answer || jsonb_build_object('replayed', true);
  end if;
  perform credits.check_reservation_open(v_reservation, p_now);

  v_balance := credits.lock_balance(v_reservation.user_id);
  v_posting.type := 'usage';
  v_posting.amount := -v_amount;
  v_posting.app_id := coalesce(v_reservation.app_id, 'unknown');
  v_posting.counter_account := 'revenue:' || v_posting.app_id;
  v_posting.description := coalesce(p_description, v_reservation.reason);
  v_posting.metadata := jsonb_build_object('reservationId', p_reservation_id);
  v_posting.caller := p_caller;
  v_posting.released := v_reservation.amount;
  v_transaction := credits.post(v_balance, v_posting, p_now);

  v_answer := jsonb_build_object(
    'transactionId', v_transaction.id,
    'balance', v_transaction.balance_after - (v_balance.held - v_reservation.amount)
  );
  update credits.reservations r
  set
    status = 'committed',
    closed_at = p_now,
    committed_amount = v_amount,
    transaction_id = v_transaction.id,
    answer = v_answer
  where r.user_id = v_reservation.user_id and r.id = p_reservation_id;
  return v_answer;
end
$$;

comment on function credits.commit(uuid, bigint, text, text, timestamptz) is
  'Captures a hold: charges all of it, or a smaller amount and sets the rest free. Answers { transactionId, balance }, balance in credits that can be spent; the same call again gets the same answer with replayed: true. CR001 invalid argument or more than held, CR006 no such reservation, CR007 closed otherwise or expired. For mana_service and mana_ops.';
--! EndIncluded credits/commit.sql
--! Included credits/release.sql
create or replace function credits.release(p_reservation_id uuid, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
  v_reservation credits.reservations;
  v_answer jsonb;
begin
  v_reservation := credits.lock_reservation(p_reservation_id);
  if v_reservation.status = 'released' then
    return v_reservation.answer || jsonb_build_object('replayed', true);
  end if;
  if v_reservation.status <> 'open' then
    perform credits.check_reservation_open(v_reservation, p_now);
  end if;

  v_balance := credits.lock_balance(v_reservation.user_id);
  update credits.balances b
  set held = b.held - v_reservation.amount, updated_at = p_now
  where b.user_id = v_reservation.user_id;
  v_answer := jsonb_build_object('balance', v_balance.balance - v_balance.held + v_reservation.amount);
  update credits.reservations r
  set status = 'released', closed_at = p_now, answer = v_answer
  where r.user_id = v_reservation.user_id and r.id = p_reservation_id;
  return v_answer;
end
$$;

comment on function credits.release(uuid, timestamptz) is
  'Sets a hold free, nothing charged, also when it is past its expiry but not swept yet. Answers { balance } in credits that can be spent; the same call again gets the same answer with replayed: true. CR006 no such reservation, CR007 committed or expired. For mana_service and mana_ops.';
--! EndIncluded credits/release.sql
--! Included credits/expire_reservations.sql
create or replace function credits.expire_reservations(p_now timestamptz default now(), p_limit integer default 1000)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids text[];
  v_expired bigint;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;
  -- Balances first, in order. One that somebody is using is left for the next run.
  select array_agg(locked.user_id)
  into v_user_ids
  from (
    select b.user_id
    from credits.balances b
    where b.user_id in (
      select r.user_id
      from credits.reservations r
      where r.status = 'open' and r.expires_at <= p_now
      order by r.expires_at
      limit p_limit
    )
    order by b.user_id
    for no key update skip locked
  ) locked;

  with expired as (
    update credits.reservations r
    set status = 'expired', closed_at = p_now
    where r.user_id = any (v_user_ids) and r.status = 'open' and r.expires_at <= p_now
    returning r.user_id, r.amount
  ), freed as (
    update credits.balances b
    set held = b.held - e.amount, updated_at = p_now
    from (select x.user_id, sum(x.amount) as amount from expired x group by x.user_id) e
    where b.user_id = e.user_id
  )
  select count(*) into v_expired from expired;
  return jsonb_build_object('expired', v_expired);
end
$$;

comment on function credits.expire_reservations(timestamptz, integer) is
  'Sets holds past their expiry free: those of the users of the p_limit (1 to 10,000) oldest, skipping users somebody has locked. Answers { expired }, their number; call again until it is 0. CR001 limit. For mana_service and mana_ops.';
--! EndIncluded credits/expire_reservations.sql
--! Included gifts/new_code.sql
create or replace function gifts.new_code()
returns text
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- A random UUID comes from the server's cryptographic source, but 6 of its 128 bits are fixed: the version in
  -- byte 6, the variant in byte 8. Twelve of the bytes that are random from end to end, the low five bits of each:
  -- 60 bits, and 32 symbols divide 256 evenly, so that each is as likely as any other.
  select string_agg(
    substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + (get_byte(v.random, i.byte) & 31), 1), '' order by i.byte
  )
  from
    (select uuid_send(gen_random_uuid()) as random) v,
    unnest(array[0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14]) i (byte);
$$;

comment on function gifts.new_code() is
  'A new gift code: 12 symbols, 60 random bits. Of the symbols people take for each other (0 O, 1 I L, V U) only the first is used; gifts.normal_code reads the others as it. Internal.';
--! EndIncluded gifts/new_code.sql
--! Included gifts/normal_code.sql
create or replace function gifts.normal_code(p_code text)
returns text
language sql
immutable
return (
  select n.code
  from (
    select translate(
      upper(regexp_replace(p_code, '[\s\u2010-\u2015\u2212-]', '', 'g') collate pg_c_utf8),
      'OILU',
      '011V'
    ) as code
  ) n
  where n.code ~ '^[0-9A-HJKMNP-TV-Z]{12}$'
);

comment on function gifts.normal_code(text) is
  'A code as it is stored, from how somebody typed it: any case, with or without dashes and blanks, O for 0, I or L for 1, U for V. Null when it can''t be one. Internal.';
--! EndIncluded gifts/normal_code.sql
--! Included gifts/shown_code.sql
create or replace function gifts.shown_code(p_code text)
returns text
language sql
immutable
return substr(p_code, 1, 4) || '-' || substr(p_code, 5, 4) || '-' || substr(p_code, 9, 4);

comment on function gifts.shown_code(text) is 'A stored code as people see it: ABCD-EFGH-JKMN. Internal.';
--! EndIncluded gifts/shown_code.sql
--! Included gifts/normal_email.sql
create or replace function gifts.normal_email(p_email text)
returns text
language sql
immutable
return nullif(lower(btrim(p_email, E' \t\r\n') collate pg_c_utf8), '');

comment on function gifts.normal_email(text) is
  'An e-mail address as it is stored and compared: lower case, no blanks around it; null when nothing is left. Internal.';
--! EndIncluded gifts/normal_email.sql
--! Included gifts/status.sql
create or replace function gifts.status(p_gift gifts.gift_codes, p_now timestamptz)
returns text
language sql
immutable
return case when p_gift.status = 'active' and p_gift.expires_at <= p_now then 'expired' else p_gift.status end;

comment on function gifts.status(gifts.gift_codes, timestamptz) is
  'A gift''s state at a time: past its expiry it is expired, swept or not. Internal.';
--! EndIncluded gifts/status.sql
--! Included gifts/gift_json.sql
create or replace function gifts.gift_json(p_gift gifts.gift_codes, p_now timestamptz)
returns jsonb
language sql
immutable
return jsonb_build_object(
  'id', p_gift.id,
  'code', gifts.shown_code(p_gift.code),
  'type', p_gift.type,
  'status', gifts.status(p_gift, p_now),
  'totalCredits', p_gift.total_credits,
  'redeemed', p_gift.status = 'redeemed',
  'targetEmail', p_gift.target_email,
  'message', p_gift.message,
  'expiresAt', credits.iso8601(p_gift.expires_at),
  'createdAt', credits.iso8601(p_gift.created_at),
  'closedAt', credits.iso8601(p_gift.closed_at)
);

comment on function gifts.gift_json(gifts.gift_codes, timestamptz) is
  'A gift as its creator sees it, and nobody else: it holds the address it is meant for. Internal.';
--! EndIncluded gifts/gift_json.sql
--! Included gifts/lock_balances.sql
create or replace function gifts.lock_balances(p_user_ids text[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text;
begin
  for v_user_id in select distinct u.user_id from unnest(p_user_ids) u (user_id) order by u.user_id loop
    perform credits.lock_balance(v_user_id);
  end loop;
end
$$;

comment on function gifts.lock_balances(text[]) is
  'Locks several balances in user_id order, each made with zeros if new. What touches a gift does this first and locks the gift after, so that no two wait for each other in a circle. Internal.';
--! EndIncluded gifts/lock_balances.sql
--! Included gifts/guesser.sql
create or replace function gifts.guesser(p_client inet)
returns text
language sql
immutable
return 'address ' || case
  when family(p_client) = 4 then host(p_client)
  -- An IPv4 client as a dual-stack socket names it, ::ffff:192.0.2.1: all of them are in one /64.
  when p_client << '::ffff:0:0/96' then replace(host(p_client), '::ffff:', '')
  -- Who has one IPv6 address has its /64.
  else text(network(set_masklen(p_client, 64)))
end;

comment on function gifts.guesser(inet) is
  'Whose misses a client address''s are: its own in IPv4, those of its /64 in IPv6. Null for no address. Internal.';
--! EndIncluded gifts/guesser.sql
--! Included gifts/check_misses.sql
create or replace function gifts.check_misses(p_guesser text, p_allowed integer, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_missed_at timestamptz[];
  v_retry_after integer;
begin
  -- One look at a time for each guesser, until the miss, if it is one, is counted: a hundred guesses sent at
  -- once are no way round. Not a row lock: most who come here have no row, and hits write none.
  perform pg_advisory_xact_lock(hashtextextended('gifts.misses ' || p_guesser, 0));
  select array(
    select t.missed_at
    from gifts.misses m, unnest(m.missed_at) t (missed_at)
    where m.guesser = p_guesser and t.missed_at > p_now - interval '1 minute'
    order by t.missed_at
  ) into v_missed_at;
  if cardinality(v_missed_at) >= p_allowed then
    -- Until the oldest of the last p_allowed misses is a minute old.
    v_retry_after := least(60, greatest(1, ceil(extract(
      epoch from v_missed_at[cardinality(v_missed_at) - p_allowed + 1] + interval '1 minute' - p_now
    ))));
    raise exception using
      errcode = 'CR205',
      message = format(
        'Too many codes that don''t exist. Wait %s s, and type the code as it was sent.', v_retry_after
      ),
      detail = jsonb_build_object('retryAfterSeconds', v_retry_after);
  end if;
end
$$;

comment on function gifts.check_misses(text, integer, timestamptz) is
  'Raises CR205 when this guesser missed p_allowed (at most 30) times within the last minute, else lets nobody else with the same name look until the transaction ends. Internal.';
--! EndIncluded gifts/check_misses.sql
--! Included gifts/count_miss.sql
create or replace function gifts.count_miss(p_guesser text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into gifts.misses as m (guesser, missed_at, last_missed_at)
  values (p_guesser, array[p_now], p_now)
  on conflict (guesser) do update
  set
    missed_at = array(
      select t.missed_at from unnest(m.missed_at) t (missed_at) where t.missed_at > p_now - interval '1 minute'
    ) || p_now,
    last_missed_at = p_now;

  -- One in, up to two out: the table never outgrows a minute's misses.
  delete from gifts.misses m
  where m.guesser in (
    select o.guesser
    from gifts.misses o
    where o.last_missed_at <= p_now - interval '1 minute'
    order by o.last_missed_at
    limit 2
    for update skip locked
  );
end
$$;

comment on function gifts.count_miss(text, timestamptz) is
  'Remembers that a guesser asked for a code that doesn''t exist. gifts.check_misses comes first, in the same transaction, which must commit: a miss is answered, never raised. Internal.';
--! EndIncluded gifts/count_miss.sql
--! Included gifts/check_active.sql
create or replace function gifts.check_active(p_gift gifts.gift_codes, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status text := gifts.status(p_gift, p_now);
begin
  if v_status = 'expired' then
    raise exception using
      errcode = 'CR203',
      message = format(
        'The gift expired on %s; its credits go back to who gave it.',
        to_char(p_gift.expires_at at time zone 'UTC', 'YYYY-MM-DD')
      ),
      detail = jsonb_build_object('expiresAt', credits.iso8601(p_gift.expires_at));
  end if;
  if v_status <> 'active' then
    raise exception using
      errcode = 'CR202',
      message = format('The gift is %s already.', v_status),
      detail = jsonb_build_object('giftStatus', v_status);
  end if;
end
$$;

comment on function gifts.check_active(gifts.gift_codes, timestamptz) is
  'Raises CR203 when the gift is expired, CR202 when it is redeemed or cancelled. Internal.';
--! EndIncluded gifts/check_active.sql
--! Included gifts/check_redeemable.sql
create or replace function gifts.check_redeemable(
  p_gift gifts.gift_codes, p_email text, p_email_verified boolean, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform gifts.check_active(p_gift, p_now);
  if p_gift.type = 'personalized'
     and (gifts.normal_email(p_email) is distinct from p_gift.target_email or p_email_verified is false) then
    raise exception using
      errcode = 'CR204',
      message = 'The gift is for somebody else: sign in with the e-mail address it was sent to, and confirm it.',
      detail = '{}';
  end if;
end
$$;

comment on function gifts.check_redeemable(gifts.gift_codes, text, boolean, timestamptz) is
  'Raises CR203 expired, CR202 redeemed or cancelled, CR204 personalized for another address or for one that is marked unverified. Internal.';
--! EndIncluded gifts/check_redeemable.sql
--! Included gifts/spendable.sql
create or replace function gifts.spendable(p_user_id text)
returns bigint
language sql
volatile -- what this transaction has just written counts
set search_path = pg_catalog, pg_temp
as $$
  select b.balance - b.held from credits.balances b where b.user_id = p_user_id;
$$;

comment on function gifts.spendable(text) is
  'Credits a user can spend now, read after a posting: what came in may have paid a debt or a subscription. The caller holds the lock. Internal.';
--! EndIncluded gifts/spendable.sql
--! Included gifts/post.sql
create or replace function gifts.post(
  p_gift gifts.gift_codes, p_user_id text, p_posting credits.posting, p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting := p_posting;
begin
  v_posting.type := 'gift';
  v_posting.counter_account := 'gifts';
  -- The id, not the code: the ledger is read by people whom nobody gave a gift.
  v_posting.metadata := jsonb_build_object('giftId', p_gift.id);
  if p_user_id = p_gift.creator_id then
    v_posting.related_transaction_id := p_gift.escrow_transaction_id;
  end if;
  return credits.post(credits.lock_balance(p_user_id), v_posting, p_now);
end
$$;

comment on function gifts.post(gifts.gift_codes, text, credits.posting, timestamptz) is
  'One ledger row between a user and the escrow account of gifts: the posting''s amount, description, app_id, idempotency_key and caller. The caller holds the locks and has checked. Internal.';
--! EndIncluded gifts/post.sql
--! Included gifts/pay_out.sql
create or replace function gifts.pay_out(
  p_gift gifts.gift_codes, p_user_id text, p_posting credits.posting, p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting := p_posting;
  v_transaction credits.transactions;
begin
  v_posting.amount := p_gift.total_credits;
  v_posting.description := 'Gift received';
  v_transaction := gifts.post(p_gift, p_user_id, v_posting, p_now);
  insert into gifts.gift_redemptions (gift_id, user_id, transaction_id, source_app_id, redeemed_at)
  values (p_gift.id, p_user_id, v_transaction.id, v_posting.app_id, p_now);
  update gifts.gift_codes g
  set status = 'redeemed', closed_at = p_now
  where g.id = p_gift.id;

  -- To both sides. Neither learns who the other is beyond the name the giver signed with.
  perform credits.emit(
    p_gift.creator_id,
    'gift.redeemed',
    jsonb_build_object('giftId', p_gift.id, 'side', 'creator', 'credits', p_gift.total_credits),
    p_now
  );
  perform credits.emit(
    p_user_id,
    'gift.redeemed',
    jsonb_build_object(
      'giftId', p_gift.id,
      'side', 'redeemer',
      'credits', p_gift.total_credits,
      'creatorName', p_gift.creator_name,
      'message', p_gift.message,
      'transactionId', v_transaction.id
    ),
    p_now
  );
  return v_transaction;
end
$$;

comment on function gifts.pay_out(gifts.gift_codes, text, credits.posting, timestamptz) is
  'Pays a gift to a user and closes it; the posting says app_id, idempotency_key and caller. The caller holds both balances and the gift, and has checked that the user may have it. Internal.';
--! EndIncluded gifts/pay_out.sql
--! Included gifts/give_back.sql
create or replace function gifts.give_back(
  p_gift gifts.gift_codes, p_status text, p_caller text, p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting;
  v_transaction credits.transactions;
begin
  v_posting.amount := p_gift.total_credits;
  v_posting.description := format('Gift %s, credits returned', p_status);
  v_posting.caller := p_caller;
  v_transaction := gifts.post(p_gift, p_gift.creator_id, v_posting, p_now);
  update gifts.gift_codes g
  set status = p_status, closed_at = p_now, return_transaction_id = v_transaction.id
  where g.id = p_gift.id;
  perform credits.emit(
    p_gift.creator_id,
    'gift.' || p_status,
    jsonb_build_object('giftId', p_gift.id, 'credits', p_gift.total_credits, 'transactionId', v_transaction.id),
    p_now
  );
  return v_transaction;
end
$$;

comment on function gifts.give_back(gifts.gift_codes, text, text, timestamptz) is
  'Returns a gift''s credits to its creator and closes it as expired or cancelled. The caller holds the creator''s balance and the gift, and has checked that it is active. Internal.';
--! EndIncluded gifts/give_back.sql
--! Included gifts/create.sql
create or replace function gifts.create(
  p_user_id text,
  p_total_credits bigint,
  p_type text default null,
  p_target_email text default null,
  p_message text default null,
  p_expiration_days integer default 90,
  p_creator_name text default null,
  p_idempotency_key text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_gift gifts.gift_codes;
  v_request jsonb;
  v_balance credits.balances;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  v_gift.target_email := gifts.normal_email(p_target_email);
  v_gift.message := nullif(btrim(p_message, E' \t\r\n'), '');
  -- On one line, and without the signs that turn the words around it: it stands in sentences of ours.
  v_gift.creator_name := regexp_replace(
    p_creator_name, '[\u0001-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]', ' ', 'g'
  );
  v_gift.creator_name := nullif(left(btrim(v_gift.creator_name), 100), '');
  -- Some sign-ins put the address where the name belongs: then the gift is from nobody in particular.
  if v_gift.creator_name ~ '\S@\S' then
    v_gift.creator_name := null;
  end if;
  -- Who names an address means that person, said or not.
  v_gift.type := coalesce(p_type, (case when v_gift.target_email is null then 'simple' else 'personalized' end));

  perform credits.check_text('userId', p_user_id, 128);
  if p_total_credits is null or p_total_credits not between 1 and 10000 then
    perform credits.invalid('totalCredits', 'must be a whole number from 1 to 10000');
  end if;
  if v_gift.type not in ('simple', 'personalized') then
    perform credits.invalid('type', 'must be simple or personalized');
  end if;
  if v_gift.type = 'simple' and v_gift.target_email is not null then
    perform credits.invalid('targetEmail', 'must be left out of a simple gift, which whoever has the code redeems');
  end if;
  if v_gift.type = 'personalized'
     and (v_gift.target_email is null
          or v_gift.target_email !~ '^[^\s@]+@[^\s@]+$' or char_length(v_gift.target_email) > 254) then
    perform credits.invalid('targetEmail', 'must be an e-mail address of at most 254 characters');
  end if;
  if v_gift.message is not null then
    perform credits.check_text('message', v_gift.message, 500);
  end if;
  if p_expiration_days is null or p_expiration_days not between 1 and 366 then
    perform credits.invalid('expirationDays', 'must be a whole number from 1 to 366');
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;
  v_request := jsonb_build_array(
    'gifts.create', p_total_credits, v_gift.type, v_gift.target_email, v_gift.message, p_expiration_days
  );

  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    -- The answer is kept without the code, which is money: tables that people read don't hold it.
    return v_answer || (
      select jsonb_build_object('code', gifts.shown_code(g.code))
      from gifts.gift_codes g
      where g.id = (v_answer ->> 'id')::uuid
    );
  end if;
  perform credits.check_spendable(v_balance, p_total_credits);

  v_gift.id := uuidv7();
  v_gift.creator_id := p_user_id;
  v_gift.status := 'active';
  v_gift.total_credits := p_total_credits;
  -- Days of 24 hours: a day's length isn't the session's time zone's to say. To the millisecond, as it is shown.
  v_gift.expires_at := date_trunc('milliseconds', p_now) + make_interval(hours => 24 * p_expiration_days);
  v_gift.created_at := p_now;
  v_posting.amount := -p_total_credits;
  v_posting.description := 'Gift';
  v_posting.idempotency_key := p_idempotency_key;
  v_posting.caller := p_caller;
  v_transaction := gifts.post(v_gift, p_user_id, v_posting, p_now);
  v_gift.escrow_transaction_id := v_transaction.id;

  -- 60 bits meet twice once in a billion codes; five in a row means that chance is broken.
  for v_attempt in 1..5 loop
    v_gift.code := gifts.new_code();
    insert into gifts.gift_codes values (v_gift.*) on conflict (code) do nothing;
    exit when found;
    if v_attempt = 5 then
      raise exception 'five new gift codes in a row were taken already';
    end if;
  end loop;
  perform credits.emit(
    p_user_id,
    'gift.created',
    jsonb_build_object(
      'giftId', v_gift.id,
      'type', v_gift.type,
      'credits', p_total_credits,
      'expiresAt', credits.iso8601(v_gift.expires_at),
      'transactionId', v_transaction.id
    ),
    p_now
  );

  v_answer := gifts.gift_json(v_gift, p_now) || jsonb_build_object('newBalance', gifts.spendable(p_user_id));
  perform credits.remember_answer(
    p_user_id, p_caller, p_idempotency_key, v_request, v_answer - 'code', p_now
  );
  return v_answer;
end
$$;

comment on function gifts.create(text, bigint, text, text, text, integer, text, text, text, timestamptz) is
  'Takes 1 to 10,000 credits from a user into escrow and answers the gift with its new code: { id, code, type, status, totalCredits, redeemed, targetEmail, message, expiresAt, createdAt, closedAt, newBalance }, newBalance in credits that can still be spent; replayed: true when the key was seen before. p_type simple (whoever has the code) or personalized (only p_target_email), by default what the address suggests; p_expiration_days 1 to 366; p_creator_name is shown to the receiver, unless it is an e-mail address. CR001 invalid argument, CR002 not enough credits, CR003 key reused. For mana_service and mana_ops.';
--! EndIncluded gifts/create.sql
--! Included gifts/look_up.sql
create or replace function gifts.look_up(
  p_code text, p_client inet default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_guesser text := gifts.guesser(p_client);
  v_gift gifts.gift_codes;
begin
  if v_guesser is not null then
    perform gifts.check_misses(v_guesser, 30, p_now);
  end if;
  select * into v_gift from gifts.gift_codes g where g.code = gifts.normal_code(p_code);
  if not found then
    -- Answered, not raised: an error would undo the counting.
    if v_guesser is not null then
      perform gifts.count_miss(v_guesser, p_now);
    end if;
    return jsonb_build_object('found', false);
  end if;
  return jsonb_build_object(
    'found', true,
    'gift', jsonb_build_object(
      'code', gifts.shown_code(v_gift.code),
      'type', v_gift.type,
      'status', gifts.status(v_gift, p_now),
      'totalCredits', v_gift.total_credits,
      'redeemed', v_gift.status = 'redeemed',
      'isPersonalized', v_gift.type = 'personalized',
      'message', v_gift.message,
      'creatorName', v_gift.creator_name,
      'expiresAt', credits.iso8601(v_gift.expires_at)
    )
  );
end
$$;

comment on function gifts.look_up(text, inet, timestamptz) is
  'What a code shows to anybody who has it: { found: true, gift: { code, type, status, totalCredits, redeemed, isPersonalized, message, creatorName, expiresAt } }, never an address or a user id; { found: false } when there is none. A client address (an IPv6 /64) has 30 misses within a minute; p_client null isn''t counted. CR205 too many misses. For mana_service and mana_ops.';
--! EndIncluded gifts/look_up.sql
--! Included gifts/redeem.sql
create or replace function gifts.redeem(
  p_user_id text,
  p_code text,
  p_email text default null,
  p_email_verified boolean default null,
  p_source_app_id text default null,
  p_idempotency_key text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_code text := gifts.normal_code(p_code);
  v_request jsonb;
  v_gift gifts.gift_codes;
  v_answer jsonb;
  v_posting credits.posting;
  v_transaction credits.transactions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_source_app_id is not null then
    perform credits.check_text('sourceAppId', p_source_app_id, 64);
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;
  perform gifts.check_misses('user ' || p_user_id, 10, p_now);
  select * into v_gift from gifts.gift_codes g where g.code = v_code;
  if not found then
    -- Answered, not raised: an error would undo the counting.
    perform gifts.count_miss('user ' || p_user_id, p_now);
    return jsonb_build_object('found', false);
  end if;

  -- Before any lock, since a closed gift stays closed: who can't have it keeps nobody waiting.
  v_request := jsonb_build_array('gifts.redeem', v_gift.id, p_source_app_id);
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform gifts.check_redeemable(v_gift, p_email, p_email_verified, p_now);

  -- The giver's too, for the event that tells them.
  perform gifts.lock_balances(array[v_gift.creator_id, p_user_id]);
  select * into strict v_gift from gifts.gift_codes g where g.id = v_gift.id for no key update;
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  perform gifts.check_redeemable(v_gift, p_email, p_email_verified, p_now);

  v_posting.app_id := p_source_app_id;
  v_posting.idempotency_key := p_idempotency_key;
  v_posting.caller := p_caller;
  v_transaction := gifts.pay_out(v_gift, p_user_id, v_posting, p_now);
  v_answer := jsonb_build_object(
    'found', true,
    'giftId', v_gift.id,
    'transactionId', v_transaction.id,
    'creditsReceived', v_gift.total_credits,
    'newBalance', gifts.spendable(p_user_id),
    'message', v_gift.message,
    'creatorName', v_gift.creator_name
  );
  perform credits.remember_answer(p_user_id, p_caller, p_idempotency_key, v_request, v_answer, p_now);
  return v_answer;
end
$$;

comment on function gifts.redeem(text, text, text, boolean, text, text, text, timestamptz) is
  'Pays a gift to a user, all of it, once. p_email and p_email_verified are what the user''s sign-in says: a personalized gift is only for its address, not marked unverified. The giver may redeem a simple gift too. Answers { found: true, giftId, transactionId, creditsReceived, newBalance, message, creatorName }, newBalance in credits that can be spent, replayed: true when the key was seen before; { found: false } when there is no such code, which a user may miss 10 times within a minute. CR001 invalid argument, CR003 key reused, CR202 redeemed or cancelled, CR203 expired, CR204 for somebody else, CR205 too many misses. For mana_service and mana_ops.';
--! EndIncluded gifts/redeem.sql
--! Included gifts/redeem_pending.sql
create or replace function gifts.redeem_pending(
  p_user_id text,
  p_email text,
  p_limit integer default 100,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_email text := gifts.normal_email(p_email);
  v_ids uuid[];
  v_creator_ids text[];
  v_posting credits.posting;
  v_gift gifts.gift_codes;
  v_redeemed bigint := 0;
  v_total_credits bigint := 0;
  v_failed bigint := 0;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform credits.check_text('email', v_email, 254);
  if p_limit is null or p_limit not between 1 and 1000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 1000');
  end if;

  select array_agg(g.id), array_agg(g.creator_id)
  into v_ids, v_creator_ids
  from (
    select o.id, o.creator_id
    from gifts.gift_codes o
    where o.target_email = v_email and o.status = 'active' and o.expires_at > p_now
    order by o.id
    limit p_limit + 1 -- one more than we redeem, to know whether there are more
  ) g;
  if v_ids is not null then
    perform gifts.lock_balances(v_creator_ids[1:p_limit] || p_user_id);
  end if;

  v_posting.caller := p_caller;
  -- Those that are still open under the lock. Each stands alone: what goes wrong with one is its own affair.
  for v_gift in
    select *
    from gifts.gift_codes g
    where g.id = any (v_ids[1:p_limit]) and g.status = 'active'
    order by g.id
    for no key update
  loop
    begin
      perform gifts.pay_out(v_gift, p_user_id, v_posting, p_now);
      v_redeemed := v_redeemed + 1;
      v_total_credits := v_total_credits + v_gift.total_credits;
    exception when others then
      -- The server's state (conflict, lock, shutdown, full disk) isn't the gift's fault: the whole call is made again.
      if sqlstate ~ '^(08|25|40|53|55|57|58)' then
        raise;
      end if;
      raise warning 'gift % was not redeemed for user %: % (%)', v_gift.id, p_user_id, sqlerrm, sqlstate;
      v_failed := v_failed + 1;
    end;
  end loop;

  return jsonb_build_object(
    'redeemed', v_redeemed,
    'totalCredits', v_total_credits,
    'failed', v_failed,
    'more', coalesce(cardinality(v_ids) > p_limit, false)
  );
end
$$;

comment on function gifts.redeem_pending(text, text, integer, text, timestamptz) is
  'Pays every open personalized gift for an address to the user who was shown to own it, the p_limit (1 to 1000) oldest, each on its own. Answers { redeemed, totalCredits } of those really paid, failed (left open, logged as a warning) and more: true when the limit left some; call it again then. Safe to repeat. CR001 invalid argument. For mana_service and mana_ops.';
--! EndIncluded gifts/redeem_pending.sql
--! Included gifts/cancel.sql
create or replace function gifts.cancel(
  p_user_id text, p_gift_id uuid, p_caller text default session_user, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_gift gifts.gift_codes;
begin
  select * into v_gift from gifts.gift_codes g where g.id = p_gift_id and g.creator_id = p_user_id;
  if not found then
    raise exception using
      errcode = 'CR201', message = 'You gave no such gift.',
      detail = jsonb_build_object('giftId', p_gift_id);
  end if;
  perform credits.lock_balance(p_user_id);
  select * into strict v_gift from gifts.gift_codes g where g.id = p_gift_id for no key update;
  perform gifts.check_active(v_gift, p_now);
  perform gifts.give_back(v_gift, 'cancelled', p_caller, p_now);
  return jsonb_build_object(
    'giftId', p_gift_id,
    'refundedCredits', v_gift.total_credits,
    'newBalance', gifts.spendable(p_user_id)
  );
end
$$;

comment on function gifts.cancel(text, uuid, text, timestamptz) is
  'Takes back a gift that nobody has redeemed: its credits return to the user who gave it, its code is void. Answers { giftId, refundedCredits, newBalance }, newBalance in credits that can be spent. CR201 no such gift of this user, CR202 redeemed or cancelled, CR203 expired (the credits come back by themselves). For mana_service and mana_ops.';
--! EndIncluded gifts/cancel.sql
--! Included gifts/expire.sql
create or replace function gifts.expire(
  p_now timestamptz default now(), p_limit integer default 500, p_caller text default session_user
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_ids uuid[];
  v_user_ids text[];
  v_gift gifts.gift_codes;
  v_expired bigint := 0;
  v_total_credits bigint := 0;
  v_failed bigint := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;
  select array_agg(g.id)
  into v_ids
  from (
    select o.id
    from gifts.gift_codes o
    where o.status = 'active' and o.expires_at <= p_now
    order by o.expires_at
    limit p_limit
  ) g;
  -- Balances first, in order, then their gifts. What somebody is using is left for the next run.
  select array_agg(locked.user_id)
  into v_user_ids
  from (
    select b.user_id
    from credits.balances b
    where b.user_id in (select g.creator_id from gifts.gift_codes g where g.id = any (v_ids))
    order by b.user_id
    for no key update skip locked
  ) locked;

  for v_gift in
    select *
    from gifts.gift_codes g
    where g.id = any (v_ids) and g.creator_id = any (v_user_ids) and g.status = 'active'
    order by g.id
    for no key update skip locked
  loop
    begin
      perform gifts.give_back(v_gift, 'expired', p_caller, p_now);
      v_expired := v_expired + 1;
      v_total_credits := v_total_credits + v_gift.total_credits;
    exception when others then
      -- The server's state (conflict, lock, shutdown, full disk) isn't the gift's fault: the next run does the batch again.
      if sqlstate ~ '^(08|25|40|53|55|57|58)' then
        raise;
      end if;
      raise warning 'gift % was not returned: % (%)', v_gift.id, sqlerrm, sqlstate;
      v_failed := v_failed + 1;
    end;
  end loop;
  return jsonb_build_object('expired', v_expired, 'totalCredits', v_total_credits, 'failed', v_failed);
end
$$;

comment on function gifts.expire(timestamptz, integer, text) is
  'Returns the credits of gifts past their expiry to who gave them: the p_limit (1 to 10,000) oldest, skipping what somebody has locked, each on its own. Answers { expired, totalCredits, failed }, numbers of this run; call again until expired is 0. CR001 limit. For mana_service and mana_ops.';
--! EndIncluded gifts/expire.sql
--! Included gifts/created_by.sql
create or replace function gifts.created_by(
  p_user_id text, p_limit integer default 100, p_before uuid default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_page gifts.gift_codes[];
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_limit is null or p_limit not between 1 and 200 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 200');
  end if;
  select coalesce(array_agg(page order by page.id desc), '{}')
  into v_page
  from (
    select *
    from gifts.gift_codes g
    where g.creator_id = p_user_id and (p_before is null or g.id < p_before)
    order by g.id desc
    limit p_limit + 1 -- one more than asked, to know whether there is a next page
  ) page;
  return jsonb_build_object(
    'gifts', (
      select coalesce(jsonb_agg(gifts.gift_json(g, p_now) order by g.id desc), '[]') from unnest(v_page[1:p_limit]) g
    ),
    'next', case when cardinality(v_page) > p_limit then v_page[p_limit].id end
  );
end
$$;

comment on function gifts.created_by(text, integer, uuid, timestamptz) is
  'A page of the gifts a user gave, newest first: { gifts, next }, each gift as gifts.create answers it, with its state now; next is the id to pass as p_before for the following page, null on the last. p_limit 1 to 200. CR001 invalid argument. For mana_service and mana_ops.';
--! EndIncluded gifts/created_by.sql
--! Included gifts/received_by.sql
create or replace function gifts.received_by(
  p_user_id text, p_limit integer default 100, p_before uuid default null
)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before_transaction_id uuid;
  v_page gifts.gift_redemptions[];
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_limit is null or p_limit not between 1 and 200 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 200');
  end if;
  if p_before is not null then
    select r.transaction_id into v_before_transaction_id
    from gifts.gift_redemptions r
    where r.user_id = p_user_id and r.gift_id = p_before;
    if not found then
      raise exception using
        errcode = 'CR201', message = 'You received no such gift to page from.',
        detail = jsonb_build_object('giftId', p_before);
    end if;
  end if;
  -- By ledger row: its id is drawn when the gift arrives, and is in order for one user.
  select coalesce(array_agg(page order by page.transaction_id desc), '{}')
  into v_page
  from (
    select *
    from gifts.gift_redemptions r
    where r.user_id = p_user_id and (p_before is null or r.transaction_id < v_before_transaction_id)
    order by r.transaction_id desc
    limit p_limit + 1 -- one more than asked, to know whether there is a next page
  ) page;
  return jsonb_build_object(
    'gifts', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'id', g.id,
            'code', gifts.shown_code(g.code),
            'credits', g.total_credits,
            'message', g.message,
            'creatorName', g.creator_name,
            'redeemedAt', credits.iso8601(r.redeemed_at)
          )
          order by r.transaction_id desc
        ),
        '[]'
      )
      from unnest(v_page[1:p_limit]) r
      join gifts.gift_codes g on g.id = r.gift_id
    ),
    'next', case when cardinality(v_page) > p_limit then v_page[p_limit].gift_id end
  );
end
$$;

comment on function gifts.received_by(text, integer, uuid) is
  'A page of the gifts a user redeemed, newest first: { gifts: [{ id, code, credits, message, creatorName, redeemedAt }], next }; next is the id to pass as p_before for the following page, null on the last. p_limit 1 to 200. CR001 invalid argument, CR201 p_before isn''t one of them. For mana_service and mana_ops.';
--! EndIncluded gifts/received_by.sql
--! Included ops/check_who_and_why.sql
create or replace function ops.check_who_and_why(p_who text, p_why text)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('who', btrim(p_who, e' \t\r\n'), 128);
  perform credits.check_text('why', btrim(p_why, e' \t\r\n'), 500);
end
$$;

comment on function ops.check_who_and_why(text, text) is
  'Raises CR001 unless somebody signs (1 to 128 characters) and says why (1 to 500), blanks around not counted. Internal.';
--! EndIncluded ops/check_who_and_why.sql
--! Included ops/post_by_hand.sql
create or replace function ops.post_by_hand(
  p_user_id text, p_type text, p_counter_account text, p_amount bigint, p_who text, p_why text, p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_who text := btrim(p_who, e' \t\r\n');
  v_why text := btrim(p_why, e' \t\r\n');
  v_balance credits.balances;
  v_posting credits.posting;
begin
  perform ops.check_who_and_why(v_who, v_why);
  -- greatest, since the smallest bigint has no abs
  perform credits.check_amount('amount', abs(greatest(p_amount, -1000000001)));
  v_balance := credits.lock_balance(p_user_id);
  if p_amount < 0 then
    perform credits.check_spendable(v_balance, -p_amount);
  end if;
  v_posting.type := p_type;
  v_posting.amount := p_amount;
  v_posting.counter_account := p_counter_account;
  v_posting.description := v_why;
  v_posting.metadata := jsonb_build_object('who', v_who, 'why', v_why);
  v_posting.caller := session_user;
  return credits.post(v_balance, v_posting, p_now);
end
$$;

comment on function ops.post_by_hand(text, text, text, bigint, text, text, timestamptz) is
  'One ledger row by hand, signed. Internal to ops.grant and ops.adjust.';
--! EndIncluded ops/post_by_hand.sql
--! Included ops/grant.sql
create or replace function ops.grant(
  p_user_id text, p_amount bigint, p_who text, p_why text, p_now timestamptz default now()
)
returns credits.transactions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_amount('amount', p_amount);
  return ops.post_by_hand(p_user_id, 'grant', 'promotions', p_amount, p_who, p_why, p_now);
end
$$;

comment on function ops.grant(text, bigint, text, text, timestamptz) is
  'Gives a user credits (1 to 1,000,000,000) by hand; who and why are kept in the ledger row, which is returned. Every call gives again: credits.grant is the one that gives once. CR001 invalid argument. For mana_ops.';
--! EndIncluded ops/grant.sql
--! Included ops/adjust.sql
create or replace function ops.adjust(
  p_user_id text, p_amount bigint, p_who text, p_why text, p_now timestamptz default now()
)
returns credits.transactions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  return ops.post_by_hand(p_user_id, 'adjustment', 'adjustments', p_amount, p_who, p_why, p_now);
end
$$;

comment on function ops.adjust(text, bigint, text, text, timestamptz) is
  'Corrects a balance by hand, up or down (never below what is held), at most 1,000,000,000 credits; who and why are kept in the ledger row, which is returned. CR001 invalid argument, CR002 not enough spendable credits. For mana_ops.';
--! EndIncluded ops/adjust.sql
--! Included ops/migrations.sql
create or replace function ops.migrations()
returns table (name text, applied_at timestamptz)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select m.filename, m.date
  from graphile_migrate.migrations m
  order by m.filename;
$$;

comment on function ops.migrations() is
  'The committed migrations this database has, oldest first, by number without their message: the service compares them with those it was built with. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded ops/migrations.sql
--! Included ops/verify_balances.sql
create or replace function ops.verify_balances()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with ledger as (
    select
      t.user_id,
      sum(t.amount) as balance,
      coalesce(sum(t.amount) filter (where t.amount > 0), 0) as total_earned,
      coalesce(-sum(t.amount) filter (where t.amount < 0), 0) as total_spent,
      max(t.seq) as version,
      (array_agg(t.balance_after order by t.seq desc))[1] as last_balance_after,
      (array_agg(t.hash order by t.seq desc))[1] as head
    from credits.transactions t
    group by t.user_id
  ),
  checked as (
    select
      coalesce(b.user_id, l.user_id) as user_id,
      b.user_id is null as missing,
      b.balance,
      b.total_earned,
      b.total_spent,
      b.version,
      b.head,
      coalesce(l.balance, 0) as ledger_balance,
      coalesce(l.total_earned, 0) as ledger_earned,
      coalesce(l.total_spent, 0) as ledger_spent,
      coalesce(l.version, 0) as ledger_version,
      coalesce(l.last_balance_after, 0) as ledger_balance_after,
      coalesce(l.head, '\x') as ledger_head
    from credits.balances b
    full join ledger l on l.user_id = b.user_id
  )
  select 'balance_row', c.user_id, 'the ledger has rows of this user, credits.balances has none'
  from checked c
  where c.missing
  union all
  select
    'balance_sum', c.user_id,
    format(
      'balance %s, ledger sum %s, last balance_after %s', c.balance, c.ledger_balance, c.ledger_balance_after
    )
  from checked c
  where not c.missing and (c.balance <> c.ledger_balance or c.balance <> c.ledger_balance_after)
  union all
  select 'balance_version', c.user_id, format('version %s, last seq %s', c.version, c.ledger_version)
  from checked c
  where not c.missing and c.version <> c.ledger_version
  union all
  select 'balance_head', c.user_id, 'head is not the hash of the last ledger row'
  from checked c
  where not c.missing and c.head <> c.ledger_head
  union all
  select
    'balance_totals', c.user_id,
    format(
      'total_earned %s, ledger %s; total_spent %s, ledger %s',
      c.total_earned, c.ledger_earned, c.total_spent, c.ledger_spent
    )
  from checked c
  where not c.missing and (c.total_earned <> c.ledger_earned or c.total_spent <> c.ledger_spent)
  union all
  -- Users and system accounts, derived from the same rows: what one side has, the other lacks.
  select 'zero_sum', null, format('user balances add up to %s, system accounts to %s', u.total, s.total)
  from
    (select coalesce(sum(b.balance), 0) as total from credits.balances b) u,
    (select coalesce(-sum(t.amount), 0) as total from credits.transactions t) s
  where u.total + s.total <> 0;
$$;

comment on function ops.verify_balances() is
  'Invariants 1, 3 and 7: each balance, its version, head and totals follow from the ledger, and users and system accounts sum to zero. Part of ops.verify().';
--! EndIncluded ops/verify_balances.sql
--! Included ops/verify_chain.sql
create or replace function ops.verify_chain()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with chained as (
    select
      t.user_id,
      t.seq,
      t.balance_before,
      t.balance_after,
      t.amount,
      t.hash,
      row_number() over w as expected_seq,
      coalesce(lag(t.balance_after) over w, 0) as previous_balance_after,
      credits.transaction_hash(coalesce(lag(t.hash) over w, '\x'), t) as expected_hash
    from credits.transactions t
    window w as (partition by t.user_id order by t.seq)
  )
  select 'ledger_seq', c.user_id, format('seq %s stands where %s belongs', c.seq, c.expected_seq)
  from chained c
  where c.seq <> c.expected_seq
  union all
  select
    'ledger_chain', c.user_id,
    format('seq %s: balance_before %s, previous balance_after %s', c.seq, c.balance_before, c.previous_balance_after)
  from chained c
  where c.balance_before <> c.previous_balance_after
  union all
  select
    'ledger_amount', c.user_id,
    format('seq %s: %s + %s is not %s', c.seq, c.balance_before, c.amount, c.balance_after)
  from chained c
  where c.balance_before + c.amount <> c.balance_after
  union all
  select 'ledger_hash', c.user_id, format('seq %s: the row is not the one that was hashed', c.seq)
  from chained c
  where c.hash <> c.expected_hash;
$$;

comment on function ops.verify_chain() is
  'Invariant 1: every user''s seq runs 1, 2, 3 …, each row starts where the last one ended, and the hashes chain. Part of ops.verify().';
--! EndIncluded ops/verify_chain.sql
--! Included ops/verify_holds.sql
create or replace function ops.verify_holds()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select 'held', b.user_id, format('held %s, open reservations %s', b.held, coalesce(r.held, 0))
  from credits.balances b
  left join (
    select o.user_id, sum(o.amount) as held
    from credits.reservations o
    where o.status = 'open'
    group by o.user_id
  ) r on r.user_id = b.user_id
  where b.held <> coalesce(r.held, 0)
  union all
  select
    'reservation_commit', r.user_id,
    format('reservation %s says it charged %s, the ledger %s', r.id, r.committed_amount, coalesce(-t.amount, 0))
  from credits.reservations r
  left join credits.transactions t on t.user_id = r.user_id and t.id = r.transaction_id
  where r.status = 'committed' and (t.id is null or t.type <> 'usage' or -t.amount <> r.committed_amount);
$$;

comment on function ops.verify_holds() is
  'Invariant 2: held is the sum of the open reservations, and a committed one has its charge in the ledger. Part of ops.verify().';
--! EndIncluded ops/verify_holds.sql
--! Included ops/verify_refunds.sql
create or replace function ops.verify_refunds()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    'refund_cap', r.user_id,
    format('charge %s of %s credits, refunded %s', r.related_transaction_id, coalesce(-c.amount, 0), r.refunded)
  from (
    select t.user_id, t.related_transaction_id, sum(t.amount) as refunded
    from credits.transactions t
    where t.type = 'refund' and t.related_transaction_id is not null
    group by t.user_id, t.related_transaction_id
  ) r
  left join credits.transactions c
    on c.user_id = r.user_id and c.id = r.related_transaction_id and c.type = 'usage'
  where c.id is null or r.refunded > -c.amount
  union all
  select 'grant', g.user_id, format('grant %s has no ledger row of type grant', g.reference_id)
  from credits.grants g
  left join credits.transactions t on t.user_id = g.user_id and t.id = g.transaction_id and t.type = 'grant'
  where t.id is null;
$$;

comment on function ops.verify_refunds() is
  'Invariant 5, the core''s part: no charge is refunded beyond itself, every grant has its ledger row. Part of ops.verify().';
--! EndIncluded ops/verify_refunds.sql
--! Included ops/verify_once.sql
create or replace function ops.verify_once()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    'idempotency_key', t.user_id,
    format('seq %s was asked for with key %s of %s, which is forgotten', t.seq, t.idempotency_key, t.caller)
  from credits.transactions t
  where t.idempotency_key is not null
    and not exists (
      select
      from credits.idempotency_keys k
      where k.user_id = t.user_id and k.caller = t.caller and k.key = t.idempotency_key
    )
  union all
  select
    'grant_reference', t.user_id,
    format('seq %s was given for %s, which is forgotten', t.seq, t.metadata ->> 'referenceId')
  from credits.transactions t
  where t.type = 'grant'
    and t.metadata ? 'referenceId'
    and not exists (
      select
      from credits.grants g
      where g.user_id = t.user_id
        and g.reference_id = t.metadata ->> 'referenceId'
        and g.transaction_id = t.id
    );
$$;

comment on function ops.verify_once() is
  'Invariant 5, the core''s part: what makes a call happen once is still there, the key of every keyed ledger row and the reference of every grant. Part of ops.verify().';
--! EndIncluded ops/verify_once.sql
--! Included ops/verify_gifts.sql
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
--! EndIncluded ops/verify_gifts.sql
--! Included ops/verify_usage.sql
create or replace function ops.verify_usage()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    'usage_stats', coalesce(s.user_id, l.user_id),
    format(
      '%s on %s: usage_stats %s credits in %s, ledger %s in %s',
      coalesce(s.app_id, l.app_id), coalesce(s.day, l.day),
      coalesce(s.credits_used, 0), coalesce(s.count, 0), coalesce(l.credits_used, 0), coalesce(l.count, 0)
    )
  from credits.usage_stats s
  full join (
    select
      t.user_id,
      (t.created_at at time zone 'UTC')::date as day,
      t.app_id,
      -sum(t.amount) as credits_used,
      count(*) as count
    from credits.transactions t
    where t.type = 'usage'
    group by 1, 2, 3
  ) l on l.user_id = s.user_id and l.day = s.day and l.app_id = s.app_id
  where s.credits_used is distinct from l.credits_used or s.count is distinct from l.count;
$$;

comment on function ops.verify_usage() is
  'Invariant 6: usage_stats equals the ledger''s usage by user, app and UTC day. Part of ops.verify().';
--! EndIncluded ops/verify_usage.sql
--! Included ops/verify.sql
create or replace function ops.verify()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from ops.verify_balances()
  union all
  select * from ops.verify_chain()
  union all
  select * from ops.verify_holds()
  union all
  select * from ops.verify_refunds()
  union all
  select * from ops.verify_once()
  union all
  select * from ops.verify_gifts()
  union all
  select * from ops.verify_usage();
$$;

comment on function ops.verify() is
  'Checks every invariant of the books against the rows: one row for each thing that is wrong, none when the books are true. Reads the whole ledger. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded ops/verify.sql
--! Included grants.sql
-- Who may call what. Functions not named here are internal: the owner's functions call them, nobody else.
revoke execute on all functions in schema credits, gifts, ops from public;

-- What the HTTP service and the worker call, and people in psql too.
grant execute on function
  credits.balance,
  credits.commit,
  credits.expire_reservations,
  credits.grant,
  credits.history,
  credits.init,
  credits.pricing,
  credits.refund,
  credits.release,
  credits.reserve,
  credits.usage,
  credits.use,
  credits.use_many,
  gifts.cancel,
  gifts.create,
  gifts.created_by,
  gifts.expire,
  gifts.look_up,
  gifts.received_by,
  gifts.redeem,
  gifts.redeem_pending,
  ops.migrations,
  ops.verify
to mana_service, mana_ops;

-- By hand, signed with who and why.
grant execute on function
  ops.adjust,
  ops.grant
to mana_ops;

-- Reads only.
grant execute on function
  credits.balance,
  credits.history,
  credits.pricing,
  credits.usage,
  ops.migrations,
  ops.verify
to mana_readonly;
--! EndIncluded grants.sql
--! EndIncluded all.sql

reset role;

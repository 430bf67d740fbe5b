--! Previous: sha1:fb5d7b27f0e17283fe98b08e02c71850633860a5
--! Hash: sha1:607593a6617b00393ca6dd88ba60e33bdcaf449a
--! Message: cloud sync

-- Cloud Sync, paid in credits: subscriptions, their charges, and the delivery of events.
set local role mana_owner;

create schema sync;
create schema events;

comment on schema sync is 'Cloud Sync subscriptions. Functions here answer with one JSON document; the tables are in credits.';
comment on schema events is 'Delivery of the outbox. Functions here answer with one JSON document; the table is credits.events.';

grant usage on schema sync, events to mana_service, mana_ops, mana_readonly;

create table credits.sync_prices (
  interval text primary key,
  months integer not null,
  credits bigint not null,
  sort_order integer not null,
  constraint sync_prices_interval_check check (sync_prices.interval ~ '^[a-z]{1,32}$'),
  constraint sync_prices_months_check check (months between 1 and 120),
  constraint sync_prices_credits_check check (credits between 1 and 1000000)
);

comment on table credits.sync_prices is 'What Cloud Sync costs: credits a period, and how many months the period lasts.';

insert into credits.sync_prices (sort_order, interval, months, credits)
values
  (10, 'monthly', 1, 30),
  (20, 'quarterly', 3, 90),
  (30, 'yearly', 12, 360);

create table credits.sync_subscriptions (
  user_id credits.user_id primary key references credits.balances (user_id),
  status text not null,
  interval text not null references credits.sync_prices (interval),
  auto_resume boolean not null default false,
  anchor timestamptz not null,
  months_paid integer not null,
  next_charge_at timestamptz,
  paid_until timestamptz,
  paused_at timestamptz,
  paused_by text,
  paused_why text,
  gifted_by text,
  gifted_at timestamptz,
  gift_revoked_by text,
  gift_revoked_at timestamptz,
  gifted boolean not null generated always as (gifted_at is not null and gift_revoked_at is null) stored,
  warned_for timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint sync_subscriptions_status_check check (status in ('inactive', 'active', 'paused')),
  -- Whole milliseconds, as the wire shows them: what a client reads as the next charge is the next charge.
  constraint sync_subscriptions_anchor_check check (anchor = date_trunc('milliseconds', anchor)),
  constraint sync_subscriptions_months_paid_check check (months_paid >= 0),
  constraint sync_subscriptions_next_charge_at_check check (
    (next_charge_at is not null) = (status = 'active' and not gifted)
  ),
  constraint sync_subscriptions_paused_check check (
    (status = 'paused') = (paused_at is not null)
    and (paused_by is null) = (paused_why is null)
    and (paused_by is null or status = 'paused')
  ),
  constraint sync_subscriptions_gift_check check (
    (gifted_by is null) = (gifted_at is null)
    and (gift_revoked_by is null) = (gift_revoked_at is null)
    and (gift_revoked_at is null or gifted_at is not null)
  )
) with (fillfactor = 70);

-- The charge run's queue: what is to be charged, by when.
create index sync_subscriptions_next_charge_at_idx
  on credits.sync_subscriptions (next_charge_at)
  where next_charge_at is not null;
create index sync_subscriptions_paused_at_idx
  on credits.sync_subscriptions (paused_at)
  where paused_at is not null;

comment on table credits.sync_subscriptions is 'One row a user who ever had Cloud Sync. Written only under the lock of the user''s balance.';
comment on column credits.sync_subscriptions.status is 'What the person has: inactive, active, or paused (credits ran out, or somebody paused it by hand). A gift lies over it and leaves it as it is.';
comment on column credits.sync_subscriptions.interval is 'Interval and price of the next charge; what was paid for is in sync_charges.';
comment on column credits.sync_subscriptions.auto_resume is 'Whether sync goes on by itself when credits arrive after a pause for want of them.';
comment on column credits.sync_subscriptions.anchor is 'The instant billing dates count from.';
comment on column credits.sync_subscriptions.months_paid is 'Months since the anchor that are paid; the next charge falls due that many months after it: sync.period_start(anchor, months_paid).';
comment on column credits.sync_subscriptions.next_charge_at is 'When the next charge falls due; null while nothing is to be charged.';
comment on column credits.sync_subscriptions.paid_until is 'End of the last period charged, also after sync was deactivated.';
comment on column credits.sync_subscriptions.paused_by is 'Who paused it by hand; null when credits ran out. Only credits end a pause that credits began.';
comment on column credits.sync_subscriptions.warned_for is 'The due date for which sync.renewal_at_risk was sent.';

create table credits.sync_charges (
  user_id credits.user_id not null,
  period_start timestamptz not null,
  period_end timestamptz not null,
  interval text not null,
  credits bigint not null,
  transaction_id uuid not null,
  created_at timestamptz not null,
  constraint sync_charges_pkey primary key (user_id, period_start),
  constraint sync_charges_transaction_id_fkey foreign key (user_id, transaction_id)
    references credits.transactions (user_id, id),
  constraint sync_charges_period_check check (period_end > period_start),
  constraint sync_charges_credits_check check (credits > 0)
);

comment on table credits.sync_charges is 'One row a period charged. Its primary key is what makes a period cost once.';

create table credits.sync_charge_errors (
  user_id credits.user_id primary key,
  period_start timestamptz,
  sqlstate text not null,
  message text not null,
  attempts integer not null,
  first_failed_at timestamptz not null,
  last_failed_at timestamptz not null,
  next_attempt_at timestamptz not null,
  constraint sync_charge_errors_attempts_check check (attempts >= 1)
);

comment on table credits.sync_charge_errors is 'Subscriptions that the charge run could not charge for a reason other than credits, until it can: see ops.sync_errors().';

-- What sync.post_charges is asked to charge. A type, so that a batch is an array of it.
create type credits.sync_period as (
  user_id text,
  interval text,
  months integer,
  credits bigint,
  period_start timestamptz,
  period_end timestamptz,
  available bigint -- credits that can be spent, as decided upon
);

-- What credits.post_many writes for one of its users.
create type credits.user_posting as (user_id text, posting credits.posting);

create table credits.settings (
  id integer primary key default 1,
  low_balance_threshold bigint,
  changed_by text,
  changed_why text,
  changed_at timestamptz,
  constraint settings_id_check check (id = 1),
  constraint settings_low_balance_threshold_check check (low_balance_threshold between 1 and 1000000000)
);

comment on table credits.settings is 'The one row of settings that the functions read. Set by ops functions.';
comment on column credits.settings.low_balance_threshold is 'Credits: a debit that takes the balance from this or more to less emits credits.low_balance; null for never.';

insert into credits.settings default values;

-- user_id first, as wherever a row belongs to a user; the primary key serves a user's list as well.
drop index credits.events_user_id_idx;
alter table credits.events
  drop constraint events_pkey,
  add constraint events_pkey primary key (user_id, id),
  add column deliver_at timestamptz default now(),
  add column attempts integer not null default 0,
  add column due_since timestamptz,
  add column delivered_at timestamptz,
  add column parked_at timestamptz,
  add column last_error text,
  add constraint events_delivery_check check (num_nonnulls(deliver_at, delivered_at, parked_at) = 1),
  add constraint events_attempts_check check (attempts >= 0);

create index events_deliver_at_idx on credits.events (deliver_at, id) where deliver_at is not null;
create index events_undelivered_idx on credits.events (user_id, id) where deliver_at is not null;
create index events_parked_at_idx on credits.events (parked_at, id) where parked_at is not null;

comment on column credits.events.deliver_at is 'When to try the delivery (again); null once delivered or parked. Moved into the future while a worker is at it, and while an earlier event of the user is in the way.';
comment on column credits.events.attempts is 'Deliveries begun.';
comment on column credits.events.due_since is 'When it was first tried, or first stood behind an earlier one. Three days later we give up.';
comment on column credits.events.delivered_at is 'When the receiver took it. Delivered events are kept.';
comment on column credits.events.parked_at is 'When we gave up: see ops.parked_events() and ops.replay_event().';
comment on column credits.transactions.caller is 'Who asked: user, service:<app>, or the database role of a person in psql; sync:<who> for a sync period.';

drop function gifts.spendable(text); -- credits.spendable is the same, for all


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
  insert into credits.events (user_id, type, data, created_at, deliver_at)
  values (p_user_id, p_type, p_data, p_now, p_now);
$$;

comment on function credits.emit(text, text, jsonb, timestamptz) is
  'Writes an event into the outbox, in the transaction of what happened. The caller holds the user''s balance lock. Internal.';
--! EndIncluded credits/emit.sql
--! Included credits/emit_many.sql
create or replace function credits.emit_many(p_user_ids text[], p_type text, p_data jsonb[], p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into credits.events (user_id, type, data, created_at, deliver_at)
  select e.user_id, p_type, e.data, p_now, p_now
  from unnest(p_user_ids, p_data) e (user_id, data);
$$;

comment on function credits.emit_many(text[], text, jsonb[], timestamptz) is
  'credits.emit for many users in one statement: the n-th event''s data belongs to the n-th user. The caller holds their balances'' locks. Internal.';
--! EndIncluded credits/emit_many.sql
--! Included credits/settle.sql
create or replace function credits.settle(p_user_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform sync.resume_by_itself(p_user_id, p_now);
end
$$;

comment on function credits.settle(text, timestamptz) is
  'What waits for credits gets them, now that a user can spend more than before, whatever brought it: sync paused for want of credits goes on if its owner chose so. Called by whatever raises balance - held, in the same transaction and under the balance''s lock; the balance may be lower afterwards. Internal.';
--! EndIncluded credits/settle.sql
--! Included credits/spendable.sql
create or replace function credits.spendable(p_user_id text)
returns bigint
language plpgsql
volatile -- read after what credits.settle did in the same statement
set search_path = pg_catalog, pg_temp
as $$
begin
  return (select b.balance - b.held from credits.balances b where b.user_id = p_user_id);
end
$$;

comment on function credits.spendable(text) is
  'Credits a user can spend as the balance stands, for answers given after credits.post: what came in may have been spent on a debt or on sync already. Null without an account. Internal.';
--! EndIncluded credits/spendable.sql
--! Included credits/post.sql
create or replace function credits.post(p_balance credits.balances, p_posting credits.posting, p_now timestamptz)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_transaction credits.transactions;
  v_threshold bigint;
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

  if p_posting.amount < 0 then
    select s.low_balance_threshold into v_threshold from credits.settings s;
    if v_transaction.balance_before >= v_threshold and v_transaction.balance_after < v_threshold then
      perform credits.emit(
        v_transaction.user_id, 'credits.low_balance',
        jsonb_build_object('balance', v_transaction.balance_after, 'threshold', v_threshold), p_now
      );
    end if;
  end if;
  if p_posting.amount + coalesce(p_posting.released, 0) > 0 then
    perform credits.settle(v_transaction.user_id, p_now);
  end if;

  return v_transaction;
end
$$;

comment on function credits.post(credits.balances, credits.posting, timestamptz) is
  'The writer of the ledger (credits.post_many is the same for many users): writes the row, the balance and the day''s usage, and returns the row. The caller holds the lock, passes the balance as it stands under it, and has checked that it suffices. What came in may be spent again before it returns (credits.settle): answer with credits.spendable, not with balance_after. Internal.';
--! EndIncluded credits/post.sql
--! Included credits/post_many.sql
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
--! EndIncluded credits/post_many.sql
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
    'newBalance', jsonb_build_object('balance', credits.spendable(p_user_id))
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
    'newBalance', credits.spendable(p_user_id),
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
    'balance', credits.spendable(v_reservation.user_id)
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

  update credits.balances b
  set held = b.held - v_reservation.amount, updated_at = p_now
  where b.user_id = v_reservation.user_id;
  perform credits.settle(v_reservation.user_id, p_now);
  v_answer := jsonb_build_object('balance', credits.spendable(v_reservation.user_id));
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
  perform credits.settle(u.user_id, p_now) from unnest(v_user_ids) u (user_id);
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
  -- Some sign-ins put the address where the name belongs: then the gift is from nobody in particular.
  v_gift.creator_name := nullif(left(btrim(p_creator_name, E' \t\r\n'), 100), '');
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

  v_answer := gifts.gift_json(v_gift, p_now) || jsonb_build_object('newBalance', credits.spendable(p_user_id));
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
    'newBalance', credits.spendable(p_user_id),
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
      -- A conflict, a shutdown or a full disk isn't the gift's fault: the whole call is made again.
      if sqlstate ~ '^(40|53|57|58)' then
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
    'newBalance', credits.spendable(p_user_id)
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
      -- A conflict, a shutdown or a full disk isn't the gift's fault: the next run does the batch again.
      if sqlstate ~ '^(40|53|57|58)' then
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
--! Included sync/period_start.sql
create or replace function sync.period_start(p_anchor timestamptz, p_months integer)
returns timestamptz
language sql
immutable
return (p_anchor at time zone 'UTC' + make_interval(months => p_months)) at time zone 'UTC';

comment on function sync.period_start(timestamptz, integer) is
  'The instant so many months after the anchor, by the UTC calendar whatever the session''s time zone: the anchor''s day and time, or the month''s last day where it has no such day (31 Jan, 28 Feb, 31 Mar). Every billing date is this of the anchor, never of another billing date. Internal.';
--! EndIncluded sync/period_start.sql
--! Included sync/price.sql
create or replace function sync.price(p_interval text)
returns credits.sync_prices
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_price credits.sync_prices;
begin
  select * into v_price from credits.sync_prices p where p.interval = p_interval;
  if not found then
    perform credits.invalid('interval', (
      select 'must be one of ' || string_agg(p.interval, ', ' order by p.sort_order) from credits.sync_prices p
    ));
  end if;
  return v_price;
end
$$;

comment on function sync.price(text) is
  'Credits and months of an interval. CR001: no such interval. Internal.';
--! EndIncluded sync/price.sql
--! Included sync/check_not_gifted.sql
create or replace function sync.check_not_gifted(p_subscription credits.sync_subscriptions)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_subscription.gifted then
    raise exception using
      errcode = 'CR103',
      message = 'Sync is a gift here: it runs without charge, and there is nothing to change until the gift ends.',
      detail = jsonb_build_object('giftedAt', credits.iso8601(p_subscription.gifted_at));
  end if;
end
$$;

comment on function sync.check_not_gifted(credits.sync_subscriptions) is
  'Raises CR103 while sync is a gift. Internal.';
--! EndIncluded sync/check_not_gifted.sql
--! Included sync/check_not_active.sql
create or replace function sync.check_not_active(p_subscription credits.sync_subscriptions)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_subscription.status = 'active' then
    raise exception using
      errcode = 'CR101', message = 'Sync is active already.',
      detail = jsonb_build_object('nextChargeAt', credits.iso8601(p_subscription.next_charge_at));
  end if;
end
$$;

comment on function sync.check_not_active(credits.sync_subscriptions) is
  'Raises CR101 while sync is active. Internal.';
--! EndIncluded sync/check_not_active.sql
--! Included sync/check_not_inactive.sql
create or replace function sync.check_not_inactive(p_subscription credits.sync_subscriptions)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_subscription.status is null or p_subscription.status = 'inactive' then
    raise exception using
      errcode = 'CR102', message = 'Sync is not active. Activate it first.', detail = '{}';
  end if;
end
$$;

comment on function sync.check_not_inactive(credits.sync_subscriptions) is
  'Raises CR102 unless there is a subscription, active or paused. Internal.';
--! EndIncluded sync/check_not_inactive.sql
--! Included sync/subscription.sql
create or replace function sync.subscription(p_user_id text)
returns credits.sync_subscriptions
language plpgsql
volatile -- a fresh snapshot: what committed while we waited for the lock must be seen
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  select * into v_subscription from credits.sync_subscriptions s where s.user_id = p_user_id;
  return v_subscription;
end
$$;

comment on function sync.subscription(text) is
  'A user''s subscription as it stands under the balance''s lock, which guards it; all nulls for a user who has none. Internal.';
--! EndIncluded sync/subscription.sql
--! Included sync/posting.sql
create or replace function sync.posting(p_period credits.sync_period, p_caller text)
returns credits.posting
language sql
stable
return row(
  'usage',
  -p_period.credits,
  'revenue:sync',
  'sync',
  'Cloud Sync, ' || p_period.interval,
  jsonb_build_object(
    'interval', p_period.interval,
    'periodStart', credits.iso8601(p_period.period_start),
    'periodEnd', credits.iso8601(p_period.period_end)
  ),
  null,
  null,
  -- Nothing that comes in from outside has such a caller, so ops.verify_sync() can tell these rows from all others.
  'sync:' || p_caller,
  null
)::credits.posting;

comment on function sync.posting(credits.sync_period, text) is
  'What a sync period puts into the ledger. Internal.';
--! EndIncluded sync/posting.sql
--! Included sync/post_charges.sql
create or replace function sync.post_charges(p_periods credits.sync_period[], p_caller text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_transactions credits.transactions[];
begin
  v_transactions := credits.post_many(
    (select array_agg(row(p.user_id, sync.posting(p, p_caller))::credits.user_posting) from unnest(p_periods) p), p_now
  );

  insert into credits.sync_charges (
    user_id, period_start, period_end, interval, credits, transaction_id, created_at
  )
  select p.user_id, p.period_start, p.period_end, p.interval, p.credits, t.id, p_now
  from unnest(p_periods) p
  join unnest(v_transactions) t on t.user_id = p.user_id;
  delete from credits.sync_charge_errors e using unnest(p_periods) p where e.user_id = p.user_id;

  perform credits.emit_many(
    array_agg(p.user_id),
    'sync.charged',
    array_agg(jsonb_build_object(
      'interval', p.interval,
      'credits', p.credits,
      'periodStart', credits.iso8601(p.period_start),
      'periodEnd', credits.iso8601(p.period_end),
      'transactionId', t.id
    )),
    p_now
  )
  from unnest(p_periods) p
  join unnest(v_transactions) t on t.user_id = p.user_id;
end
$$;

comment on function sync.post_charges(credits.sync_period[], text, timestamptz) is
  'Charges periods, one a user: ledger, sync_charges and the event sync.charged. The caller holds the balances'' locks, has checked that they suffice, and moves the subscriptions on. A period charged already violates sync_charges_pkey. Internal.';
--! EndIncluded sync/post_charges.sql
--! Included sync/start.sql
create or replace function sync.start(
  p_balance credits.balances,
  p_subscription credits.sync_subscriptions,
  p_interval text,
  p_auto_resume boolean,
  p_event text,
  p_facts jsonb,
  p_caller text,
  p_now timestamptz,
  out o_subscription credits.sync_subscriptions,
  out o_amount_charged bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_price credits.sync_prices := sync.price(p_interval);
  v_is_paid boolean := coalesce(p_subscription.paid_until > p_now, false);
  v_anchor timestamptz := p_subscription.anchor;
  v_months_paid integer := p_subscription.months_paid;
  v_next_charge_at timestamptz;
begin
  if v_is_paid then
    o_amount_charged := 0;
  else
    perform credits.check_spendable(p_balance, v_price.credits);
    o_amount_charged := v_price.credits;
    v_anchor := date_trunc('milliseconds', p_now);
    v_months_paid := v_price.months;
  end if;
  v_next_charge_at := sync.period_start(v_anchor, v_months_paid);

  insert into credits.sync_subscriptions as s (
    user_id, status, interval, auto_resume, anchor, months_paid, next_charge_at, paid_until, created_at, updated_at
  )
  values (
    p_balance.user_id, 'active', v_price.interval, p_auto_resume, v_anchor, v_months_paid, v_next_charge_at,
    v_next_charge_at, p_now, p_now
  )
  on conflict (user_id) do update
  set
    status = 'active',
    interval = excluded.interval,
    auto_resume = excluded.auto_resume,
    anchor = excluded.anchor,
    months_paid = excluded.months_paid,
    next_charge_at = excluded.next_charge_at,
    paid_until = case when v_is_paid then s.paid_until else excluded.paid_until end,
    paused_at = null,
    paused_by = null,
    paused_why = null,
    updated_at = p_now
  returning * into o_subscription;

  perform credits.emit(
    p_balance.user_id,
    p_event,
    p_facts || jsonb_build_object(
      'interval', v_price.interval,
      'amountCharged', o_amount_charged,
      'nextChargeAt', credits.iso8601(v_next_charge_at)
    ),
    p_now
  );
  if not v_is_paid then
    perform sync.post_charges(
      array[row(
        p_balance.user_id, v_price.interval, v_price.months, v_price.credits, v_anchor, v_next_charge_at, null
      )::credits.sync_period],
      p_caller,
      p_now
    );
  end if;
end
$$;

comment on function sync.start(
  credits.balances, credits.sync_subscriptions, text, boolean, text, jsonb, text, timestamptz
) is
  'Makes sync active from now on: free inside a paid period, whose dates stay; else a new anchor, and the first period charged. CR001 no such interval, CR002 not enough credits. The caller holds the balance''s lock, passes the balance and the subscription (nulls if there is none) as they stand, and has checked the state. Internal.';
--! EndIncluded sync/start.sql
--! Included sync/is_passing_trouble.sql
create or replace function sync.is_passing_trouble(p_sqlstate text)
returns boolean
language sql
immutable
return p_sqlstate ~ '^(08|25|40|53|55|57|58)';

comment on function sync.is_passing_trouble(text) is
  'Whether an error is the server''s state (connection, read-only, conflict, resources, locks, shutdown, I/O) and not the row''s: then the whole transaction ends, and the next run begins anew. Internal.';
--! EndIncluded sync/is_passing_trouble.sql
--! Included sync/record_error.sql
create or replace function sync.record_error(p_user_id text, p_sqlstate text, p_message text, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into credits.sync_charge_errors as e (
    user_id, period_start, sqlstate, message, attempts, first_failed_at, last_failed_at, next_attempt_at
  )
  values (
    p_user_id,
    (select s.next_charge_at from credits.sync_subscriptions s where s.user_id = p_user_id),
    p_sqlstate, left(p_message, 1000), 1, p_now, p_now, p_now + interval '1 hour'
  )
  on conflict (user_id) do update
  set
    period_start = excluded.period_start,
    sqlstate = excluded.sqlstate,
    message = excluded.message,
    attempts = e.attempts + 1,
    last_failed_at = excluded.last_failed_at,
    -- 1, 2, 4, 8, 16 hours, then once a day: what is broken wants a person, and is tried in case one came.
    next_attempt_at = p_now + least(interval '1 hour' * 2 ^ least(e.attempts, 5), interval '1 day');
$$;

comment on function sync.record_error(text, text, text, timestamptz) is
  'Records a subscription that can''t be charged, and when to try again. Internal.';
--! EndIncluded sync/record_error.sql
--! Included sync/resume_by_itself.sql
create or replace function sync.resume_by_itself(p_user_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
  v_balance credits.balances;
  v_price credits.sync_prices;
begin
  select * into v_subscription
  from credits.sync_subscriptions s
  where s.user_id = p_user_id and s.status = 'paused' and s.auto_resume and s.paused_by is null and not s.gifted;
  if not found then
    return;
  end if;
  v_price := sync.price(v_subscription.interval);
  select * into strict v_balance from credits.balances b where b.user_id = p_user_id;
  if v_balance.balance - v_balance.held < v_price.credits then
    return;
  end if;

  begin
    perform sync.start(
      v_balance, v_subscription, v_subscription.interval, true, 'sync.resumed', '{"by": "autoResume"}', 'autoResume', p_now
    );
  exception when others then
    -- A broken subscription must not turn away the credits that came in.
    if sync.is_passing_trouble(sqlstate) then
      raise;
    end if;
    perform sync.record_error(p_user_id, sqlstate, sqlerrm, p_now);
  end;
end
$$;

comment on function sync.resume_by_itself(text, timestamptz) is
  'Resumes sync that paused for want of credits, if its owner chose autoResume and the credits are there now: as sync.activate would. The caller holds the balance''s lock. Internal.';
--! EndIncluded sync/resume_by_itself.sql
--! Included sync/status_json.sql
create or replace function sync.status_json(p_subscription credits.sync_subscriptions)
returns jsonb
language sql
stable
return jsonb_build_object(
  'active', coalesce(p_subscription.status = 'active' or p_subscription.gifted, false),
  'interval', coalesce(p_subscription.interval, 'monthly'),
  'nextChargeAt', credits.iso8601(p_subscription.next_charge_at),
  'pausedAt', case when not p_subscription.gifted then credits.iso8601(p_subscription.paused_at) end,
  'paidUntil', credits.iso8601(p_subscription.paid_until),
  'gifted', coalesce(p_subscription.gifted, false),
  'price', (
    select p.credits
    from credits.sync_prices p
    where p.interval = coalesce(p_subscription.interval, 'monthly')
  ),
  'autoResume', coalesce(p_subscription.auto_resume, false)
);

comment on function sync.status_json(credits.sync_subscriptions) is
  'A subscription as its owner sees it; nulls read as a user who never had sync. Internal.';
--! EndIncluded sync/status_json.sql
--! Included sync/status.sql
create or replace function sync.status(p_user_id text)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  select * into v_subscription from credits.sync_subscriptions s where s.user_id = p_user_id;
  return sync.status_json(v_subscription);
end
$$;

comment on function sync.status(text) is
  'A user''s Cloud Sync: { active, interval, nextChargeAt, pausedAt, paidUntil, gifted, price, autoResume }, price in credits at the next charge; inactive and monthly for a user who never had it. Writes nothing. CR001 no user id. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded sync/status.sql
--! Included sync/details.sql
create or replace function sync.details(p_user_id text)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  select * into v_subscription from credits.sync_subscriptions s where s.user_id = p_user_id;
  return sync.status_json(v_subscription) || jsonb_build_object(
    'userId', p_user_id,
    'status', coalesce(v_subscription.status, 'inactive'),
    'giftedBy', v_subscription.gifted_by,
    'giftedAt', credits.iso8601(v_subscription.gifted_at),
    'giftRevokedBy', v_subscription.gift_revoked_by,
    'giftRevokedAt', credits.iso8601(v_subscription.gift_revoked_at),
    'pausedBy', v_subscription.paused_by,
    'pausedWhy', v_subscription.paused_why,
    'charges', (
      select coalesce(
        jsonb_agg(
          jsonb_build_object(
            'periodStart', credits.iso8601(c.period_start),
            'periodEnd', credits.iso8601(c.period_end),
            'interval', c.interval,
            'credits', c.credits,
            'transactionId', c.transaction_id,
            'chargedAt', credits.iso8601(c.created_at)
          )
          order by c.period_start desc
        ),
        '[]'
      )
      from (
        select * from credits.sync_charges x where x.user_id = p_user_id order by x.period_start desc limit 24
      ) c
    )
  );
end
$$;

comment on function sync.details(text) is
  'A user''s Cloud Sync as an admin sees it: sync.status and { userId, status (without the gift), giftedBy, giftedAt, giftRevokedBy, giftRevokedAt, pausedBy, pausedWhy, charges }, the last 24 charges, newest first. Writes nothing. CR001 no user id. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded sync/details.sql
--! Included sync/activate.sql
create or replace function sync.activate(
  p_user_id text,
  p_interval text default 'monthly',
  p_auto_resume boolean default false,
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
  v_request jsonb := jsonb_build_array('sync.activate', p_interval, p_auto_resume);
  v_balance credits.balances;
  v_subscription credits.sync_subscriptions;
  v_started record;
  v_answer jsonb;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform sync.price(p_interval);
  if p_auto_resume is null then
    perform credits.invalid('autoResume', 'must be true or false');
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;

  -- Not made if it isn't there: a user without a balance can't pay.
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_active(v_subscription);

  select * into v_started
  from sync.start(
    v_balance,
    v_subscription,
    p_interval,
    p_auto_resume,
    case v_subscription.status when 'paused' then 'sync.resumed' else 'sync.activated' end,
    '{}',
    p_caller,
    p_now
  );
  v_subscription := v_started.o_subscription;

  v_answer := jsonb_build_object(
    'active', true,
    'interval', v_subscription.interval,
    'nextChargeAt', credits.iso8601(v_subscription.next_charge_at),
    'amountCharged', v_started.o_amount_charged,
    'autoResume', v_subscription.auto_resume
  );
  perform credits.remember_answer(p_user_id, p_caller, p_idempotency_key, v_request, v_answer, p_now);
  return v_answer;
end
$$;

comment on function sync.activate(text, text, boolean, text, text, timestamptz) is
  'Makes Cloud Sync active and charges the first period, from now on; nothing inside a period paid before, whose dates stay. The same resumes a paused subscription: a new period from now, nothing for the time paused. p_interval monthly, quarterly or yearly, from the next charge on where this one is free; p_auto_resume: go on by itself when credits arrive after they ran out. Answers { active, interval, nextChargeAt, amountCharged (credits), autoResume }, replayed: true when the key was seen before. CR001 invalid argument, CR002 not enough credits, CR003 key reused, CR101 active already, CR103 it is a gift. For mana_service and mana_ops.';
--! EndIncluded sync/activate.sql
--! Included sync/deactivate.sql
create or replace function sync.deactivate(p_user_id text, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_inactive(v_subscription);

  update credits.sync_subscriptions s
  set
    status = 'inactive',
    next_charge_at = null,
    paused_at = null,
    paused_by = null,
    paused_why = null,
    updated_at = p_now
  where s.user_id = p_user_id
  returning * into v_subscription;
  perform credits.emit(
    p_user_id, 'sync.deactivated', jsonb_build_object('paidUntil', credits.iso8601(v_subscription.paid_until)), p_now
  );
  return jsonb_build_object('active', false, 'paidUntil', credits.iso8601(v_subscription.paid_until));
end
$$;

comment on function sync.deactivate(text, timestamptz) is
  'Ends Cloud Sync, active or paused: no further charge, and the time paid for is remembered. Answers { active: false, paidUntil }; sync.activate before paidUntil costs nothing. CR001 no user id, CR102 not active, CR103 it is a gift. For mana_service and mana_ops.';
--! EndIncluded sync/deactivate.sql
--! Included sync/change_interval.sql
create or replace function sync.change_interval(
  p_user_id text,
  p_interval text,
  p_auto_resume boolean default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_price credits.sync_prices;
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  v_price := sync.price(p_interval);
  perform from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_inactive(v_subscription);

  update credits.sync_subscriptions s
  set interval = p_interval, auto_resume = coalesce(p_auto_resume, s.auto_resume), updated_at = p_now
  where s.user_id = p_user_id
  returning * into v_subscription;
  return jsonb_build_object(
    'interval', v_subscription.interval,
    'amountCharged', v_price.credits,
    'effectiveAt', credits.iso8601(v_subscription.next_charge_at),
    'autoResume', v_subscription.auto_resume
  );
end
$$;

comment on function sync.change_interval(text, text, boolean, timestamptz) is
  'Another interval and its price from the next charge on; p_auto_resume too, if given. Answers { interval, amountCharged (credits, at effectiveAt and not before), effectiveAt (the next charge; null while paused: whenever sync goes on), autoResume }. CR001 invalid argument, CR102 not active, CR103 it is a gift. For mana_service and mana_ops.';
--! EndIncluded sync/change_interval.sql
--! Included sync/charge_batch.sql
create or replace function sync.charge_batch(
  p_user_ids text[], p_caller text, p_now timestamptz, out o_charged bigint, out o_paused bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_met credits.sync_period[];
  v_unmet credits.sync_period[];
begin
  with due as (
    select
      row(
        s.user_id,
        s.interval,
        p.months,
        p.credits,
        s.next_charge_at,
        sync.period_start(s.anchor, s.months_paid + p.months),
        b.balance - b.held
      )::credits.sync_period as period,
      b.balance - b.held >= p.credits as is_met
    from unnest(p_user_ids) u (user_id)
    join credits.sync_subscriptions s on s.user_id = u.user_id
    join credits.sync_prices p on p.interval = s.interval
    join credits.balances b on b.user_id = u.user_id
    where s.next_charge_at <= p_now
  )
  select
    coalesce(array_agg(d.period) filter (where d.is_met), '{}'),
    coalesce(array_agg(d.period) filter (where not d.is_met), '{}')
  into v_met, v_unmet
  from due d;
  o_charged := cardinality(v_met);
  o_paused := cardinality(v_unmet);

  if o_charged > 0 then
    perform sync.post_charges(v_met, p_caller, p_now);
    update credits.sync_subscriptions s
    set
      months_paid = s.months_paid + m.months,
      next_charge_at = m.period_end,
      paid_until = m.period_end,
      updated_at = p_now
    from unnest(v_met) m
    where s.user_id = m.user_id;
  end if;

  if o_paused > 0 then
    update credits.sync_subscriptions s
    set status = 'paused', next_charge_at = null, paused_at = p_now, updated_at = p_now
    from unnest(v_unmet) m
    where s.user_id = m.user_id;
    perform credits.emit_many(
      array_agg(m.user_id),
      'sync.paused',
      array_agg(jsonb_build_object(
        'reason', 'insufficient_credits',
        'interval', m.interval,
        'required', m.credits,
        'available', m.available,
        'dueAt', credits.iso8601(m.period_start)
      )),
      p_now
    )
    from unnest(v_unmet) m;
  end if;
end
$$;

comment on function sync.charge_batch(text[], text, timestamptz) is
  'Charges the next due period of each of these users, or pauses where the spendable credits don''t suffice: a handful of statements, however many users. The caller holds their balances'' locks. Internal to sync.charge_users.';
--! EndIncluded sync/charge_batch.sql
--! Included sync/charge_users.sql
create or replace function sync.charge_users(
  p_user_ids text[], p_caller text, p_now timestamptz, out o_charged bigint, out o_paused bigint, out o_errors bigint
)
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_middle integer := cardinality(p_user_ids) / 2;
begin
  begin
    select b.o_charged, b.o_paused, 0
    into o_charged, o_paused, o_errors
    from sync.charge_batch(p_user_ids, p_caller, p_now) b;
    return;
  exception when others then
    if sync.is_passing_trouble(sqlstate) then
      raise;
    end if;
    if v_middle = 0 then
      perform sync.record_error(p_user_ids[1], sqlstate, sqlerrm, p_now);
    end if;
  end;
  if v_middle = 0 then
    o_charged := 0;
    o_paused := 0;
    o_errors := 1;
    return;
  end if;

  -- The batch is undone because of somebody in it. Halve until the one who can't be charged is alone: a broken row
  -- in a thousand costs twenty calls, and the depth is the logarithm of the batch.
  select sum(h.o_charged), sum(h.o_paused), sum(h.o_errors)
  into o_charged, o_paused, o_errors
  from (values (p_user_ids[:v_middle]), (p_user_ids[v_middle + 1:])) half (user_ids),
    sync.charge_users(half.user_ids, p_caller, p_now) h;
end
$$;

comment on function sync.charge_users(text[], text, timestamptz) is
  'sync.charge_batch for users of whom some may be broken: those are recorded and passed, the others charged. Answers how many of each. Errors of the server, not of a row, end it. Internal to sync.charge_due.';
--! EndIncluded sync/charge_users.sql
--! Included sync/warn_at_risk.sql
create or replace function sync.warn_at_risk(p_now timestamptz, p_limit integer)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids text[];
  v_data jsonb[];
begin
  -- Found without locks, then looked at again under them.
  v_user_ids := array(
    select s.user_id
    from credits.sync_subscriptions s
    join credits.sync_prices p on p.interval = s.interval
    join credits.balances b on b.user_id = s.user_id
    where s.next_charge_at > p_now
      and s.next_charge_at <= p_now + interval '3 days'
      and s.warned_for is distinct from s.next_charge_at
      and b.balance - b.held < p.credits
    order by s.next_charge_at
    limit p_limit
  );
  v_user_ids := array(
    select b.user_id from credits.balances b where b.user_id = any (v_user_ids) for no key update skip locked
  );

  with warned as (
    update credits.sync_subscriptions s
    set warned_for = s.next_charge_at, updated_at = p_now
    from credits.sync_prices p, credits.balances b
    where s.user_id = any (v_user_ids)
      and p.interval = s.interval
      and b.user_id = s.user_id
      and s.next_charge_at > p_now
      and b.balance - b.held < p.credits
    returning
      s.user_id,
      jsonb_build_object(
        'interval', s.interval,
        'required', p.credits,
        'available', b.balance - b.held,
        'nextChargeAt', credits.iso8601(s.next_charge_at)
      ) as data
  )
  select array_agg(w.user_id), array_agg(w.data) into v_user_ids, v_data from warned w;
  perform credits.emit_many(v_user_ids, 'sync.renewal_at_risk', v_data, p_now);
end
$$;

comment on function sync.warn_at_risk(timestamptz, integer) is
  'Emits sync.renewal_at_risk, once a period, for subscriptions whose charge within three days the spendable credits don''t meet: at most p_limit, the nearest first; who is locked by somebody else is left for the next time. Internal to sync.charge_due.';
--! EndIncluded sync/warn_at_risk.sql
--! Included sync/charge_due.sql
create or replace function sync.charge_due(
  p_now timestamptz default now(), p_limit integer default 1000, p_caller text default session_user
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_ids text[];
  v_pass record;
  v_charged bigint := 0;
  v_paused bigint := 0;
  v_errors bigint := 0;
begin
  if p_limit is null or p_limit not between 1 and 10000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 10000');
  end if;

  -- A pass charges one period a user, the longest due first; whoever owes several is due again in the next one.
  while v_charged + v_paused + v_errors < p_limit loop
    -- Nothing waits here, so no order of locks can make a circle: what another run has, it charges, and whose balance
    -- is in use is still due at the next run. The subscription's lock shares the queue out among runs at the same
    -- time; the balance's lock is what guards balance and subscription both.
    v_user_ids := array(
      select s.user_id
      from credits.sync_subscriptions s
      where s.next_charge_at <= p_now
        and not exists (
          select from credits.sync_charge_errors e where e.user_id = s.user_id and e.next_attempt_at > p_now
        )
      order by s.next_charge_at
      limit p_limit - v_charged - v_paused - v_errors
      for no key update of s skip locked
    );
    v_user_ids := array(
      select b.user_id from credits.balances b where b.user_id = any (v_user_ids) for no key update skip locked
    );
    exit when cardinality(v_user_ids) = 0;

    select * into v_pass from sync.charge_users(v_user_ids, p_caller, p_now);
    v_charged := v_charged + v_pass.o_charged;
    v_paused := v_paused + v_pass.o_paused;
    v_errors := v_errors + v_pass.o_errors;
    exit when v_pass.o_charged + v_pass.o_paused + v_pass.o_errors = 0;
  end loop;

  if v_charged + v_paused + v_errors < p_limit then
    begin
      perform sync.warn_at_risk(p_now, p_limit);
    exception when others then
      -- What has been charged stays charged.
      if sync.is_passing_trouble(sqlstate) then
        raise;
      end if;
      raise warning 'sync.warn_at_risk failed (%): %', sqlstate, sqlerrm;
    end;
  end if;
  return jsonb_build_object(
    'charged', v_charged, 'paused', v_paused, 'errors', v_errors, 'total', v_charged + v_paused + v_errors
  );
end
$$;

comment on function sync.charge_due(timestamptz, integer, text) is
  'Charges Cloud Sync that is due, at most p_limit (1 to 10,000) periods in this transaction, each elapsed period once, the longest due first; pauses where the spendable credits don''t suffice; records and passes what is broken (tried again later, see ops.sync_errors()); when nothing is left, warns whose charge within three days can''t be met. Skips who is locked by somebody else. Safe to run at any time and several at once. Answers { charged, paused, errors, total }, numbers of periods; call again until total is below p_limit. CR001 limit. For mana_service and mana_ops.';
--! EndIncluded sync/charge_due.sql
--! Included sync/gift.sql
create or replace function sync.gift(p_user_id text, p_by text, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('by', p_by, 128);
  perform credits.lock_balance(p_user_id);
  v_subscription := sync.subscription(p_user_id);
  if v_subscription.gifted then
    return sync.details(p_user_id);
  end if;

  insert into credits.sync_subscriptions as s (
    user_id, status, interval, anchor, months_paid, gifted_by, gifted_at, created_at, updated_at
  )
  values (p_user_id, 'inactive', 'monthly', date_trunc('milliseconds', p_now), 0, p_by, p_now, p_now, p_now)
  on conflict (user_id) do update
  set
    next_charge_at = null,
    gifted_by = p_by,
    gifted_at = p_now,
    gift_revoked_by = null,
    gift_revoked_at = null,
    updated_at = p_now;
  if v_subscription.status is distinct from 'active' then
    perform credits.emit(p_user_id, 'sync.activated', jsonb_build_object('gifted', true, 'by', p_by), p_now);
  end if;
  return sync.details(p_user_id);
end
$$;

comment on function sync.gift(text, text, timestamptz) is
  'Gives a user Cloud Sync: active without charge, and not to be changed by its owner, until sync.revoke_gift. A subscription underneath stays as it is and is not charged meanwhile. p_by says who gives (1 to 128 characters). Answers sync.details; a user who has the gift keeps the first. CR001 invalid argument. For mana_service and mana_ops.';
--! EndIncluded sync/gift.sql
--! Included sync/revoke_gift.sql
create or replace function sync.revoke_gift(p_user_id text, p_by text, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform credits.check_text('by', p_by, 128);
  perform from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  if v_subscription.gifted is not true then
    raise exception using
      errcode = 'CR104', message = 'This user has no sync as a gift.', detail = jsonb_build_object('userId', p_user_id);
  end if;

  if v_subscription.status = 'active' and v_subscription.paid_until <= p_now then
    -- The time of the gift is not billed: a new period from now, which the next run charges.
    v_subscription.anchor := date_trunc('milliseconds', p_now);
    v_subscription.months_paid := 0;
  end if;
  update credits.sync_subscriptions s
  set
    gift_revoked_by = p_by,
    gift_revoked_at = p_now,
    anchor = v_subscription.anchor,
    months_paid = v_subscription.months_paid,
    next_charge_at = case s.status
      when 'active' then sync.period_start(v_subscription.anchor, v_subscription.months_paid)
    end,
    updated_at = p_now
  where s.user_id = p_user_id;
  if v_subscription.status <> 'active' then
    perform credits.emit(p_user_id, 'sync.deactivated', jsonb_build_object('gifted', true, 'by', p_by), p_now);
  end if;
  -- Credits may have arrived meanwhile.
  perform credits.settle(p_user_id, p_now);
  return sync.details(p_user_id);
end
$$;

comment on function sync.revoke_gift(text, text, timestamptz) is
  'Ends sync as a gift. What lay underneath goes on: an active subscription with its paid time, or a new period from now if that is over (charged by the next run); a paused one stays paused; else sync ends. Answers sync.details. CR001 invalid argument, CR104 no gift. For mana_service and mana_ops.';
--! EndIncluded sync/revoke_gift.sql
--! Included events/wake_next.sql
create or replace function events.wake_next(p_user_id text, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update credits.events e
  set deliver_at = least(e.deliver_at, p_now)
  where e.user_id = p_user_id
    and e.id = (select min(x.id) from credits.events x where x.user_id = p_user_id and x.deliver_at is not null)
    and e.deliver_at > p_now;
$$;

comment on function events.wake_next(text, timestamptz) is
  'The user''s next event is due now that the one before it is out of the way. Internal.';
--! EndIncluded events/wake_next.sql
--! Included events/claim.sql
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
--! EndIncluded events/claim.sql
--! Included events/delivered.sql
create or replace function events.delivered(p_user_id text, p_id bigint, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  update credits.events e
  set delivered_at = p_now, deliver_at = null, parked_at = null, last_error = null
  where e.user_id = p_user_id and e.id = p_id and e.delivered_at is null;
  perform events.wake_next(p_user_id, p_now);
  return jsonb_build_object('delivered', true);
end
$$;

comment on function events.delivered(text, bigint, timestamptz) is
  'The receiver took the event; the user''s next one is due. Answers { delivered: true }, also when it is called again. For mana_service and mana_ops.';
--! EndIncluded events/delivered.sql
--! Included events/failed.sql
create or replace function events.failed(
  p_user_id text, p_id bigint, p_error text, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.events;
begin
  update credits.events e
  set
    -- 10 seconds, 30, 90 … at most 6 hours between two tries; the last one when three days are over.
    deliver_at = case
      when p_now < e.due_since + interval '3 days' then least(
        p_now + least(interval '10 seconds' * 3 ^ least(e.attempts - 1, 10), interval '6 hours'),
        e.due_since + interval '3 days'
      )
    end,
    parked_at = case when p_now >= e.due_since + interval '3 days' then p_now end,
    last_error = left(p_error, 1000)
  where e.user_id = p_user_id and e.id = p_id and e.deliver_at is not null and e.attempts > 0
  returning * into v_event;
  if v_event.parked_at is not null then
    perform events.wake_next(p_user_id, p_now);
  end if;
  return jsonb_build_object(
    'parked', v_event.parked_at is not null, 'nextAttemptAt', credits.iso8601(v_event.deliver_at)
  );
end
$$;

comment on function events.failed(text, bigint, text, timestamptz) is
  'The receiver did not take a claimed event: tried again later, the user''s later events waiting behind it; parked three days after it was first due, and they go on. Answers { parked, nextAttemptAt }. For mana_service and mana_ops.';
--! EndIncluded events/failed.sql
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
--! Included ops/pause_sync.sql
create or replace function ops.pause_sync(p_user_id text, p_who text, p_why text, p_now timestamptz default now())
returns credits.sync_subscriptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_subscription credits.sync_subscriptions;
begin
  perform ops.check_who_and_why(p_who, p_why);
  perform from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_inactive(v_subscription);

  update credits.sync_subscriptions s
  set
    status = 'paused',
    next_charge_at = null,
    paused_at = coalesce(s.paused_at, p_now),
    paused_by = p_who,
    paused_why = p_why,
    updated_at = p_now
  where s.user_id = p_user_id
  returning * into v_subscription;
  perform credits.emit(
    p_user_id, 'sync.paused', jsonb_build_object('reason', 'by_hand', 'by', p_who, 'why', p_why), p_now
  );
  return v_subscription;
end
$$;

comment on function ops.pause_sync(text, text, text, timestamptz) is
  'Pauses a user''s Cloud Sync by hand, signed: no charge, no resuming by itself, until ops.resume_sync or until its owner activates it. Works on one that paused for want of credits too. Returns the subscription. CR001 invalid argument, CR102 not active, CR103 it is a gift. For mana_ops.';
--! EndIncluded ops/pause_sync.sql
--! Included ops/resume_sync.sql
create or replace function ops.resume_sync(p_user_id text, p_who text, p_why text, p_now timestamptz default now())
returns credits.sync_subscriptions
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
  v_subscription credits.sync_subscriptions;
  v_started record;
begin
  perform ops.check_who_and_why(p_who, p_why);
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_subscription := sync.subscription(p_user_id);
  perform sync.check_not_gifted(v_subscription);
  perform sync.check_not_active(v_subscription);
  perform sync.check_not_inactive(v_subscription);
  select * into v_started
  from sync.start(
    v_balance,
    v_subscription,
    v_subscription.interval,
    v_subscription.auto_resume,
    'sync.resumed',
    jsonb_build_object('by', p_who, 'why', p_why),
    session_user,
    p_now
  );
  return v_started.o_subscription;
end
$$;

comment on function ops.resume_sync(text, text, text, timestamptz) is
  'Resumes a user''s paused Cloud Sync by hand, signed, as its owner would: free inside paid time, else a new period from now is charged. Returns the subscription. CR001 invalid argument, CR002 not enough credits, CR101 not paused, CR102 not active, CR103 it is a gift. For mana_ops.';
--! EndIncluded ops/resume_sync.sql
--! Included ops/sync_due.sql
create or replace function ops.sync_due(p_now timestamptz default now())
returns table (
  user_id text, "interval" text, credits bigint, next_charge_at timestamptz, available bigint, last_error text
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select s.user_id, s.interval, p.credits, s.next_charge_at, b.balance - b.held, e.message
  from credits.sync_subscriptions s
  join credits.sync_prices p on p.interval = s.interval
  join credits.balances b on b.user_id = s.user_id
  left join credits.sync_charge_errors e on e.user_id = s.user_id
  where s.next_charge_at <= p_now
  order by s.next_charge_at, s.user_id;
$$;

comment on function ops.sync_due(timestamptz) is
  'Whose sync is to be charged by a time, longest due first: credits is the price, available what can be spent now. For mana_ops and mana_readonly.';
--! EndIncluded ops/sync_due.sql
--! Included ops/sync_paused.sql
create or replace function ops.sync_paused()
returns table (
  user_id text,
  "interval" text,
  credits bigint,
  available bigint,
  paused_at timestamptz,
  paused_by text,
  paused_why text,
  auto_resume boolean,
  paid_until timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    s.user_id, s.interval, p.credits, b.balance - b.held, s.paused_at,
    s.paused_by, coalesce(s.paused_why, 'not enough credits'), s.auto_resume, s.paid_until
  from credits.sync_subscriptions s
  join credits.sync_prices p on p.interval = s.interval
  join credits.balances b on b.user_id = s.user_id
  where s.paused_at is not null
  order by s.paused_at desc, s.user_id;
$$;

comment on function ops.sync_paused() is
  'Whose sync is paused, latest first, since when and why; paused_by is null where credits ran out. credits is the price, available what can be spent now. For mana_ops and mana_readonly.';
--! EndIncluded ops/sync_paused.sql
--! Included ops/sync_charges.sql
create or replace function ops.sync_charges(p_user_id text)
returns setof credits.sync_charges
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from credits.sync_charges c where c.user_id = p_user_id order by c.period_start desc;
$$;

comment on function ops.sync_charges(text) is
  'What a user was charged for sync, for which periods and when (created_at), latest first. For mana_ops and mana_readonly.';
--! EndIncluded ops/sync_charges.sql
--! Included ops/sync_errors.sql
create or replace function ops.sync_errors()
returns setof credits.sync_charge_errors
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from credits.sync_charge_errors e order by e.first_failed_at, e.user_id;
$$;

comment on function ops.sync_errors() is
  'Subscriptions that can''t be charged for a reason other than credits, oldest first: mend what message says; the run tries again at next_attempt_at. For mana_ops and mana_readonly.';
--! EndIncluded ops/sync_errors.sql
--! Included ops/set_low_balance_threshold.sql
create or replace function ops.set_low_balance_threshold(
  p_credits bigint, p_who text, p_why text, p_now timestamptz default now()
)
returns credits.settings
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_settings credits.settings;
begin
  perform ops.check_who_and_why(p_who, p_why);
  if p_credits is not null then
    perform credits.check_amount('credits', p_credits);
  end if;
  update credits.settings
  set low_balance_threshold = p_credits, changed_by = p_who, changed_why = p_why, changed_at = p_now
  returning * into strict v_settings;
  return v_settings;
end
$$;

comment on function ops.set_low_balance_threshold(bigint, text, text, timestamptz) is
  'From now on a debit that takes a balance from this many credits or more to less emits credits.low_balance; null for never. Signed. Returns the settings. CR001 invalid argument. For mana_ops.';
--! EndIncluded ops/set_low_balance_threshold.sql
--! Included ops/park_events.sql
create or replace function ops.park_events(
  p_before timestamptz, p_limit integer default 10000, p_now timestamptz default now()
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_parked bigint;
begin
  update credits.events e
  set deliver_at = null, parked_at = p_now, last_error = 'parked by ' || session_user
  from (
    select x.user_id, x.id
    from credits.events x
    where x.deliver_at is not null and x.created_at < p_before
    order by x.deliver_at, x.id
    limit p_limit
    for no key update skip locked
  ) old
  where e.user_id = old.user_id and e.id = old.id;
  get diagnostics v_parked = row_count;
  return v_parked;
end
$$;

comment on function ops.park_events(timestamptz, integer, timestamptz) is
  'Sets undelivered events from before a time aside, at most p_limit: for a receiver that came late and wants none of the past. Returns their number; call again until it is 0. ops.replay_event() delivers one after all. For mana_ops.';
--! EndIncluded ops/park_events.sql
--! Included ops/parked_events.sql
create or replace function ops.parked_events()
returns setof credits.events
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select * from credits.events e where e.parked_at is not null order by e.parked_at, e.id;
$$;

comment on function ops.parked_events() is
  'Events that nobody took for three days, oldest first; last_error says why. ops.replay_event() tries again. For mana_ops and mana_readonly.';
--! EndIncluded ops/parked_events.sql
--! Included ops/replay_event.sql
create or replace function ops.replay_event(p_user_id text, p_id bigint, p_now timestamptz default now())
returns credits.events
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.events;
begin
  update credits.events e
  set deliver_at = p_now, delivered_at = null, parked_at = null, due_since = null, attempts = 0
  where e.user_id = p_user_id and e.id = p_id
  returning * into v_event;
  if not found then
    raise exception using
      errcode = 'CR105', message = 'This user has no such event.',
      detail = jsonb_build_object('userId', p_user_id, 'eventId', p_id);
  end if;
  return v_event;
end
$$;

comment on function ops.replay_event(text, bigint, timestamptz) is
  'Delivers an event (again), parked or delivered, as if it were new: another three days of tries, before the user''s later events. Returns it. All parked ones: select ops.replay_event(user_id, id) from ops.parked_events(). CR105 no such event. For mana_ops.';
--! EndIncluded ops/replay_event.sql
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
--! Included ops/verify_sync.sql
create or replace function ops.verify_sync()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    'sync_charge', c.user_id,
    format('period of %s: charge of %s credits has no such ledger row', c.period_start, c.credits)
  from credits.sync_charges c
  left join credits.transactions t on t.user_id = c.user_id and t.id = c.transaction_id
  where t.id is null or t.type <> 'usage' or t.counter_account <> 'revenue:sync' or -t.amount <> c.credits
  union all
  select 'sync_ledger', t.user_id, format('ledger row %s is a sync charge that paid for %s periods', t.id, count(c.*))
  from credits.transactions t
  left join credits.sync_charges c on c.user_id = t.user_id and c.transaction_id = t.id
  where t.caller like 'sync:%'
  group by t.user_id, t.id
  having count(c.*) <> 1
  union all
  select 'sync_overlap', p.user_id, format('period of %s begins before the last one ended', p.period_start)
  from (
    select
      c.user_id,
      c.period_start,
      lag(c.period_end) over (partition by c.user_id order by c.period_start) as previous_end
    from credits.sync_charges c
  ) p
  where p.period_start < p.previous_end
  union all
  select
    'sync_paid_until', coalesce(s.user_id, c.user_id),
    format('paid until %s, last period charged ends %s', s.paid_until, c.period_end)
  from credits.sync_subscriptions s
  full join (
    select x.user_id, max(x.period_end) as period_end from credits.sync_charges x group by x.user_id
  ) c on c.user_id = s.user_id
  where s.paid_until is distinct from c.period_end
  union all
  select
    'sync_next_charge', s.user_id,
    format('next charge %s, anchor %s, %s months paid, until %s', s.next_charge_at, s.anchor, s.months_paid, s.paid_until)
  from credits.sync_subscriptions s
  where s.next_charge_at <> sync.period_start(s.anchor, s.months_paid)
    or (s.next_charge_at <> s.paid_until and s.months_paid > 0);
$$;

comment on function ops.verify_sync() is
  'Invariant 5, sync''s part: a period is charged at most once and no two overlap, every charge has its ledger row and the other way round, and the dates of a subscription follow from its anchor and its charges. Part of ops.verify().';
--! EndIncluded ops/verify_sync.sql
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
  select * from ops.verify_sync()
  union all
  select * from ops.verify_usage();
$$;

comment on function ops.verify() is
  'Checks every invariant of the books against the rows: one row for each thing that is wrong, none when the books are true. Reads the whole ledger. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded ops/verify.sql
--! Included grants.sql
-- Who may call what. Functions not named here are internal: the owner's functions call them, nobody else.
revoke execute on all functions in schema credits, gifts, sync, events, ops from public;

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
  events.claim,
  events.delivered,
  events.failed,
  gifts.cancel,
  gifts.create,
  gifts.created_by,
  gifts.expire,
  gifts.look_up,
  gifts.received_by,
  gifts.redeem,
  gifts.redeem_pending,
  ops.migrations,
  ops.verify,
  sync.activate,
  sync.change_interval,
  sync.charge_due,
  sync.deactivate,
  sync.details,
  sync.gift,
  sync.revoke_gift,
  sync.status
to mana_service, mana_ops;

-- By hand, signed with who and why.
grant execute on function
  ops.adjust,
  ops.grant,
  ops.park_events,
  ops.pause_sync,
  ops.replay_event,
  ops.resume_sync,
  ops.set_low_balance_threshold
to mana_ops;

-- Reads only.
grant execute on function
  credits.balance,
  credits.history,
  credits.pricing,
  credits.usage,
  ops.migrations,
  ops.parked_events,
  ops.sync_charges,
  ops.sync_due,
  ops.sync_errors,
  ops.sync_paused,
  ops.verify,
  sync.details,
  sync.status
to mana_readonly;
--! EndIncluded grants.sql
--! EndIncluded all.sql

reset role;

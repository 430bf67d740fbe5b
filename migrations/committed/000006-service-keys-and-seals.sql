--! Previous: sha1:c38dfc1d2bacace1a50a088aeac0f56087b6f041
--! Hash: sha1:769a48fca63781652bcc810b0a9259bba3c405e5
--! Message: service-keys-and-seals

-- Functions live in sql/ and are edited there; the last line takes them along.
-- What PostgreSQL lets everybody do and nobody here needs: temporary tables, and large objects, with which any login
-- could fill the disk. And what the worker needed to install its queue.
do $$
declare
  v_function regprocedure;
begin
  execute format('revoke temporary on database %I from public', current_database());
  execute format('revoke create on database %I from mana_worker', current_database());
  -- They are the superuser's: where a provider keeps that role to itself, they stay as they are.
  if (select r.rolsuper from pg_catalog.pg_roles r where r.rolname = current_user) then
    for v_function in
      select p.oid
      from pg_catalog.pg_proc p
      where p.pronamespace = 'pg_catalog'::regnamespace
        and p.proname in (
          'lo_creat', 'lo_create', 'lo_from_bytea', 'lo_open', 'lo_close', 'lo_put', 'lo_get', 'lowrite', 'loread',
          'lo_truncate', 'lo_truncate64', 'lo_unlink', 'lo_lseek', 'lo_lseek64', 'lo_tell', 'lo_tell64'
        )
    loop
      execute format('revoke execute on function %s from public', v_function);
    end loop;
  end if;
end
$$;

set local role mana_owner;

-- Seals: what history was at a time, kept so that a digest kept elsewhere can be checked later (ops.seal).
create table if not exists ops.seals (
  seal bigint not null,
  sealed_at timestamptz not null,
  users bigint not null,
  ledger_rows bigint not null,
  previous_digest text,
  digest text not null,
  constraint seals_pkey primary key (seal),
  constraint seals_digest_key unique (digest),
  constraint seals_digest_check check (digest ~ '^[0-9a-f]{64}$')
);
comment on table ops.seals is 'One row a seal of history, numbered from 1. Append-only. What protects it is the digest that is kept elsewhere.';
comment on column ops.seals.ledger_rows is 'Rows of the ledger that it covers, of all users.';
comment on column ops.seals.digest is 'A sha256 in hexadecimal digits, for people to write down: see ops.seal_digest.';
comment on column ops.seals.previous_digest is 'Of the seal before: the newest digest vouches for all earlier ones.';

create table if not exists ops.seal_heads (
  user_id credits.user_id not null,
  seal bigint not null, -- no foreign key: the heads come first, and the digest over them with the seal
  version credits.seq not null,
  head credits.digest not null,
  debt_ids uuid[],
  debts_hash credits.digest,
  constraint seal_heads_pkey primary key (user_id, seal),
  constraint seal_heads_debts_check check ((debt_ids is null) = (debts_hash is null))
);
comment on table ops.seal_heads is 'Where each user''s ledger ended at a seal. Only of users in whose books something happened since the seal before: a seal covers each user''s last row up to it. Append-only.';
comment on column ops.seal_heads.version is 'seq of the user''s last ledger row then.';
comment on column ops.seal_heads.head is 'hash of that row. Names whose history was rewritten by somebody who didn''t rewrite this as well; who did is caught by the digest.';
comment on column ops.seal_heads.debt_ids is 'The user''s rows of credits.debts then; null for none.';

create or replace trigger seals_append_only
  before update or delete on ops.seals
  for each row execute function credits.refuse_ledger_change();
create or replace trigger seals_no_truncate
  before truncate on ops.seals
  for each statement execute function credits.refuse_ledger_change();
create or replace trigger seal_heads_append_only
  before update or delete on ops.seal_heads
  for each row execute function credits.refuse_ledger_change();
create or replace trigger seal_heads_no_truncate
  before truncate on ops.seal_heads
  for each statement execute function credits.refuse_ledger_change();

-- Service keys: an app's own, with what it may do and what it may spend a day.
do $$
begin
  if to_regtype('credits.service_scope') is null then
    create type credits.service_scope as enum ('read', 'use', 'reserve', 'refund', 'grant', 'init', 'gifts', 'sync');
    comment on type credits.service_scope is 'What a service key is good for; the contract says where.';
  end if;
end
$$;

create table if not exists credits.service_keys (
  id uuid not null default uuidv7(),
  app_id credits.app_id not null,
  scopes credits.service_scope[] not null,
  prefix text not null,
  hash credits.digest not null,
  daily_cap credits.total,
  first_id uuid not null,
  replaces_id uuid,
  created_at timestamptz not null,
  created_by text not null,
  expires_at timestamptz,
  revoked_at timestamptz,
  revoked_by text,
  last_used_at timestamptz,
  constraint service_keys_pkey primary key (id),
  constraint service_keys_prefix_key unique (prefix),
  constraint service_keys_hash_key unique (hash),
  constraint service_keys_replaces_id_key unique (replaces_id), -- rotated once: the next time it is the new one's turn
  constraint service_keys_first_id_fkey foreign key (first_id) references credits.service_keys (id),
  constraint service_keys_replaces_id_fkey foreign key (replaces_id) references credits.service_keys (id),
  constraint service_keys_app_id_check check (app_id ~ '^[!-~]([ -~]*[!-~])?$'),
  constraint service_keys_scopes_check check (cardinality(scopes) > 0 and array_position(scopes, null) is null),
  constraint service_keys_prefix_check check (prefix ~ '^[0-9a-z]{8}$'),
  constraint service_keys_daily_cap_check check (daily_cap > 0),
  constraint service_keys_first_id_check check ((first_id = id) = (replaces_id is null)),
  constraint service_keys_created_by_check check (char_length(created_by) between 1 and 128),
  constraint service_keys_expires_at_check check (expires_at >= created_at),
  constraint service_keys_revoked_check check ((revoked_at is null) = (revoked_by is null))
);

comment on table credits.service_keys is 'What services show in X-Service-Key besides the keys of the environment. Readers name the columns they want, since the hash isn''t theirs to see.';
comment on column credits.service_keys.app_id is 'Whose key: the ledger names the caller service:<app>. Printable ASCII, as the header X-App-Id.';
comment on column credits.service_keys.prefix is 'The part of the secret that is no secret, by which people and logs recognise it.';
comment on column credits.service_keys.hash is 'sha256 of the secret, which nobody keeps. A plain hash is enough: it is 256 random bits, nobody''s word.';
comment on column credits.service_keys.daily_cap is 'Credits that may be debited or held through the key in a UTC day; null: no cap.';
comment on column credits.service_keys.first_id is 'The key that this one descends from by rotation, or itself: they share one cap, so that a rotation is no second one.';
comment on column credits.service_keys.replaces_id is 'The key that this one was made to follow.';
comment on column credits.service_keys.last_used_at is 'To about a minute: written at most that often.';

-- Who reads tables may not compare guesses: every column but the hash.
revoke select on credits.service_keys from mana_readonly;
grant select (
  id, app_id, scopes, prefix, daily_cap, first_id, replaces_id, created_at, created_by, expires_at, revoked_at,
  revoked_by, last_used_at
) on credits.service_keys to mana_readonly;

create table if not exists credits.service_key_days (
  key_id uuid not null,
  day date not null,
  spent credits.total not null,
  constraint service_key_days_pkey primary key (key_id, day),
  constraint service_key_days_key_id_fkey foreign key (key_id) references credits.service_keys (id)
) with (fillfactor = 50); -- every debit through the key changes the row: room for HOT updates

comment on table credits.service_key_days is 'What went through keys with a cap, a UTC day: debits, and what that day''s holds came to. Keys without a cap have no row.';
comment on column credits.service_key_days.key_id is 'first_id of the keys that share the cap.';
comment on column credits.service_key_days.spent is 'Credits: debits of the day, open holds made that day, and what committed ones of that day charged.';

alter table credits.reservations add column if not exists service_key_id uuid
  constraint reservations_service_key_id_fkey references credits.service_keys (id);
comment on column credits.reservations.service_key_id is 'The key with a cap that the hold was made through; null for all others.';

do $$
begin
  if to_regtype('credits.cap_count') is null then
    -- How much of a cap is used, while its row is locked.
    create type credits.cap_count as (
      first_id uuid, key_ids uuid[], day date, cap bigint, spent bigint, resets_in_seconds bigint
    );
  end if;
  if to_regtype('ops.service_key') is null then
    -- A key as people see it.
    create type ops.service_key as (
      id uuid,
      prefix text,
      app_id text,
      scopes text[],
      status text,
      daily_cap bigint,
      spent_today bigint,
      created_at timestamptz,
      created_by text,
      expires_at timestamptz,
      revoked_at timestamptz,
      revoked_by text,
      replaced_by text,
      last_used_at timestamptz
    );
  end if;
end
$$;

-- Their arguments have changed.
drop function if exists credits.use(text, bigint, text, text, text, jsonb, text, bigint, text, timestamptz);
drop function if exists credits.use_many(jsonb, text, timestamptz);
drop function if exists credits.reserve(text, bigint, text, bigint, text, text, text, bigint, text, timestamptz);
drop function if exists credits.lock_reservation(uuid);
drop function if exists credits.commit(uuid, bigint, text, text, timestamptz);
drop function if exists credits.release(uuid, timestamptz);

-- One argument more.
drop function if exists stripe.apply_stored_event(credits.stripe_events, timestamptz);

--! Included all.sql
-- Every function, in dependency order: what a function's declaration names comes before it.
--! Included credits/iso8601.sql
create or replace function credits.iso8601(p_time timestamptz)
returns text
language sql
stable
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
--! Included credits/is_passing_trouble.sql
create or replace function credits.is_passing_trouble(p_sqlstate text)
returns boolean
language sql
immutable
return p_sqlstate ~ '^(08|25|40|53|55|57|58)';

comment on function credits.is_passing_trouble(text) is
  'Whether an error is the server''s state (connection, read-only, conflict, resources, locks, shutdown, I/O) and not that of the row at hand: then the whole transaction ends, and the next try begins anew. Internal.';
--! EndIncluded credits/is_passing_trouble.sql
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
    if (p_amount between 1 and 1000000000) is not true then
      perform credits.check_amount('amount', p_amount);
    end if;
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
--! Included credits/change_debt.sql
create or replace function credits.change_debt(
  p_user_id text, p_purchase_id uuid, p_kind text, p_amount bigint, p_transaction_id uuid, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  insert into credits.debts (user_id, purchase_id, kind, amount, transaction_id, created_at)
  values (p_user_id, p_purchase_id, p_kind, p_amount, p_transaction_id, p_now);
  update credits.balances b
  set debt = b.debt + p_amount, updated_at = p_now
  where b.user_id = p_user_id;
end
$$;

comment on function credits.change_debt(text, uuid, text, bigint, uuid, timestamptz) is
  'Writes a change of what a user owes for a purchase, in credits: incurred (more), paid with a clawback, or cancelled (less). The caller holds the balance''s lock. Internal.';
--! EndIncluded credits/change_debt.sql
--! Included credits/open_debt.sql
create or replace function credits.open_debt(p_user_id text, p_purchase_id uuid)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(sum(d.amount), 0)::bigint
  from credits.debts d
  where d.user_id = p_user_id and d.purchase_id = p_purchase_id;
$$;

comment on function credits.open_debt(text, uuid) is
  'Credits that a user still owes for a purchase. The caller holds the balance''s lock. Internal.';
--! EndIncluded credits/open_debt.sql
--! Included credits/claw_back.sql
create or replace function credits.claw_back(
  p_balance credits.balances,
  p_purchase_id uuid,
  p_transaction_id uuid,
  p_amount bigint,
  p_description text,
  p_now timestamptz
)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting;
begin
  v_posting.type := 'clawback';
  v_posting.amount := -p_amount;
  v_posting.counter_account := 'stripe';
  v_posting.description := p_description;
  v_posting.metadata := jsonb_build_object('purchaseId', p_purchase_id);
  v_posting.related_transaction_id := p_transaction_id;
  v_posting.caller := 'stripe';
  return credits.post(p_balance, v_posting, p_now);
end
$$;

comment on function credits.claw_back(credits.balances, uuid, uuid, bigint, text, timestamptz) is
  'Takes credits of a purchase (its ledger row is p_transaction_id) back into the ledger''s stripe account. The caller holds the lock, passes the balance as it stands, and takes no more than is spendable. Internal.';
--! EndIncluded credits/claw_back.sql
--! Included credits/pay_debts.sql
create or replace function credits.pay_debts(p_user_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
  v_owed record;
  v_amount bigint;
  v_transaction credits.transactions;
begin
  v_balance := credits.lock_balance(p_user_id);
  if v_balance.debt = 0 then
    return;
  end if;
  -- Oldest debt first; a debt a payment, so as many rounds as payments that were taken back.
  for v_owed in
    select d.purchase_id, p.transaction_id, sum(d.amount)::bigint as amount
    from credits.debts d
    join credits.purchases p on p.user_id = d.user_id and p.id = d.purchase_id
    where d.user_id = p_user_id
    group by d.purchase_id, p.transaction_id
    having sum(d.amount) > 0
    order by min(d.created_at), d.purchase_id
  loop
    v_amount := least(v_owed.amount, v_balance.balance - v_balance.held);
    exit when v_amount = 0;
    v_transaction := credits.claw_back(
      v_balance, v_owed.purchase_id, v_owed.transaction_id, v_amount, 'Owed for a payment that was taken back', p_now
    );
    perform credits.change_debt(p_user_id, v_owed.purchase_id, 'paid', -v_amount, v_transaction.id, p_now);
    v_balance := credits.lock_balance(p_user_id);
  end loop;
end
$$;

comment on function credits.pay_debts(text, timestamptz) is
  'What has first call on credits that became spendable: pays what the user owes, oldest first, as far as they go. Called when credits come in (credits.post) and when a hold is set free; the caller holds the lock and reads the balance anew after it. Internal.';
--! EndIncluded credits/pay_debts.sql
--! Included credits/settle.sql
create or replace function credits.settle(p_user_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.pay_debts(p_user_id, p_now);
  perform sync.resume_by_itself(p_user_id, p_now);
end
$$;

comment on function credits.settle(text, timestamptz) is
  'What waits for credits gets them, now that a user can spend more than before, whatever brought it: debts first, then sync paused for want of credits goes on if its owner chose so. Called by whatever raises balance - held, in the same transaction and under the balance''s lock; the balance may be lower afterwards. Internal.';
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
stable
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
stable
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
stable
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
  select
    coalesce(sum(t.amount), 0),
    coalesce(sum(t.amount) filter (where t.amount > 0), 0),
    coalesce(-sum(t.amount) filter (where t.amount < 0), 0)
  into v_balance.balance, v_balance.total_earned, v_balance.total_spent
  from credits.transactions t
  where t.user_id = p_user_id and t.created_at <= p_at;

  select coalesce(sum(d.amount), 0)
  into v_balance.debt
  from credits.debts d
  where d.user_id = p_user_id and d.created_at <= p_at;

  select coalesce(sum(r.amount), 0)
  into v_balance.held
  from credits.reservations r
  where r.user_id = p_user_id and r.created_at <= p_at and (r.closed_at is null or r.closed_at > p_at);
  return v_balance;
end
$$;

comment on function credits.balance_at(text, timestamptz) is
  'A user''s balance as the ledger, the holds and the debts say it was at a time, that instant included. Reads the user''s whole ledger. Internal.';
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
--! Included credits/service_key_status.sql
create or replace function credits.service_key_status(p_key credits.service_keys, p_now timestamptz)
returns text
language sql
stable
return case
  when p_key.revoked_at is not null then 'revoked'
  when p_key.expires_at <= p_now then 'expired'
  else 'active'
end;

comment on function credits.service_key_status(credits.service_keys, timestamptz) is
  'active, revoked or expired. Internal.';
--! EndIncluded credits/service_key_status.sql
--! Included credits/service_key.sql
create or replace function credits.service_key(p_hash bytea, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key credits.service_keys;
  v_status text;
begin
  select * into v_key from credits.service_keys k where k.hash = p_hash;
  if not found then
    return jsonb_build_object('status', 'unknown');
  end if;
  v_status := credits.service_key_status(v_key, p_now);
  if v_status <> 'active' then
    return jsonb_build_object('status', v_status);
  end if;
  if coalesce(v_key.last_used_at <= p_now - interval '1 minute', true) then
    -- Whoever holds the row is noting the same or ending the key: no caller waits for either.
    with free as (
      select k.id from credits.service_keys k where k.id = v_key.id for no key update skip locked
    )
    update credits.service_keys k set last_used_at = p_now from free f where k.id = f.id;
  end if;
  return jsonb_build_object(
    'status', v_status,
    'id', v_key.id,
    'appId', v_key.app_id,
    'scopes', to_jsonb(v_key.scopes),
    'isCapped', v_key.daily_cap is not null
  );
end
$$;

comment on function credits.service_key(bytea, timestamptz) is
  'What the key with this sha256 may do: { status: "active", id, appId, scopes, isCapped }, or { status } alone: "unknown", "revoked" or "expired". Notes the use, at most once a minute a key. For mana_service.';
--! EndIncluded credits/service_key.sql
--! Included credits/lock_caps.sql
create or replace function credits.lock_caps(p_key_ids uuid[], p_now timestamptz)
returns credits.cap_count[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_day date := (p_now at time zone 'UTC')::date;
  v_resets_in_seconds bigint := ceil(extract(epoch from (v_day + 1)::timestamp at time zone 'UTC' - p_now));
  v_caps credits.cap_count[];
begin
  insert into credits.service_key_days (key_id, day, spent)
  select distinct k.first_id, v_day, 0
  from credits.service_keys k
  where k.id = any (p_key_ids) and k.daily_cap is not null
  order by k.first_id
  on conflict (key_id, day) do nothing;

  select array_agg(row(c.first_id, c.key_ids, v_day, c.daily_cap, d.spent, v_resets_in_seconds)::credits.cap_count)
  into v_caps
  from (
    select k.first_id, k.daily_cap, array_agg(k.id) as key_ids
    from credits.service_keys k
    where k.id = any (p_key_ids) and k.daily_cap is not null
    group by k.first_id, k.daily_cap
  ) c
  join (
    select l.key_id, l.spent
    from credits.service_key_days l
    where l.day = v_day
      and l.key_id in (select k.first_id from credits.service_keys k where k.id = any (p_key_ids))
    order by l.key_id
    for no key update
  ) d on d.key_id = c.first_id;
  return coalesce(v_caps, '{}');
end
$$;

comment on function credits.lock_caps(uuid[], timestamptz) is
  'Locks what the day has used of these keys'' caps, in order, and returns it; keys without a cap aren''t in it. After the balances: nobody who holds a cap waits for a balance. Internal.';
--! EndIncluded credits/lock_caps.sql
--! Included credits/count_against_caps.sql
create or replace function credits.count_against_caps(p_caps credits.cap_count[], p_key_id uuid, p_amount bigint)
returns credits.cap_count[]
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_caps credits.cap_count[] := p_caps;
  v_cap credits.cap_count;
begin
  for v_n in 1..cardinality(v_caps) loop
    v_cap := v_caps[v_n];
    -- null for most: no key, or none with a cap
    continue when coalesce(p_key_id <> all (v_cap.key_ids), true);
    if v_cap.spent + p_amount > v_cap.cap then
      raise exception using
        errcode = 'CR403',
        message = format(
          'This service key may spend %s credits a day: %s are spent, %s were asked for. The day ends at midnight UTC.',
          v_cap.cap, v_cap.spent, p_amount
        ),
        detail = jsonb_build_object(
          'cap', v_cap.cap, 'spent', v_cap.spent, 'retryAfterSeconds', v_cap.resets_in_seconds
        );
    end if;
    v_caps[v_n].spent := v_cap.spent + p_amount;
  end loop;
  return v_caps;
end
$$;

comment on function credits.count_against_caps(credits.cap_count[], uuid, bigint) is
  'The caps with this much more spent through a key; unchanged where the key has none. CR403 more than the key''s cap has left. Writes nothing: credits.write_caps does. Internal.';
--! EndIncluded credits/count_against_caps.sql
--! Included credits/write_caps.sql
create or replace function credits.write_caps(p_caps credits.cap_count[])
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  update credits.service_key_days d
  set spent = c.spent
  from unnest(p_caps) c
  where d.key_id = c.first_id and d.day = c.day and d.spent <> c.spent;
$$;

comment on function credits.write_caps(credits.cap_count[]) is
  'Writes what the caps have come to since credits.lock_caps. Internal.';
--! EndIncluded credits/write_caps.sql
--! Included credits/spend_cap.sql
create or replace function credits.spend_cap(p_key_id uuid, p_amount bigint, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select credits.write_caps(
    credits.count_against_caps(credits.lock_caps(array[p_key_id], p_now), p_key_id, p_amount)
  );
$$;

comment on function credits.spend_cap(uuid, bigint, timestamptz) is
  'Counts one debit or hold against the daily cap of the key it comes through, if it has one. After the balance''s lock. CR403 more than the cap has left. Internal.';
--! EndIncluded credits/spend_cap.sql
--! Included credits/free_caps.sql
create or replace function credits.free_caps(p_holds credits.reservations[])
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_freed record;
begin
  for v_freed in
    select
      k.first_id,
      (h.created_at at time zone 'UTC')::date as day,
      sum(h.amount - coalesce(h.committed_amount, 0)) as amount
    from unnest(p_holds) h
    join credits.service_keys k on k.id = h.service_key_id
    group by 1, 2
    order by 1, 2
  loop
    update credits.service_key_days d
    set spent = d.spent - v_freed.amount
    where d.key_id = v_freed.first_id and d.day = v_freed.day;
  end loop;
end
$$;

comment on function credits.free_caps(credits.reservations[]) is
  'Gives what closed holds didn''t charge (all but committed_amount) back to the caps they were counted against, to the day of the hold: what was held yesterday leaves no more for today. After the balances, in the order of credits.lock_caps. Internal.';
--! EndIncluded credits/free_caps.sql
--! Included credits/use_request_json.sql
create or replace function credits.use_request_json(p_request credits.use_request)
returns jsonb
language sql
stable
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
    -- Compared as numeric: 1e30 and 0.5 are refused here, not by a cast. What is too small or large is decide_use's.
    if jsonb_typeof(p_item -> v_path) <> 'number'
       or (p_item ->> v_path)::numeric not between -9007199254740991 and 9007199254740991
       or (p_item ->> v_path)::numeric % 1 <> 0 then
      perform credits.invalid(v_path, 'must be a whole number');
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
  if p_caller is null and coalesce(jsonb_typeof(p_item -> 'caller'), 'null') <> 'string' then
    perform credits.invalid('caller', 'must be text');
  end if;
  v_request.caller := coalesce(p_caller, p_item ->> 'caller');
  return v_request;
end
$$;

comment on function credits.use_request_from_json(jsonb, text) is
  'One item of credits.use_many as a request; without p_caller the item names its own. CR001: a field of the wrong kind. Internal.';
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
  -- Nearly every request is sound, and one expression says so: a statement for each check costs more than the rest of
  -- the decision. What is wrong with the others, the checks say.
  if (
    char_length(p_request.user_id) between 1 and 128
    and char_length(p_request.app_id) between 1 and 64
    and char_length(p_request.description) between 1 and 500
    and p_request.metadata is null
    and char_length(coalesce(p_request.idempotency_key, '-')) between 1 and 255
  ) is not true then
    perform credits.check_text('userId', p_request.user_id, 128);
    perform credits.check_text('appId', p_request.app_id, 64);
    perform credits.check_text('description', p_request.description, 500);
    perform credits.check_metadata(p_request.metadata);
    perform credits.check_text('idempotencyKey', coalesce(p_request.idempotency_key, '-'), 255);
  end if;

  if p_request.idempotency_key is not null then
    o_answer := credits.remembered_answer(
      p_request.user_id, p_request.caller, p_request.idempotency_key, credits.use_request_json(p_request)
    );
    if o_answer is not null then
      return;
    end if;
  end if;

  o_amount := credits.amount_to_charge(p_request.amount, p_request.operation, p_request.quantity);
  -- A user without a balance has no row, and nothing to spend.
  if coalesce(p_balance.balance - p_balance.held, 0) < o_amount then
    perform credits.check_spendable(p_balance, o_amount);
  end if;
end
$$;

comment on function credits.decide_use(credits.balances, credits.use_request) is
  'Decides a debit without writing: the remembered answer of a replay, or the credits to take. CR001 invalid, CR002 not enough credits, CR003 key reused. The caller holds the lock. Internal.';
--! EndIncluded credits/decide_use.sql
--! Included credits/use_posting.sql
create or replace function credits.use_posting(p_request credits.use_request, p_amount bigint)
returns credits.posting
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting;
begin
  v_posting.type := 'usage';
  v_posting.amount := -p_amount;
  v_posting.counter_account := 'revenue:' || p_request.app_id;
  v_posting.app_id := p_request.app_id;
  v_posting.description := p_request.description;
  v_posting.metadata := p_request.metadata;
  if p_request.operation is not null then
    v_posting.metadata := coalesce(p_request.metadata, '{}')
      || jsonb_build_object('operation', p_request.operation, 'quantity', coalesce(p_request.quantity, 1));
  end if;
  v_posting.idempotency_key := p_request.idempotency_key;
  v_posting.caller := p_request.caller;
  return v_posting;
end
$$;

comment on function credits.use_posting(credits.use_request, bigint) is
  'The ledger row of a debit. Internal.';
--! EndIncluded credits/use_posting.sql
--! Included credits/use_answer.sql
create or replace function credits.use_answer(
  p_transaction credits.transactions, p_balance credits.balances, p_amount bigint
)
returns jsonb
language sql
stable
return jsonb_build_object(
  'transaction', credits.transaction_json(p_transaction),
  'newBalance', jsonb_build_object(
    'balance', p_transaction.balance_after - p_balance.held,
    'totalSpent', p_balance.total_spent + p_amount
  )
);

comment on function credits.use_answer(credits.transactions, credits.balances, bigint) is
  'What a debit answers; the balance is the one before it. Internal.';
--! EndIncluded credits/use_answer.sql
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
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  v_transaction := credits.post(p_balance, credits.use_posting(p_request, p_amount), p_now);
  v_answer := credits.use_answer(v_transaction, p_balance, p_amount);
  if p_request.idempotency_key is not null then
    insert into credits.idempotency_keys (user_id, caller, key, request_hash, answer, created_at)
    values (
      p_request.user_id,
      p_request.caller,
      p_request.idempotency_key,
      credits.request_hash(credits.use_request_json(p_request)),
      v_answer,
      p_now
    );
  end if;
  return v_answer;
end
$$;

comment on function credits.write_use(credits.balances, credits.use_request, bigint, timestamptz) is
  'Writes a debit that credits.decide_use allowed, remembers the answer under its key, and returns it. The caller holds the lock. Internal.';
--! EndIncluded credits/write_use.sql
--! Included credits/write_uses.sql
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

  select array_agg(credits.use_answer(t, u.balance, u.amount) order by u.place)
  into v_answers
  from unnest(p_uses) u
  join unnest(v_transactions) t on t.user_id = (u.request).user_id;

  insert into credits.idempotency_keys (user_id, caller, key, request_hash, answer, created_at)
  select
    (u.request).user_id,
    (u.request).caller,
    (u.request).idempotency_key,
    credits.request_hash(credits.use_request_json(u.request)),
    a.answer,
    p_now
  from (select x.request, row_number() over (order by x.place) as n from unnest(p_uses) x) u
  join unnest(v_answers) with ordinality a (answer, n) on a.n = u.n
  where (u.request).idempotency_key is not null;
  return v_answers;
end
$$;

comment on function credits.write_uses(credits.allowed_use[], timestamptz) is
  'credits.write_use for many users at once, one debit a user: the same rows, in one statement a table. Answers in the order of their places. The caller holds the locks. Internal.';
--! EndIncluded credits/write_uses.sql
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
  p_service_key_id uuid default null,
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
  v_decision record;
begin
  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_decision := credits.decide_use(v_balance, v_request);
  if v_decision.o_answer is not null then
    return v_decision.o_answer;
  end if;
  if p_service_key_id is not null then
    perform credits.spend_cap(p_service_key_id, v_decision.o_amount, p_now);
  end if;
  return credits.write_use(v_balance, v_request, v_decision.o_amount, p_now);
end
$$;

comment on function credits.use(text, bigint, text, text, text, jsonb, text, bigint, text, uuid, timestamptz) is
  'Takes credits from a user for an app, or the price of an operation in place of an amount (then p_amount is null). Answers { transaction, newBalance: { balance, totalSpent } }, all in credits, balance being what can still be spent; replayed: true when the key was seen before. CR001 invalid argument, CR002 not enough credits, CR003 key reused, CR403 beyond the daily cap of the service key it comes through. For mana_service and mana_ops.';
--! EndIncluded credits/use.sql
--! Included credits/use_many.sql
create or replace function credits.use_many(
  p_items jsonb,
  p_caller text default session_user,
  p_is_capped boolean default false,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
set plan_cache_mode = force_generic_plan
as $$
declare
  v_user_ids text[];
  v_locked text[];
  v_item record;
  v_request credits.use_request;
  v_balance credits.balances;
  v_decision record;
  -- Allowed and not written yet: one debit a user.
  v_allowed credits.allowed_use[] := '{}';
  v_allowed_user_ids text[] := '{}';
  v_caps credits.cap_count[];
  v_results jsonb[];
  v_answers jsonb[];
  v_state text;
  v_message text;
  v_detail text;
begin
  -- case, since or may look at the length of what isn't an array
  if (case when jsonb_typeof(p_items) = 'array' then jsonb_array_length(p_items) else 0 end) not between 1 and 1000 then
    perform credits.invalid('items', 'must be an array of 1 to 1000 debits');
  end if;
  v_results := array_fill(null::jsonb, array[jsonb_array_length(p_items)]);

  if p_caller is null then
    -- A batch of strangers waits no longer than this for a balance that one of them needs: it is given up whole
    -- (55P03), and each goes alone.
    perform set_config('lock_timeout', '50ms', true);
  end if;

  -- Every balance first, in order: two batches never wait for each other in a circle. The ids as an array: whatever
  -- the plan thinks of their number, it looks them up.
  select array_agg(i.value ->> 'userId') into v_user_ids from jsonb_array_elements(p_items) i;
  select array_agg(l.user_id)
  into v_locked
  from (
    select b.user_id from credits.balances b where b.user_id = any (v_user_ids) order by b.user_id for no key update
  ) l;
  if p_is_capped then
    v_caps := credits.lock_caps(
      array(select (i.value ->> 'serviceKeyId')::uuid from jsonb_array_elements(p_items) i), p_now
    );
  end if;

  -- The row after the last item has no place: it writes what is left.
  for v_item in
    select i.value, i.place, i.value ->> 'userId' as user_id
    from jsonb_array_elements(p_items) with ordinality i (value, place)
    union all
    select null, null, null
    order by place nulls last
  loop
    -- A user's next debit is decided upon the balance that the one before has left.
    if v_item.place is null or v_item.user_id = any (v_allowed_user_ids) then
      v_answers := credits.write_uses(v_allowed, p_now);
      for v_n in 1..cardinality(v_allowed) loop
        v_results[(v_allowed[v_n]).place] := jsonb_build_object('ok', true) || v_answers[v_n];
      end loop;
      v_allowed := '{}';
      v_allowed_user_ids := '{}';
    end if;
    exit when v_item.place is null;

    begin
      v_request := credits.use_request_from_json(v_item.value, p_caller);
      -- An account opened since then isn't locked: this batch finds nothing in it.
      select * into v_balance
      from credits.balances b
      where b.user_id = v_request.user_id and b.user_id = any (v_locked);
      v_decision := credits.decide_use(v_balance, v_request);
      if v_decision.o_answer is null then
        if p_is_capped then
          v_caps := credits.count_against_caps(v_caps, (v_item.value ->> 'serviceKeyId')::uuid, v_decision.o_amount);
        end if;
        v_allowed := v_allowed || row(v_item.place, v_request, v_decision.o_amount, v_balance)::credits.allowed_use;
        v_allowed_user_ids := v_allowed_user_ids || v_item.user_id;
      else
        v_results[v_item.place] := jsonb_build_object('ok', true) || v_decision.o_answer;
      end if;
    exception when others then
      -- Nothing was written in this block, so the item is refused alone. What isn't ours to judge ends the call.
      get stacked diagnostics v_state = returned_sqlstate, v_message = message_text, v_detail = pg_exception_detail;
      if v_state !~ '^CR' then
        raise;
      end if;
      v_results[v_item.place] := jsonb_build_object(
        'ok', false,
        'error', jsonb_build_object('sqlstate', v_state, 'message', v_message, 'detail', v_detail::jsonb)
      );
    end;
  end loop;
  if p_is_capped then
    perform credits.write_caps(v_caps);
  end if;

  return jsonb_build_object('results', to_jsonb(v_results));
end
$$;

comment on function credits.use_many(jsonb, text, boolean, timestamptz) is
  'credits.use for 1 to 1000 items [{ userId, amount, appId, description, idempotencyKey?, metadata?, operation?, quantity? }] in one transaction; where p_caller is null each item names its own in caller, and where p_is_capped an item may name in serviceKeyId the service key whose daily cap it counts against. Answers { results } in the order asked, each { ok: true, transaction, newBalance } or { ok: false, error: { sqlstate, message, detail } }; each item stands alone. CR001 when there is no such array. For mana_service and mana_ops.';
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
  p_service_key_id uuid default null,
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

  if p_service_key_id is not null then
    perform credits.spend_cap(p_service_key_id, v_amount, p_now);
  end if;

  update credits.balances b
  set held = b.held + v_amount, updated_at = p_now
  where b.user_id = p_user_id;
  insert into credits.reservations (user_id, amount, reason, app_id, caller, service_key_id, expires_at, created_at)
  values (
    p_user_id, v_amount, p_reason, p_app_id, p_caller, p_service_key_id,
    p_now + make_interval(secs => p_expires_in_seconds), p_now
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

comment on function credits.reserve(text, bigint, text, bigint, text, text, text, bigint, text, uuid, timestamptz) is
  'Holds credits for a call that will cost money: they can''t be spent elsewhere until credits.commit, credits.release or the expiry (1 second to 30 days). An operation stands in place of an amount as in credits.use. Answers { reservationId, balance, expiresAt }, balance in credits that can still be spent. CR001 invalid argument, CR002 not enough credits, CR003 key reused, CR403 beyond the daily cap of the service key it comes through. For mana_service and mana_ops.';
--! EndIncluded credits/reserve.sql
--! Included credits/lock_reservation.sql
create or replace function credits.lock_reservation(p_reservation_id uuid, p_only_of text)
returns credits.reservations
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text;
  v_reservation credits.reservations;
begin
  select r.user_id into v_user_id
  from credits.reservations r
  where r.id = p_reservation_id and (p_only_of is null or r.caller = p_only_of);
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

comment on function credits.lock_reservation(uuid, text) is
  'Locks the balance a hold is on and returns the hold as it stands under the lock. Where p_only_of names a caller, another''s hold is none. CR006 no such reservation. Internal.';
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
  p_only_of text default null,
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

  v_reservation := credits.lock_reservation(p_reservation_id, p_only_of);
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
  if v_reservation.service_key_id is not null then
    v_reservation.committed_amount := v_amount;
    perform credits.free_caps(array[v_reservation]);
  end if;
  return v_answer;
end
$$;

comment on function credits.commit(uuid, bigint, text, text, text, timestamptz) is
  'Captures a hold: charges all of it, or a smaller amount and sets the rest free. Answers { transactionId, balance }, balance in credits that can be spent; the same call again gets the same answer with replayed: true. Where p_only_of names a caller, another''s hold is none. CR001 invalid argument or more than held, CR006 no such reservation, CR007 closed otherwise or expired. For mana_service and mana_ops.';
--! EndIncluded credits/commit.sql
--! Included credits/release.sql
create or replace function credits.release(
  p_reservation_id uuid, p_only_of text default null, p_now timestamptz default now()
)
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
  v_reservation := credits.lock_reservation(p_reservation_id, p_only_of);
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
  if v_reservation.service_key_id is not null then
    perform credits.free_caps(array[v_reservation]);
  end if;
  return v_answer;
end
$$;

comment on function credits.release(uuid, text, timestamptz) is
  'Sets a hold free, nothing charged, also when it is past its expiry but not swept yet. Answers { balance } in credits that can be spent; the same call again gets the same answer with replayed: true. Where p_only_of names a caller, another''s hold is none. CR006 no such reservation, CR007 committed or expired. For mana_service and mana_ops.';
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
  v_capped credits.reservations[];
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
    returning r.*
  ), freed as (
    update credits.balances b
    set held = b.held - e.amount, updated_at = p_now
    from (select x.user_id, sum(x.amount) as amount from expired x group by x.user_id) e
    where b.user_id = e.user_id
  )
  select count(*), array_agg(row(x.*)::credits.reservations) filter (where x.service_key_id is not null)
  into v_expired, v_capped
  from expired x;
  perform credits.settle(u.user_id, p_now) from unnest(v_user_ids) u (user_id);
  perform credits.free_caps(v_capped);
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
      -- Not the gift's fault: the whole call is made again.
      if credits.is_passing_trouble(sqlstate) then
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
      -- Not the gift's fault: the next run tries again.
      if credits.is_passing_trouble(sqlstate) then
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
      v_balance, v_subscription, v_subscription.interval, true,
      'sync.resumed', '{"by": "autoResume"}', 'autoResume', p_now
    );
  exception when others then
    -- A broken subscription must not turn away the credits that came in.
    if credits.is_passing_trouble(sqlstate) then
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
  delete from credits.sync_charge_errors e where e.user_id = p_user_id; -- nothing is to be charged any more
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
    if credits.is_passing_trouble(sqlstate) then
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
      if credits.is_passing_trouble(sqlstate) then
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
  -- A user's event and the next one, in whatever order they came to be sent: one at a time, nobody in a circle.
  perform pg_advisory_xact_lock(hashtextextended('events ' || p_user_id, 0));
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
  -- A user's event and the next one, in whatever order they came to be sent: one at a time, nobody in a circle.
  perform pg_advisory_xact_lock(hashtextextended('events ' || p_user_id, 0));
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
--! Included credits/packages.sql
create or replace function credits.packages()
returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'id', p.id,
        'name', p.name,
        'description', p.description,
        'credits', p.credits,
        'priceEuroCents', p.price_euro_cents,
        'stripePriceId', p.stripe_price_id,
        'active', p.active,
        'sortOrder', p.sort_order,
        'metadata', p.metadata
      )
      order by p.sort_order, p.id
    ),
    '[]'
  )
  from credits.packages p
  where p.active;
$$;

comment on function credits.packages() is
  'What can be bought now, in order: [{ id, name, description, credits, priceEuroCents, stripePriceId, active, sortOrder, metadata }]. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded credits/packages.sql
--! Included credits/purchase_json.sql
create or replace function credits.purchase_json(p_purchase credits.purchases)
returns jsonb
language sql
immutable
return jsonb_build_object(
  'id', p_purchase.id,
  'packageId', p_purchase.package_id,
  'credits', p_purchase.credits,
  'priceEuroCents', p_purchase.price_euro_cents,
  'status', p_purchase.status,
  'createdAt', credits.iso8601(p_purchase.created_at),
  'completedAt', credits.iso8601(p_purchase.completed_at),
  'refundedEuroCents', p_purchase.refunded_euro_cents,
  'disputedEuroCents', p_purchase.disputed_euro_cents,
  'dispute', p_purchase.dispute,
  'creditsKept', p_purchase.credits_kept
);

comment on function credits.purchase_json(credits.purchases) is
  'A purchase as its buyer sees it. Internal.';
--! EndIncluded credits/purchase_json.sql
--! Included credits/purchases.sql
create or replace function credits.purchases(p_user_id text, p_limit integer default 200)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  perform credits.check_text('userId', p_user_id, 128);
  if p_limit is null or p_limit not between 1 and 200 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 200');
  end if;
  return (
    select coalesce(jsonb_agg(credits.purchase_json(page.purchase) order by (page.purchase).id desc), '[]')
    from (
      select p as purchase
      from credits.purchases p
      where p.user_id = p_user_id
      order by p.id desc
      limit p_limit
    ) page
  );
end
$$;

comment on function credits.purchases(text, integer) is
  'A user''s latest purchases (p_limit 1 to 200), newest first, each as credits.purchase answers it. CR001 invalid argument. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded credits/purchases.sql
--! Included credits/purchase.sql
create or replace function credits.purchase(p_user_id text, p_purchase_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_purchase credits.purchases;
begin
  perform credits.check_text('userId', p_user_id, 128);
  select * into v_purchase
  from credits.purchases p
  where p.user_id = p_user_id and p.id = p_purchase_id;
  if not found then
    perform stripe.no_such_purchase(p_purchase_id);
  end if;
  return credits.purchase_json(v_purchase);
end
$$;

comment on function credits.purchase(text, uuid) is
  'One purchase of a user: { id, packageId, credits, priceEuroCents, status, createdAt, completedAt, refundedEuroCents, disputedEuroCents, dispute, creditsKept }; status pending, completed, failed, cancelled or refunded. CR303 no such purchase of this user. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded credits/purchase.sql
--! Included stripe/api_version.sql
create or replace function stripe.api_version()
returns text
language sql
immutable
return '2026-10-28.endive';

comment on function stripe.api_version() is
  'The version of Stripe''s API whose objects the functions here read: the one that the stripe package in package.json is pinned to (a test compares them). The webhook endpoint has to have the same. Internal.';
--! EndIncluded stripe/api_version.sql
--! Included stripe/event_kind.sql
create or replace function stripe.event_kind(p_type text)
returns text
language sql
immutable
return case
  when p_type in (
    'payment_intent.succeeded',
    'payment_intent.processing',
    'payment_intent.payment_failed',
    'payment_intent.canceled',
    'checkout.session.completed',
    'checkout.session.async_payment_succeeded',
    'checkout.session.async_payment_failed',
    'checkout.session.expired',
    'charge.refunded',
    'charge.refund.updated',
    'refund.created',
    'refund.updated',
    'refund.failed',
    'charge.dispute.created',
    'charge.dispute.updated',
    'charge.dispute.funds_withdrawn',
    'charge.dispute.funds_reinstated',
    'charge.dispute.closed'
  ) then 'applied'
  -- Steps on the way, told again by one of the above.
  when p_type in (
    'payment_intent.created',
    'payment_intent.requires_action',
    'payment_intent.amount_capturable_updated',
    'payment_intent.partially_funded',
    'charge.pending',
    'charge.succeeded',
    'charge.failed',
    'charge.updated',
    'charge.captured',
    'charge.expired'
  ) then 'ignored'
  when p_type ~ '^(payment_intent|checkout|charge|refund)\.' then 'unknown'
  else 'ignored' -- about something that isn't a payment
end;

comment on function stripe.event_kind(text) is
  'What to do with a type of event: applied, ignored (we know that it changes nothing for us), or unknown (about payments, but new to us). Internal.';
--! EndIncluded stripe/event_kind.sql
--! Included stripe/object_id.sql
create or replace function stripe.object_id(p_reference jsonb)
returns text
language sql
immutable
return case jsonb_typeof(p_reference)
  when 'string' then p_reference #>> '{}'
  when 'object' then p_reference ->> 'id'
end;

comment on function stripe.object_id(jsonb) is
  'The id in a field of Stripe''s that holds an id or, expanded, the object itself; null without one. Internal.';
--! EndIncluded stripe/object_id.sql
--! Included stripe/payment_intent_id.sql
create or replace function stripe.payment_intent_id(p_object jsonb)
returns text
language sql
immutable
return case
  when p_object ->> 'object' = 'payment_intent' then p_object ->> 'id'
  else stripe.object_id(p_object -> 'payment_intent')
end;

comment on function stripe.payment_intent_id(jsonb) is
  'The PaymentIntent that an object of Stripe''s is or is about; null when it names none. Internal.';
--! EndIncluded stripe/payment_intent_id.sql
--! Included stripe/no_such_purchase.sql
create or replace function stripe.no_such_purchase(p_purchase_id uuid)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'CR303', message = 'There is no such purchase.',
    detail = jsonb_build_object('purchaseId', p_purchase_id);
end
$$;

comment on function stripe.no_such_purchase(uuid) is 'Raises CR303. Internal.';
--! EndIncluded stripe/no_such_purchase.sql
--! Included stripe/find_purchase.sql
create or replace function stripe.find_purchase(p_object jsonb)
returns uuid
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_purchase_id uuid;
  v_said text := p_object #>> '{metadata,purchaseId}';
begin
  select p.id into v_purchase_id
  from credits.purchases p
  where p.payment_intent_id = stripe.payment_intent_id(p_object);
  if not found then
    select p.id into v_purchase_id
    from credits.purchases p
    where p_object ->> 'object' = 'checkout.session' and p.checkout_session_id = p_object ->> 'id';
  end if;
  -- Before we were told which PaymentIntent it is, its metadata, which we gave it, says whose it is.
  if v_purchase_id is null and pg_input_is_valid(v_said, 'uuid') then
    select p.id into v_purchase_id from credits.purchases p where p.id = v_said::uuid;
  end if;
  return v_purchase_id;
end
$$;

comment on function stripe.find_purchase(jsonb) is
  'The purchase that a PaymentIntent, Checkout Session, charge, refund or dispute is about; null when we know of none (yet). Internal.';
--! EndIncluded stripe/find_purchase.sql
--! Included stripe/lock_purchase.sql
create or replace function stripe.lock_purchase(p_purchase_id uuid)
returns credits.purchases
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text;
  v_purchase credits.purchases;
begin
  select p.user_id into v_user_id from credits.purchases p where p.id = p_purchase_id;
  if found then
    -- The balance's lock guards the user's purchases too: read the purchase once we have it.
    perform credits.lock_balance(v_user_id);
    select * into strict v_purchase
    from credits.purchases p
    where p.user_id = v_user_id and p.id = p_purchase_id;
  end if;
  return v_purchase;
end
$$;

comment on function stripe.lock_purchase(uuid) is
  'Locks the balance a purchase belongs to and returns the purchase as it stands under the lock; all null when there is none. Internal.';
--! EndIncluded stripe/lock_purchase.sql
--! Included stripe/doubt.sql
create or replace function stripe.doubt(p_event credits.stripe_events, p_purchase credits.purchases)
returns text
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_object jsonb := p_event.payload #> '{data,object}';
  v_kind text := v_object ->> 'object';
begin
  return case
    when p_event.api_version is distinct from stripe.api_version() then 'api_version_mismatch'
    when p_purchase.id is null then 'purchase_unknown'
    when p_event.livemode <> p_purchase.livemode then 'livemode_mismatch'
    when stripe.payment_intent_id(v_object) <> p_purchase.payment_intent_id then 'payment_intent_mismatch'
    when v_object ->> 'currency' is distinct from 'eur' then 'currency_mismatch'
    when (case v_kind
      when 'payment_intent' then
        (v_object ->> 'amount')::bigint is distinct from p_purchase.price_euro_cents
        or (
          v_object ->> 'status' = 'succeeded'
          and (v_object ->> 'amount_received')::bigint is distinct from p_purchase.price_euro_cents
        )
      when 'checkout.session' then
        (v_object ->> 'amount_total')::bigint is distinct from p_purchase.price_euro_cents
        or v_object ->> 'payment_status' = 'no_payment_required'
      when 'charge' then (v_object ->> 'amount')::bigint is distinct from p_purchase.price_euro_cents
      when 'refund' then coalesce((v_object ->> 'amount')::bigint, 0) not between 1 and p_purchase.price_euro_cents
      -- What is disputed may differ from what was paid; what it costs us is capped by it elsewhere.
      when 'dispute' then coalesce((v_object ->> 'amount')::bigint, -1) < 0
    end) then 'amount_mismatch'
    when v_kind not in ('payment_intent', 'checkout.session', 'charge', 'refund', 'dispute') then 'type_unknown'
  end;
end
$$;

comment on function stripe.doubt(credits.stripe_events, credits.purchases) is
  'Why an event can''t be applied to a purchase: api_version_mismatch, purchase_unknown, livemode_mismatch, payment_intent_mismatch, currency_mismatch, amount_mismatch or type_unknown; null when it can. Internal.';
--! EndIncluded stripe/doubt.sql
--! Included stripe/credits_to_keep.sql
create or replace function stripe.credits_to_keep(p_purchase credits.purchases)
returns bigint
language sql
immutable
return case
  when p_purchase.paid_at is null then 0
  else (
    p_purchase.credits * greatest(
      0, p_purchase.price_euro_cents - p_purchase.refunded_euro_cents - p_purchase.disputed_euro_cents
    )
    + p_purchase.price_euro_cents - 1 -- rounds up: the fraction of a credit is the person's
  ) / p_purchase.price_euro_cents
end;

comment on function stripe.credits_to_keep(credits.purchases) is
  'Credits that what is left of a payment pays for, in proportion to the price, rounded up; none before it is paid. Follows from the facts alone. Internal.';
--! EndIncluded stripe/credits_to_keep.sql
--! Included stripe/status.sql
create or replace function stripe.status(p_purchase credits.purchases)
returns text
language sql
immutable
return case
  -- Nothing of the money is left with us.
  when p_purchase.paid_at is not null
    and p_purchase.refunded_euro_cents + p_purchase.disputed_euro_cents >= p_purchase.price_euro_cents then 'refunded'
  when p_purchase.paid_at is not null then 'completed'
  when p_purchase.cancelled_at is not null then 'cancelled'
  -- An attempt under way after a failed one is pending again.
  when p_purchase.failed_at >= coalesce(p_purchase.processing_at, p_purchase.failed_at) then 'failed'
  else 'pending'
end;

comment on function stripe.status(credits.purchases) is
  'A purchase''s status, from the facts alone: pending, completed, failed, cancelled or refunded. Internal.';
--! EndIncluded stripe/status.sql
--! Included stripe/refunded_euro_cents.sql
create or replace function stripe.refunded_euro_cents(p_purchase credits.purchases)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- The charge's total may be known before its refunds, or the other way round; failed ones are in both.
  select greatest(
    0,
    greatest(p_purchase.charge_refunded_euro_cents, coalesce(sum(r.amount_euro_cents), 0))
    - coalesce(sum(r.amount_euro_cents) filter (where r.failed), 0)
  )::bigint
  from credits.purchase_refunds r
  where r.user_id = p_purchase.user_id and r.purchase_id = p_purchase.id;
$$;

comment on function stripe.refunded_euro_cents(credits.purchases) is
  'Euro cents that refunds took back from us: all that were made less those that failed. Internal.';
--! EndIncluded stripe/refunded_euro_cents.sql
--! Included stripe/refundable_euro_cents.sql
create or replace function stripe.refundable_euro_cents(p_purchase credits.purchases)
returns bigint
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select case
    when p_purchase.paid_at is null then 0
    else greatest(
      0,
      p_purchase.price_euro_cents - p_purchase.refunded_euro_cents - p_purchase.disputed_euro_cents
      - coalesce(sum(q.amount_euro_cents), 0)
    )
  end::bigint
  from credits.refund_requests q
  where q.user_id = p_purchase.user_id
    and q.purchase_id = p_purchase.id
    -- Asked for, and not among the reported refunds yet.
    and q.status <> 'refused'
    and not exists (
      select
      from credits.purchase_refunds r
      where r.user_id = q.user_id and r.purchase_id = q.purchase_id and r.id = q.refund_id
    );
$$;

comment on function stripe.refundable_euro_cents(credits.purchases) is
  'Euro cents of a payment that are still with us and that nobody has asked to refund. The caller holds the lock. Internal.';
--! EndIncluded stripe/refundable_euro_cents.sql
--! Included stripe/dispute_state.sql
create or replace function stripe.dispute_state(
  p_purchase credits.purchases, out o_disputed_euro_cents bigint, out o_dispute text
)
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select
    coalesce(
      sum(
        least(d.amount_euro_cents, greatest(0, d.withdrawn_euro_cents - d.reinstated_euro_cents))
      ), 0
    )::bigint,
    case when bool_or(d.outcome is null) then 'open' else max(d.outcome) end
  from credits.purchase_disputes d
  where d.user_id = p_purchase.user_id and d.purchase_id = p_purchase.id;
$$;

comment on function stripe.dispute_state(credits.purchases) is
  'Euro cents that disputes took and didn''t give back, and how they stand: open, closed, lost, won, or null for none. Internal.';
--! EndIncluded stripe/dispute_state.sql
--! Included stripe/note_refund.sql
create or replace function stripe.note_refund(p_purchase credits.purchases, p_refund jsonb, p_now timestamptz)
returns void
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  insert into credits.purchase_refunds as r (user_id, purchase_id, id, amount_euro_cents, failed, created_at)
  values (
    p_purchase.user_id,
    p_purchase.id,
    p_refund ->> 'id',
    (p_refund ->> 'amount')::bigint,
    p_refund ->> 'status' in ('failed', 'canceled'),
    p_now
  )
  on conflict (user_id, purchase_id, id) do update
  -- A refund that succeeded may fail later, at the bank; never the other way round.
  set failed = r.failed or excluded.failed;
$$;

comment on function stripe.note_refund(credits.purchases, jsonb, timestamptz) is
  'Writes down a refund as Stripe describes it, on top of what is known of it. Internal.';
--! EndIncluded stripe/note_refund.sql
--! Included stripe/note_dispute.sql
create or replace function stripe.note_dispute(
  p_purchase credits.purchases, p_dispute jsonb, p_type text, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_amount bigint := (p_dispute ->> 'amount')::bigint;
  v_status text := p_dispute ->> 'status';
  v_withdrawn bigint := 0;
  v_reinstated bigint := 0;
begin
  -- Stripe's own account of it, where it is in euro: what went out and what came back.
  if jsonb_typeof(p_dispute -> 'balance_transactions') = 'array' then
    select
      coalesce(-sum(b.amount) filter (where b.amount < 0), 0),
      coalesce(sum(b.amount) filter (where b.amount > 0), 0)
    into v_withdrawn, v_reinstated
    from (
      select (t.value ->> 'amount')::bigint as amount
      from jsonb_array_elements(p_dispute -> 'balance_transactions') t
      where t.value ->> 'currency' = 'eur'
    ) b;
  end if;
  if v_withdrawn = 0 and (p_type = 'charge.dispute.funds_withdrawn' or v_status = 'lost') then
    v_withdrawn := v_amount;
  end if;
  -- Won means all of it, whether or not it is on the account yet.
  if v_status = 'won' or (v_reinstated = 0 and p_type = 'charge.dispute.funds_reinstated') then
    v_reinstated := greatest(v_reinstated, v_amount);
  end if;

  insert into credits.purchase_disputes as d (
    user_id, purchase_id, id, amount_euro_cents, withdrawn_euro_cents, reinstated_euro_cents, outcome, created_at
  )
  values (
    p_purchase.user_id,
    p_purchase.id,
    p_dispute ->> 'id',
    v_amount,
    v_withdrawn,
    v_reinstated,
    case
      when v_status in ('won', 'lost') then v_status
      when v_status in ('warning_closed', 'prevented') then 'closed'
    end,
    p_now
  )
  on conflict (user_id, purchase_id, id) do update
  set
    amount_euro_cents = greatest(d.amount_euro_cents, excluded.amount_euro_cents),
    withdrawn_euro_cents = greatest(d.withdrawn_euro_cents, excluded.withdrawn_euro_cents),
    reinstated_euro_cents = greatest(d.reinstated_euro_cents, excluded.reinstated_euro_cents),
    -- closed < lost < won in the alphabet too: a lost one may be won on appeal.
    outcome = greatest(d.outcome, excluded.outcome);
end
$$;

comment on function stripe.note_dispute(credits.purchases, jsonb, text, timestamptz) is
  'Writes down a dispute as Stripe describes it, on top of what is known of it: every amount only grows, so the order of the reports doesn''t matter. An inquiry (warning_…) moves no money. Internal.';
--! EndIncluded stripe/note_dispute.sql
--! Included stripe/facts_after.sql
create or replace function stripe.facts_after(
  p_purchase credits.purchases, p_event credits.stripe_events, p_now timestamptz
)
returns credits.purchases
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_purchase credits.purchases := p_purchase;
  v_type text := p_event.type;
  v_object jsonb := p_event.payload #> '{data,object}';
  v_kind text := v_object ->> 'object';
  v_status text := v_object ->> 'status';
  v_payment_status text := v_object ->> 'payment_status'; -- of a Checkout Session
begin
  v_purchase.payment_intent_id := coalesce(v_purchase.payment_intent_id, stripe.payment_intent_id(v_object));

  if v_kind = 'payment_intent' and v_status = 'succeeded'
     or v_kind = 'checkout.session' and v_payment_status = 'paid' then
    v_purchase.paid_at := least(v_purchase.paid_at, p_event.created);
  elsif v_kind = 'payment_intent' and v_status = 'processing'
     or v_kind = 'checkout.session' and v_type = 'checkout.session.completed' then
    v_purchase.processing_at := greatest(v_purchase.processing_at, p_event.created);
  elsif v_kind = 'payment_intent' and v_status = 'canceled'
     or v_kind = 'checkout.session' and v_status = 'expired' then
    v_purchase.cancelled_at := greatest(v_purchase.cancelled_at, p_event.created);
  elsif v_type in ('payment_intent.payment_failed', 'checkout.session.async_payment_failed') then
    v_purchase.failed_at := greatest(v_purchase.failed_at, p_event.created);
  end if;

  if v_kind = 'charge' then
    v_purchase.charge_refunded_euro_cents := greatest(
      v_purchase.charge_refunded_euro_cents, (v_object ->> 'amount_refunded')::bigint
    );
  elsif v_kind = 'refund' then
    perform stripe.note_refund(v_purchase, v_object, p_now);
  elsif v_kind = 'dispute' then
    perform stripe.note_dispute(v_purchase, v_object, v_type, p_now);
  end if;

  v_purchase.refunded_euro_cents := stripe.refunded_euro_cents(v_purchase);
  select d.o_disputed_euro_cents, d.o_dispute
  into v_purchase.disputed_euro_cents, v_purchase.dispute
  from stripe.dispute_state(v_purchase) d;
  return v_purchase;
end
$$;

comment on function stripe.facts_after(credits.purchases, credits.stripe_events, timestamptz) is
  'A purchase with the facts that an event adds. Reads the state of the object more than the name of the event, so a late or repeated report changes nothing. Writes refunds and disputes, not the purchase. Internal.';
--! EndIncluded stripe/facts_after.sql
--! Included stripe/take_back.sql
create or replace function stripe.take_back(p_purchase credits.purchases, p_amount bigint, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances := credits.lock_balance(p_purchase.user_id);
  v_spendable bigint := least(p_amount, v_balance.balance - v_balance.held);
begin
  if v_spendable > 0 then
    perform credits.claw_back(
      v_balance, p_purchase.id, p_purchase.transaction_id, v_spendable, 'A payment was taken back', p_now
    );
  end if;
  -- Spent or held already: owed, and paid by the next credits that come in.
  if p_amount > v_spendable then
    perform credits.change_debt(
      p_purchase.user_id, p_purchase.id, 'incurred', p_amount - v_spendable, null, p_now
    );
  end if;
end
$$;

comment on function stripe.take_back(credits.purchases, bigint, timestamptz) is
  'Takes credits of a purchase back: what is spendable now, and the rest as a debt. The caller holds the lock. Internal.';
--! EndIncluded stripe/take_back.sql
--! Included stripe/give_back.sql
create or replace function stripe.give_back(p_purchase credits.purchases, p_amount bigint, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_cancelled bigint := least(p_amount, credits.open_debt(p_purchase.user_id, p_purchase.id));
  v_posting credits.posting;
begin
  if v_cancelled > 0 then
    perform credits.change_debt(p_purchase.user_id, p_purchase.id, 'cancelled', -v_cancelled, null, p_now);
  end if;
  if p_amount > v_cancelled then
    v_posting.type := 'adjustment';
    v_posting.amount := p_amount - v_cancelled;
    v_posting.counter_account := 'stripe';
    v_posting.description := 'A payment that was taken back came in after all';
    v_posting.metadata := jsonb_build_object('purchaseId', p_purchase.id);
    v_posting.related_transaction_id := p_purchase.transaction_id;
    v_posting.caller := 'stripe';
    perform credits.post(credits.lock_balance(p_purchase.user_id), v_posting, p_now);
  end if;
end
$$;

comment on function stripe.give_back(credits.purchases, bigint, timestamptz) is
  'Returns credits of a purchase that had been taken back: cancels what is still owed for it first, then puts the rest on the balance. The caller holds the lock. Internal.';
--! EndIncluded stripe/give_back.sql
--! Included stripe/emit_changes.sql
create or replace function stripe.emit_changes(
  p_before credits.purchases, p_after credits.purchases, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_data jsonb := jsonb_build_object(
    'purchaseId', p_after.id,
    'packageId', p_after.package_id,
    'status', p_after.status,
    'credits', p_after.credits,
    'creditsKept', p_after.credits_kept,
    'priceEuroCents', p_after.price_euro_cents,
    'refundedEuroCents', p_after.refunded_euro_cents,
    'disputedEuroCents', p_after.disputed_euro_cents,
    'dispute', p_after.dispute
  );
begin
  if p_before.paid_at is null and p_after.paid_at is not null then
    perform credits.emit(p_after.user_id, 'purchase.completed', v_data, p_now);
  end if;
  if p_before.status = 'pending' and p_after.status in ('failed', 'cancelled') then
    perform credits.emit(p_after.user_id, 'purchase.failed', v_data, p_now);
  end if;
  if p_before.refunded_euro_cents <> p_after.refunded_euro_cents then
    perform credits.emit(p_after.user_id, 'purchase.refunded', v_data, p_now);
  end if;
  if p_before.dispute is distinct from p_after.dispute
     or p_before.disputed_euro_cents <> p_after.disputed_euro_cents then
    perform credits.emit(p_after.user_id, 'purchase.disputed', v_data, p_now);
  end if;
end
$$;

comment on function stripe.emit_changes(credits.purchases, credits.purchases, timestamptz) is
  'Writes the events purchase.completed, failed, refunded and disputed for what changed of a purchase. Internal.';
--! EndIncluded stripe/emit_changes.sql
--! Included stripe/settle_purchase.sql
create or replace function stripe.settle_purchase(
  p_before credits.purchases, p_purchase credits.purchases, p_now timestamptz
)
returns credits.purchases
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_purchase credits.purchases := p_purchase;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_change bigint;
begin
  if v_purchase.paid_at is not null and v_purchase.transaction_id is null then
    v_posting.type := 'purchase';
    v_posting.amount := v_purchase.credits;
    v_posting.counter_account := 'stripe';
    v_posting.description := (select k.name from credits.packages k where k.id = v_purchase.package_id);
    v_posting.metadata := jsonb_build_object('purchaseId', v_purchase.id, 'packageId', v_purchase.package_id);
    v_posting.caller := 'stripe';
    v_transaction := credits.post(credits.lock_balance(v_purchase.user_id), v_posting, p_now);
    v_purchase.transaction_id := v_transaction.id;
    v_purchase.credits_kept := v_purchase.credits;
    v_purchase.completed_at := p_now;
    v_purchase.next_check_at := null;
  end if;

  -- What the books say and what the facts say, brought together.
  v_change := stripe.credits_to_keep(v_purchase) - v_purchase.credits_kept;
  v_purchase.credits_kept := v_purchase.credits_kept + v_change;
  v_purchase.status := stripe.status(v_purchase);
  if v_purchase is not distinct from p_before then
    return v_purchase;
  end if;
  v_purchase.updated_at := p_now;

  update credits.purchases p
  set
    payment_intent_id = v_purchase.payment_intent_id,
    checkout_session_id = v_purchase.checkout_session_id,
    checkout_url = v_purchase.checkout_url,
    paid_at = v_purchase.paid_at,
    processing_at = v_purchase.processing_at,
    failed_at = v_purchase.failed_at,
    cancelled_at = v_purchase.cancelled_at,
    charge_refunded_euro_cents = v_purchase.charge_refunded_euro_cents,
    refunded_euro_cents = v_purchase.refunded_euro_cents,
    disputed_euro_cents = v_purchase.disputed_euro_cents,
    dispute = v_purchase.dispute,
    status = v_purchase.status,
    credits_kept = v_purchase.credits_kept,
    transaction_id = v_purchase.transaction_id,
    completed_at = v_purchase.completed_at,
    next_check_at = v_purchase.next_check_at,
    updated_at = v_purchase.updated_at
  where p.user_id = v_purchase.user_id and p.id = v_purchase.id;

  if v_change < 0 then
    perform stripe.take_back(v_purchase, -v_change, p_now);
  elsif v_change > 0 then
    perform stripe.give_back(v_purchase, v_change, p_now);
  end if;
  perform stripe.emit_changes(p_before, v_purchase, p_now);
  return v_purchase;
end
$$;

comment on function stripe.settle_purchase(credits.purchases, credits.purchases, timestamptz) is
  'Writes a purchase''s new facts and makes the books agree with them: credits it once when it is paid, takes back or returns the difference. p_before is the purchase as it was, p_purchase with the new facts. The caller holds the lock. Internal.';
--! EndIncluded stripe/settle_purchase.sql
--! Included stripe/apply_stored_event.sql
create or replace function stripe.apply_stored_event(
  p_event credits.stripe_events, p_now timestamptz, p_only_purchase_ids uuid[] default null
)
returns credits.stripe_events
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.stripe_events := p_event;
  v_kind text := stripe.event_kind(p_event.type);
  v_purchase_id uuid;
  v_before credits.purchases;
  v_after credits.purchases;
  v_message text;
begin
  v_event.attempts := v_event.attempts + 1;
  v_event.outcome := 'kept';
  v_event.reason := null;
  v_event.detail := null;
  begin
    if v_kind = 'ignored' then
      v_event.outcome := 'ignored';
    elsif v_kind = 'unknown' then
      v_event.reason := 'type_unknown';
    else
      v_purchase_id := stripe.find_purchase(v_event.payload #> '{data,object}');
      if v_purchase_id is not null and not v_purchase_id = any (p_only_purchase_ids) then
        return p_event;
      end if;
      v_before := stripe.lock_purchase(v_purchase_id);
      v_event.user_id := v_before.user_id;
      v_event.purchase_id := v_before.id;
      v_event.reason := stripe.doubt(v_event, v_before);
      if v_event.reason is null then
        v_after := stripe.facts_after(v_before, v_event, p_now);
        v_after := stripe.settle_purchase(v_before, v_after, p_now);
        v_event.outcome := 'applied';
      end if;
    end if;
  exception when others then
    -- Whatever we didn't think of is undone and kept with its reason; only what may work in a moment (deadlock, out
    -- of memory, shutdown) goes up, so that the caller tries the whole again.
    get stacked diagnostics v_message = message_text;
    if credits.is_passing_trouble(sqlstate) then
      raise;
    end if;
    v_event.outcome := 'kept';
    v_event.reason := 'error';
    v_event.detail := format('%s: %s', sqlstate, v_message);
  end;

  v_event.closed_at := case when v_event.outcome <> 'kept' then p_now end;
  -- 2, 4, 8 … minutes, then every 12 hours: 14 times in about three days, as long as Stripe itself would try.
  v_event.next_attempt_at := case
    when v_event.outcome = 'kept' and v_event.attempts < 14 then
      p_now + least(interval '1 minute' * 2 ^ least(v_event.attempts, 10), interval '12 hours')
  end;
  update credits.stripe_events e
  set
    user_id = v_event.user_id,
    purchase_id = v_event.purchase_id,
    outcome = v_event.outcome,
    reason = v_event.reason,
    detail = v_event.detail,
    attempts = v_event.attempts,
    next_attempt_at = v_event.next_attempt_at,
    closed_at = v_event.closed_at
  where e.id = v_event.id;

  if v_event.outcome = 'applied' and v_before.payment_intent_id is distinct from v_after.payment_intent_id then
    perform stripe.apply_waiting_events(v_after.payment_intent_id, p_now);
  end if;
  return v_event;
end
$$;

comment on function stripe.apply_stored_event(credits.stripe_events, timestamptz, uuid[]) is
  'Tries to apply an event that is stored and whose row the caller has locked, writes down what came of it, and returns it. A caller that holds several balances says of which purchases: an event that has turned out to be another one''s is left as it is, since its balance can''t be taken out of order. Internal.';
--! EndIncluded stripe/apply_stored_event.sql
--! Included stripe/apply_waiting_events.sql
create or replace function stripe.apply_waiting_events(p_payment_intent_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.stripe_events;
begin
  for v_event in
    select *
    from credits.stripe_events e
    where e.payment_intent_id = p_payment_intent_id and e.outcome = 'kept' and e.reason = 'purchase_unknown'
    order by e.created, e.id
    limit 100 -- a payment has a dozen events; stripe.retry_events takes the rest
    -- One that somebody else has at hand finds the purchase by itself, or at the next retry.
    for no key update skip locked
  loop
    perform stripe.apply_stored_event(v_event, p_now);
  end loop;
end
$$;

comment on function stripe.apply_waiting_events(text, timestamptz) is
  'Applies the events that came before we knew whose PaymentIntent they are about. The caller holds the balance''s lock. Internal.';
--! EndIncluded stripe/apply_waiting_events.sql
--! Included stripe/apply_event.sql
create or replace function stripe.apply_event(p_event jsonb, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_payload jsonb;
  v_event credits.stripe_events;
  v_duplicate boolean;
begin
  perform credits.check_text('event.id', p_event ->> 'id', 255);
  perform credits.check_text('event.type', p_event ->> 'type', 255);
  if jsonb_typeof(p_event -> 'created') is distinct from 'number'
     or (p_event ->> 'created')::numeric not between 0 and 253402300799 then
    perform credits.invalid('event.created', 'must be seconds since 1970');
  end if;
  if jsonb_typeof(p_event -> 'livemode') is distinct from 'boolean' then
    perform credits.invalid('event.livemode', 'must be true or false');
  end if;
  if jsonb_typeof(p_event #> '{data,object}') is distinct from 'object' then
    perform credits.invalid('event.data', 'must hold the object that the event is about');
  end if;
  -- With the client secret somebody could pay in the buyer's place: nothing to keep.
  v_payload := p_event #- '{data,object,client_secret}';

  insert into credits.stripe_events (
    id, type, created, api_version, livemode, payload, payment_intent_id, reason, received_at
  )
  values (
    p_event ->> 'id',
    p_event ->> 'type',
    to_timestamp((p_event ->> 'created')::double precision),
    p_event ->> 'api_version',
    (p_event ->> 'livemode')::boolean,
    v_payload,
    stripe.payment_intent_id(p_event #> '{data,object}'),
    'new',
    p_now
  )
  -- The same event at the same time waits here for the first to commit.
  on conflict (id) do nothing;
  select * into strict v_event from credits.stripe_events e where e.id = p_event ->> 'id' for no key update;

  v_duplicate := v_event.outcome <> 'kept';
  if not v_duplicate then
    if v_event.payload <> v_payload then
      -- Read again from Stripe, in the version that we understand.
      update credits.stripe_events e
      set
        payload = v_payload,
        api_version = p_event ->> 'api_version',
        payment_intent_id = stripe.payment_intent_id(p_event #> '{data,object}')
      where e.id = v_event.id
      returning * into v_event;
    end if;
    v_event := stripe.apply_stored_event(v_event, p_now);
  end if;
  return jsonb_build_object(
    'eventId', v_event.id,
    'outcome', v_event.outcome,
    'reason', v_event.reason,
    'purchaseId', v_event.purchase_id,
    'duplicate', v_duplicate
  );
end
$$;

comment on function stripe.apply_event(jsonb, timestamptz) is
  'Stores an event of Stripe''s and applies it, in one transaction: any order, any number of times, at once or not, the books end the same. What it does hangs on the payment, its refunds and disputes, never on the event''s id. Answers { eventId, outcome: applied | ignored | kept, reason, purchaseId, duplicate }; kept ones are tried again by stripe.retry_events and stand in ops.kept_events. The caller has verified the signature. CR001 not an event. For mana_service and mana_ops.';
--! EndIncluded stripe/apply_event.sql
--! Included stripe/retry_events.sql
create or replace function stripe.retry_events(p_now timestamptz default now(), p_limit integer default 100)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_due credits.stripe_events[];
  v_event credits.stripe_events;
  v_purchase_ids uuid[];
  v_applied integer := 0;
  v_kept integer := 0;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 1000');
  end if;
  select coalesce(array_agg(due order by due.created, due.id), '{}')
  into v_due
  from (
    select *
    from credits.stripe_events e
    where e.next_attempt_at <= p_now
    order by e.next_attempt_at
    limit p_limit
    for no key update skip locked
  ) due;
  v_purchase_ids := array(select stripe.find_purchase(e.payload #> '{data,object}') from unnest(v_due) e);
  v_purchase_ids := array_remove(v_purchase_ids, null);
  -- Every balance first, in order.
  perform
  from credits.balances b
  where b.user_id in (select p.user_id from credits.purchases p where p.id = any (v_purchase_ids))
  order by b.user_id
  for no key update;

  foreach v_event in array v_due loop
    -- Another one of this run may have brought it along.
    select * into strict v_event from credits.stripe_events e where e.id = v_event.id;
    if v_event.outcome = 'kept' then
      v_event := stripe.apply_stored_event(v_event, p_now, v_purchase_ids);
    end if;
    if v_event.outcome = 'kept' then
      v_kept := v_kept + 1;
    else
      v_applied := v_applied + 1;
    end if;
  end loop;
  return jsonb_build_object('applied', v_applied, 'kept', v_kept);
end
$$;

comment on function stripe.retry_events(timestamptz, integer) is
  'Tries the kept events again whose time has come, p_limit (1 to 1,000) at most, skipping those somebody has at hand. Answers { applied, kept }, their numbers. CR001 limit. For mana_service and mana_ops.';
--! EndIncluded stripe/retry_events.sql
--! Included stripe/purchase_order.sql
create or replace function stripe.purchase_order(p_purchase credits.purchases)
returns jsonb
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  select jsonb_build_object(
    'purchaseId', p_purchase.id,
    'userId', p_purchase.user_id,
    'packageId', p_purchase.package_id,
    'stripePriceId', p_purchase.stripe_price_id,
    'credits', p_purchase.credits,
    'priceEuroCents', p_purchase.price_euro_cents,
    'livemode', p_purchase.livemode,
    'status', p_purchase.status,
    'successUrl', p_purchase.success_url,
    'cancelUrl', p_purchase.cancel_url,
    'customerId', c.customer_id,
    'customerSince', credits.iso8601(c.created_at),
    'email', c.email,
    'paymentIntentId', p_purchase.payment_intent_id,
    'checkoutSessionId', p_purchase.checkout_session_id,
    'checkoutUrl', p_purchase.checkout_url,
    'createdAt', credits.iso8601(p_purchase.created_at)
  )
  from credits.stripe_customers c
  where c.user_id = p_purchase.user_id and c.livemode = p_purchase.livemode;
$$;

comment on function stripe.purchase_order(credits.purchases) is
  'A purchase as the code that talks to Stripe needs it: { purchaseId, userId, packageId, stripePriceId, credits, priceEuroCents, livemode, status, successUrl, cancelUrl, customerId, customerSince, email, paymentIntentId, checkoutSessionId, checkoutUrl, createdAt }. Internal.';
--! EndIncluded stripe/purchase_order.sql
--! Included stripe/check_startable.sql
create or replace function stripe.check_startable(p_purchase credits.purchases, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_purchase.payment_intent_id is null and p_purchase.checkout_session_id is null
     -- Stripe remembers an idempotency key for 24 hours at least; later, asking again could make a second payment.
     and (p_purchase.status <> 'pending' or p_purchase.created_at < p_now - interval '20 hours') then
    raise exception using
      errcode = 'CR304',
      message = 'This purchase was never started and has been given up. Buy again with a new idempotency key.',
      detail = jsonb_build_object('purchaseId', p_purchase.id);
  end if;
end
$$;

comment on function stripe.check_startable(credits.purchases, timestamptz) is
  'Raises CR304 when a purchase that Stripe knows nothing of is given up or older than 20 hours. Internal.';
--! EndIncluded stripe/check_startable.sql
--! Included stripe/check_unpaid.sql
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
--! EndIncluded stripe/check_unpaid.sql
--! Included stripe/begin_purchase.sql
create or replace function stripe.begin_purchase(
  p_user_id text,
  p_package_id text,
  p_livemode boolean,
  p_success_url text default null,
  p_cancel_url text default null,
  p_email text default null,
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
  v_request jsonb := jsonb_build_array('purchase', p_package_id, p_livemode, p_success_url, p_cancel_url);
  v_package credits.packages;
  v_purchase credits.purchases;
  v_answer jsonb;
begin
  perform credits.check_text('packageId', p_package_id, 64);
  if p_livemode is null then
    perform credits.invalid('livemode', 'must be true or false');
  end if;
  if (p_success_url is null) <> (p_cancel_url is null) then
    perform credits.invalid(
      case when p_success_url is null then 'successUrl' else 'cancelUrl' end, 'must be given when the other one is'
    );
  end if;
  if p_success_url is not null then
    perform credits.check_text('successUrl', p_success_url, 2000);
    perform credits.check_text('cancelUrl', p_cancel_url, 2000);
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;

  perform credits.lock_balance(p_user_id);
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    select * into strict v_purchase
    from credits.purchases p
    where p.user_id = p_user_id and p.id = (v_answer ->> 'purchaseId')::uuid;
    perform stripe.check_startable(v_purchase, p_now);
    return stripe.purchase_order(v_purchase) || jsonb_build_object('replayed', true);
  end if;

  select * into v_package from credits.packages k where k.id = p_package_id;
  if not found then
    raise exception using
      errcode = 'CR301', message = 'There is no such package: see the list of packages.',
      detail = jsonb_build_object('packageId', p_package_id);
  end if;
  if not v_package.active then
    raise exception using
      errcode = 'CR302', message = 'This package is no longer sold. Choose another one.',
      detail = jsonb_build_object('packageId', p_package_id);
  end if;

  perform stripe.check_unpaid(p_user_id, p_now);
  insert into credits.stripe_customers (user_id, livemode, email, created_at)
  values (p_user_id, p_livemode, case when char_length(p_email) between 3 and 254 then p_email end, p_now)
  on conflict (user_id, livemode) do nothing;
  insert into credits.purchases (
    user_id, package_id, credits, price_euro_cents, stripe_price_id, livemode, success_url, cancel_url, caller,
    next_check_at, created_at, updated_at
  )
  values (
    p_user_id, p_package_id, v_package.credits, v_package.price_euro_cents, v_package.stripe_price_id, p_livemode,
    p_success_url, p_cancel_url, p_caller, p_now + interval '15 minutes', p_now, p_now
  )
  returning * into v_purchase;

  perform credits.remember_answer(
    p_user_id, p_caller, p_idempotency_key, v_request, jsonb_build_object('purchaseId', v_purchase.id), p_now
  );
  return stripe.purchase_order(v_purchase);
end
$$;

comment on function stripe.begin_purchase(text, text, boolean, text, text, text, text, text, timestamptz) is
  'Writes down that a user wants to buy a package, before Stripe is asked for anything; with URLs through Checkout, else with a PaymentIntent. Answers the order as stripe.purchase_order, replayed: true when the key was seen before; then what Stripe was asked for already is in it. CR001 invalid argument, CR003 key reused, CR301 no such package, CR302 no longer sold, CR304 the purchase of this key was given up, CR308 too many begun and not paid. For mana_service and mana_ops.';
--! EndIncluded stripe/begin_purchase.sql
--! Included stripe/attach_customer.sql
create or replace function stripe.attach_customer(p_user_id text, p_livemode boolean, p_customer_id text)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customer_id text;
begin
  perform credits.check_text('customerId', p_customer_id, 255);
  perform credits.lock_balance(p_user_id);
  -- The first one stays.
  update credits.stripe_customers c
  set customer_id = p_customer_id, email = null
  where c.user_id = p_user_id and c.livemode = p_livemode and c.customer_id is null;
  select c.customer_id into v_customer_id
  from credits.stripe_customers c
  where c.user_id = p_user_id and c.livemode = p_livemode;
  if not found then
    perform credits.invalid('userId', 'has never begun a purchase');
  end if;
  return jsonb_build_object('customerId', v_customer_id);
end
$$;

comment on function stripe.attach_customer(text, boolean, text) is
  'Keeps which Stripe customer a user is, once. Answers { customerId }, the one to use: the first that was kept. CR001 invalid argument. For mana_service and mana_ops.';
--! EndIncluded stripe/attach_customer.sql
--! Included stripe/forget_customer.sql
create or replace function stripe.forget_customer(
  p_user_id text, p_livemode boolean, p_customer_id text, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_customer credits.stripe_customers;
begin
  perform credits.check_text('customerId', p_customer_id, 255);
  perform credits.lock_balance(p_user_id);
  -- Whoever comes second finds another one, or none: it is forgotten once.
  update credits.stripe_customers c
  set customer_id = null, created_at = p_now
  where c.user_id = p_user_id and c.livemode = p_livemode and c.customer_id = p_customer_id;
  select * into v_customer
  from credits.stripe_customers c
  where c.user_id = p_user_id and c.livemode = p_livemode;
  if not found then
    perform credits.invalid('userId', 'has never begun a purchase');
  end if;
  return jsonb_build_object(
    'customerId', v_customer.customer_id, 'customerSince', credits.iso8601(v_customer.created_at)
  );
end
$$;

comment on function stripe.forget_customer(text, boolean, text, timestamptz) is
  'Forgets a Stripe customer that Stripe no longer has (somebody deleted it), so that the user gets another one. Answers { customerId, customerSince } as they are now: customerId is null, or the one that somebody else has made since. CR001 invalid argument. For mana_service and mana_ops.';
--! EndIncluded stripe/forget_customer.sql
--! Included stripe/attach_payment.sql
create or replace function stripe.attach_payment(
  p_purchase_id uuid,
  p_payment_intent_id text default null,
  p_checkout_session_id text default null,
  p_checkout_url text default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before credits.purchases := stripe.lock_purchase(p_purchase_id);
  v_purchase credits.purchases := v_before;
begin
  if v_before.id is null then
    perform stripe.no_such_purchase(p_purchase_id);
  end if;
  if v_before.payment_intent_id <> p_payment_intent_id or v_before.checkout_session_id <> p_checkout_session_id then
    raise exception using
      errcode = 'CR305',
      message = 'The purchase has another payment already. Look at both with ops.payment(), and cancel one in Stripe.',
      detail = jsonb_build_object(
        'purchaseId', p_purchase_id,
        'paymentIntentId', v_before.payment_intent_id,
        'checkoutSessionId', v_before.checkout_session_id
      );
  end if;
  v_purchase.payment_intent_id := coalesce(v_before.payment_intent_id, p_payment_intent_id);
  v_purchase.checkout_session_id := coalesce(v_before.checkout_session_id, p_checkout_session_id);
  v_purchase.checkout_url := coalesce(v_before.checkout_url, p_checkout_url);
  v_purchase := stripe.settle_purchase(v_before, v_purchase, p_now);
  if v_before.payment_intent_id is null and p_payment_intent_id is not null then
    perform stripe.apply_waiting_events(p_payment_intent_id, p_now);
    v_purchase := stripe.lock_purchase(p_purchase_id);
  end if;
  return stripe.purchase_order(v_purchase);
end
$$;

comment on function stripe.attach_payment(uuid, text, text, text, timestamptz) is
  'Keeps which PaymentIntent or Checkout Session (with its URL) Stripe made for a purchase, and applies events of it that came sooner. Calling it again changes nothing. Answers the order as stripe.begin_purchase. CR303 no such purchase, CR305 it has another payment. For mana_service and mana_ops.';
--! EndIncluded stripe/attach_payment.sql
--! Included stripe/due_purchases.sql
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
--! EndIncluded stripe/due_purchases.sql
--! Included stripe/give_up_purchase.sql
create or replace function stripe.give_up_purchase(p_purchase_id uuid, p_now timestamptz default now())
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_before credits.purchases := stripe.lock_purchase(p_purchase_id);
  v_purchase credits.purchases := v_before;
begin
  if v_before.id is null then
    perform stripe.no_such_purchase(p_purchase_id);
  end if;
  -- With Stripe, 30 days: SEPA takes 14 business days at most. Without, as long as the request may still be repeated.
  if v_before.paid_at is null and v_before.created_at <= p_now - (
    case
      when v_before.payment_intent_id is null and v_before.checkout_session_id is null then interval '1 day'
      else interval '30 days'
    end
  ) then
    v_purchase.cancelled_at := greatest(v_purchase.cancelled_at, p_now);
    v_purchase.next_check_at := null;
    v_purchase := stripe.settle_purchase(v_before, v_purchase, p_now);
  end if;
  return credits.purchase_json(v_purchase);
end
$$;

comment on function stripe.give_up_purchase(uuid, timestamptz) is
  'Cancels a purchase that nothing came of: a day old and unknown to Stripe, or 30 days old and unpaid; any other stays as it is. Money that comes in later is credited all the same. Answers the purchase. CR303 no such purchase. For mana_service and mana_ops.';
--! EndIncluded stripe/give_up_purchase.sql
--! Included stripe/unseen_events.sql
create or replace function stripe.unseen_events(p_event_ids jsonb)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
begin
  if (case when jsonb_typeof(p_event_ids) = 'array' then jsonb_array_length(p_event_ids) else 1001 end) > 1000 then
    perform credits.invalid('eventIds', 'must be an array of at most 1000 ids');
  end if;
  return (
    select coalesce(jsonb_agg(i.value order by i.ordinality), '[]')
    from jsonb_array_elements(p_event_ids) with ordinality i
    where not exists (
      select
      from credits.stripe_events e
      where e.id = i.value #>> '{}' and e.reason is distinct from 'api_version_mismatch'
    )
  );
end
$$;

comment on function stripe.unseen_events(jsonb) is
  'Of these event ids (an array, at most 1,000), those to be read from Stripe: never delivered here, or in a version of the API that isn''t ours. CR001 not such an array. For mana_service and mana_ops.';
--! EndIncluded stripe/unseen_events.sql
--! Included stripe/events_until.sql
create or replace function stripe.events_until(
  p_livemode boolean, p_until timestamptz default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_until timestamptz;
begin
  -- From the start of the books' first purchase on, but Stripe lists no more than 30 days.
  insert into credits.stripe_watermarks as w (livemode, events_until)
  values (
    p_livemode,
    greatest(
      p_now - interval '29 days',
      coalesce((select min(p.created_at) from credits.purchases p where p.livemode = p_livemode), p_now)
    )
  )
  on conflict (livemode) do update
  set events_until = greatest(
    w.events_until,
    -- Not past our own clock: theirs may be ahead, and what happens until then would be passed over.
    case when p_until is not null then least(p_until, p_now) end,
    p_now - interval '29 days'
  )
  returning w.events_until into v_until;
  return jsonb_build_object('until', credits.iso8601(v_until));
end
$$;

comment on function stripe.events_until(boolean, timestamptz, timestamptz) is
  'Up to when Stripe''s list of events was compared with what was delivered here; p_until moves it on, never back nor past p_now. Answers { until }, at most 29 days ago, since Stripe keeps 30. For mana_service and mana_ops.';
--! EndIncluded stripe/events_until.sql
--! Included stripe/due_refunds.sql
create or replace function stripe.due_refunds(
  p_livemode boolean, p_now timestamptz default now(), p_limit integer default 50
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_answer jsonb;
begin
  if p_limit is null or p_limit not between 1 and 1000 then
    perform credits.invalid('limit', 'must be a whole number from 1 to 1000');
  end if;
  with due as (
    select r.user_id, r.id, p.payment_intent_id
    from credits.refund_requests r
    join credits.purchases p on p.user_id = r.user_id and p.id = r.purchase_id
    where r.next_attempt_at <= p_now and p.livemode = p_livemode
    order by r.next_attempt_at
    limit p_limit
    for no key update of r skip locked
  ), claimed as (
    update credits.refund_requests r
    set attempts = r.attempts + 1, next_attempt_at = p_now + interval '15 minutes'
    from due
    where r.user_id = due.user_id and r.id = due.id
    returning r.id, r.purchase_id, r.amount_euro_cents, due.payment_intent_id
  )
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'requestId', c.id,
        'purchaseId', c.purchase_id,
        'paymentIntentId', c.payment_intent_id,
        'amountEuroCents', c.amount_euro_cents
      )
      order by c.id
    ),
    '[]'
  )
  into v_answer
  from claimed c;
  return v_answer;
end
$$;

comment on function stripe.due_refunds(boolean, timestamptz, integer) is
  'Refunds asked for by hand that Stripe hasn''t been told of, at most p_limit (1 to 1,000): [{ requestId, purchaseId, paymentIntentId, amountEuroCents }]; handed out again after 15 minutes unless stripe.close_refund has closed them. CR001 limit. For mana_service and mana_ops.';
--! EndIncluded stripe/due_refunds.sql
--! Included stripe/close_refund.sql
create or replace function stripe.close_refund(
  p_request_id uuid, p_refund_id text default null, p_error text default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request credits.refund_requests;
begin
  if (p_refund_id is null) = (p_error is null) then
    perform credits.invalid('refundId', 'or error must be given');
  end if;
  update credits.refund_requests r
  set
    status = case when p_refund_id is null then 'refused' else 'sent' end,
    refund_id = p_refund_id,
    error = p_error,
    next_attempt_at = null,
    closed_at = p_now
  where r.id = p_request_id and r.status = 'requested';
  select * into v_request from credits.refund_requests r where r.id = p_request_id;
  return jsonb_build_object('requestId', v_request.id, 'status', v_request.status, 'refundId', v_request.refund_id);
end
$$;

comment on function stripe.close_refund(uuid, text, text, timestamptz) is
  'Keeps what Stripe answered to a refund asked for by hand: its refund id, or why it was refused. The credits follow from the refund''s events. Answers { requestId, status, refundId }; a closed one stays as it is. CR001 invalid argument. For mana_service and mana_ops.';
--! EndIncluded stripe/close_refund.sql
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
--! Included ops/check_package.sql
create or replace function ops.check_package(p_package credits.packages)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(p_package.id !~ '^[a-z0-9][a-z0-9_-]{0,63}$', true) then
    perform credits.invalid('id', 'must be 1 to 64 characters a-z, 0-9, - and _');
  end if;
  perform credits.check_text('name', p_package.name, 100);
  perform credits.check_text('description', p_package.description, 500);
  perform credits.check_amount('credits', p_package.credits);
  if coalesce(p_package.price_euro_cents not between 50 and 99999999, true) then
    perform credits.invalid('priceEuroCents', 'must be 50 to 99999999 euro cents, which is what Stripe charges');
  end if;
  if p_package.stripe_price_id !~ '^price_[A-Za-z0-9_]{1,100}$' then
    perform credits.invalid('stripePriceId', 'must be the id of a price in Stripe, price_…');
  end if;
  perform credits.check_metadata(p_package.metadata);
end
$$;

comment on function ops.check_package(credits.packages) is 'Raises CR001 unless the package can be sold. Internal.';
--! EndIncluded ops/check_package.sql
--! Included ops/add_package.sql
create or replace function ops.add_package(
  p_id text,
  p_name text,
  p_description text,
  p_credits bigint,
  p_price_euro_cents bigint,
  p_sort_order integer default null,
  p_stripe_price_id text default null,
  p_metadata jsonb default null,
  p_now timestamptz default now()
)
returns credits.packages
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_package credits.packages;
begin
  v_package.id := p_id;
  v_package.name := p_name;
  v_package.description := p_description;
  v_package.credits := p_credits;
  v_package.price_euro_cents := p_price_euro_cents;
  v_package.stripe_price_id := p_stripe_price_id;
  v_package.active := true;
  v_package.sort_order := coalesce(p_sort_order, (select coalesce(max(k.sort_order), 0) + 10 from credits.packages k));
  v_package.metadata := p_metadata;
  v_package.created_at := p_now;
  v_package.updated_at := p_now;
  perform ops.check_package(v_package);
  if exists (select from credits.packages k where k.id = p_id) then
    perform credits.invalid('id', 'is taken: ops.change_package changes a package');
  end if;
  insert into credits.packages values (v_package.*);
  return v_package;
end
$$;

comment on function ops.add_package(text, text, text, bigint, bigint, integer, text, jsonb, timestamptz) is
  'Puts a package on sale: credits for a price in euro cents (50 to 99,999,999), last in the list unless p_sort_order says where. Returns it. CR001 invalid argument. For mana_ops.';
--! EndIncluded ops/add_package.sql
--! Included ops/change_package.sql
create or replace function ops.change_package(
  p_id text,
  p_name text default null,
  p_description text default null,
  p_credits bigint default null,
  p_price_euro_cents bigint default null,
  p_sort_order integer default null,
  p_stripe_price_id text default null,
  p_metadata jsonb default null,
  p_active boolean default null,
  p_now timestamptz default now()
)
returns credits.packages
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_package credits.packages;
begin
  select * into v_package from credits.packages k where k.id = p_id for no key update;
  if not found then
    raise exception using
      errcode = 'CR301', message = 'There is no such package: ops.add_package makes one.',
      detail = jsonb_build_object('packageId', p_id);
  end if;
  v_package.name := coalesce(p_name, v_package.name);
  v_package.description := coalesce(p_description, v_package.description);
  v_package.credits := coalesce(p_credits, v_package.credits);
  v_package.price_euro_cents := coalesce(p_price_euro_cents, v_package.price_euro_cents);
  v_package.sort_order := coalesce(p_sort_order, v_package.sort_order);
  v_package.stripe_price_id := nullif(coalesce(p_stripe_price_id, v_package.stripe_price_id), '');
  v_package.metadata := coalesce(p_metadata, v_package.metadata);
  v_package.active := coalesce(p_active, v_package.active);
  v_package.updated_at := p_now;
  perform ops.check_package(v_package);
  update credits.packages k
  set
    name = v_package.name,
    description = v_package.description,
    credits = v_package.credits,
    price_euro_cents = v_package.price_euro_cents,
    sort_order = v_package.sort_order,
    stripe_price_id = v_package.stripe_price_id,
    metadata = v_package.metadata,
    active = v_package.active,
    updated_at = v_package.updated_at
  where k.id = p_id;
  return v_package;
end
$$;

comment on function ops.change_package(
  text, text, text, bigint, bigint, integer, text, jsonb, boolean, timestamptz
) is
  'Changes what is given of a package (an empty p_stripe_price_id removes it) and returns it. Purchases begun before keep their price and credits. CR001 invalid argument, CR301 no such package. For mana_ops.';
--! EndIncluded ops/change_package.sql
--! Included ops/retire_package.sql
create or replace function ops.retire_package(p_id text, p_now timestamptz default now())
returns credits.packages
language sql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
  select ops.change_package(p_id, p_active => false, p_now => p_now);
$$;

comment on function ops.retire_package(text, timestamptz) is
  'Takes a package off sale and returns it; ops.change_package(…, p_active => true) brings it back. Purchases begun before go on. CR301 no such package. For mana_ops.';
--! EndIncluded ops/retire_package.sql
--! Included ops/refund_purchase.sql
create or replace function ops.refund_purchase(
  p_purchase_id uuid,
  p_who text,
  p_why text,
  p_amount_euro_cents bigint default null,
  p_now timestamptz default now()
)
returns credits.refund_requests
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_who text := btrim(p_who, e' \t\r\n');
  v_why text := btrim(p_why, e' \t\r\n');
  v_purchase credits.purchases;
  v_request credits.refund_requests;
  v_left bigint;
  v_amount bigint;
begin
  perform ops.check_who_and_why(v_who, v_why);
  v_purchase := stripe.lock_purchase(p_purchase_id);
  if v_purchase.id is null then
    perform stripe.no_such_purchase(p_purchase_id);
  end if;
  v_left := stripe.refundable_euro_cents(v_purchase);
  v_amount := coalesce(p_amount_euro_cents, greatest(v_left, 1));
  perform credits.check_amount('amountEuroCents', v_amount);
  if v_amount > v_left then
    raise exception using
      errcode = 'CR306',
      message = format('Of this payment %s euro cents can be refunded.', v_left),
      detail = jsonb_build_object(
        'purchaseId', p_purchase_id, 'purchaseStatus', v_purchase.status, 'refundable', v_left
      );
  end if;

  insert into credits.refund_requests (
    user_id, purchase_id, amount_euro_cents, who, why, next_attempt_at, created_at
  )
  values (v_purchase.user_id, v_purchase.id, v_amount, v_who, v_why, p_now, p_now)
  returning * into v_request;
  return v_request;
end
$$;

comment on function ops.refund_purchase(uuid, text, text, bigint, timestamptz) is
  'A goodwill refund: has the worker give money of a payment back through Stripe, all that is left of it or p_amount_euro_cents, signed with who and why. The credits go with it once Stripe reports the refund; ops.grant gives some back if the person is to keep them. Returns the request. CR001 invalid argument, CR303 no such purchase, CR306 more than is left of the payment. For mana_ops.';
--! EndIncluded ops/refund_purchase.sql
--! Included ops/retry_event.sql
create or replace function ops.retry_event(p_event_id text, p_now timestamptz default now())
returns credits.stripe_events
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.stripe_events;
begin
  select * into v_event from credits.stripe_events e where e.id = p_event_id for no key update;
  if not found then
    raise exception using
      errcode = 'CR307', message = 'There is no such event here. Stripe''s dashboard can send it again.',
      detail = jsonb_build_object('eventId', p_event_id);
  end if;
  v_event.attempts := 0;
  return stripe.apply_stored_event(v_event, p_now);
end
$$;

comment on function ops.retry_event(text, timestamptz) is
  'Applies a stored event of Stripe''s again, whatever came of it before, and returns it; what was done stays done once. A kept one is retried for three more days. CR307 no such event. For mana_ops.';
--! EndIncluded ops/retry_event.sql
--! Included ops/kept_events.sql
create or replace function ops.kept_events()
returns table (
  event_id text,
  type text,
  reason text,
  detail text,
  payment_intent_id text,
  purchase_id uuid,
  user_id text,
  attempts integer,
  next_attempt_at timestamptz,
  received_at timestamptz
)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    e.id, e.type, e.reason, e.detail, e.payment_intent_id, e.purchase_id, e.user_id, e.attempts, e.next_attempt_at,
    e.received_at
  from credits.stripe_events e
  where e.outcome = 'kept'
  order by e.received_at, e.id;
$$;

comment on function ops.kept_events() is
  'Stripe''s events that couldn''t be applied, oldest first, and why; without next_attempt_at nobody tries any more but ops.retry_event. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded ops/kept_events.sql
--! Included ops/payment.sql
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
--! EndIncluded ops/payment.sql
--! Included ops/find_service_key.sql
create or replace function ops.find_service_key(p_key text)
returns credits.service_keys
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key credits.service_keys;
begin
  select * into v_key
  from credits.service_keys k
  where k.prefix = p_key or k.id::text = lower(p_key)
  for no key update;
  if not found then
    raise exception using
      errcode = 'CR401',
      message = 'There is no service key with this prefix or id: ops.service_keys() lists them.',
      -- Not what was given: it may be a secret, pasted by mistake.
      detail = '{}';
  end if;
  return v_key;
end
$$;

comment on function ops.find_service_key(text) is
  'Locks a service key, found by its prefix or its id. CR401 no such key. Internal.';
--! EndIncluded ops/find_service_key.sql
--! Included ops/check_service_key_active.sql
create or replace function ops.check_service_key_active(p_key credits.service_keys, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status text := credits.service_key_status(p_key, p_now);
begin
  if v_status = 'revoked' then
    raise exception using
      errcode = 'CR402',
      message = format(
        'The service key was revoked already, by %s on %s.', p_key.revoked_by, credits.iso8601(p_key.revoked_at)
      ),
      detail = jsonb_build_object('prefix', p_key.prefix, 'keyStatus', v_status);
  elsif v_status = 'expired' then
    raise exception using
      errcode = 'CR402',
      message = format('The service key expired on %s.', credits.iso8601(p_key.expires_at)),
      detail = jsonb_build_object('prefix', p_key.prefix, 'keyStatus', v_status);
  end if;
end
$$;

comment on function ops.check_service_key_active(credits.service_keys, timestamptz) is
  'Raises CR402 where the key is revoked or expired already. Internal.';
--! EndIncluded ops/check_service_key_active.sql
--! Included ops/service_keys.sql
create or replace function ops.service_keys(p_now timestamptz default now())
returns setof ops.service_key
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select
    k.id,
    k.prefix,
    k.app_id,
    k.scopes::text[],
    credits.service_key_status(k, p_now),
    k.daily_cap,
    case when k.daily_cap is not null then coalesce(d.spent, 0) end,
    k.created_at,
    k.created_by,
    k.expires_at,
    k.revoked_at,
    k.revoked_by,
    n.prefix,
    k.last_used_at
  from credits.service_keys k
  left join credits.service_key_days d on d.key_id = k.first_id and d.day = (p_now at time zone 'UTC')::date
  left join credits.service_keys n on n.replaces_id = k.id
  order by k.app_id, k.id;
$$;

comment on function ops.service_keys(timestamptz) is
  'Every service key, by app and age, those that have ended too; nothing of a secret but its prefix. spent_today counts against daily_cap, in credits since midnight UTC, together with the keys it was rotated from and to; replaced_by is the prefix of the key that follows it. For mana_ops and mana_readonly.';
--! EndIncluded ops/service_keys.sql
--! Included ops/add_service_key.sql
create or replace function ops.add_service_key(
  p_key credits.service_keys, p_prefix text, p_hash bytea, p_who text
)
returns ops.service_key
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_key credits.service_keys := p_key;
  v_shown ops.service_key;
begin
  perform credits.check_text('who', btrim(p_who, e' \t\r\n'), 128);
  if coalesce(p_prefix !~ '^[0-9a-z]{8}$', true) then
    perform credits.invalid('prefix', 'must be 8 characters 0-9 and a-z');
  end if;
  if coalesce(octet_length(p_hash) <> 32, true) then
    perform credits.invalid('hash', 'must be a sha256');
  end if;
  if exists (select from credits.service_keys k where k.prefix = p_prefix or k.hash = p_hash) then
    perform credits.invalid('prefix', 'is taken, or the hash: make another secret');
  end if;
  v_key.prefix := p_prefix;
  v_key.hash := p_hash;
  v_key.created_by := btrim(p_who, e' \t\r\n');
  insert into credits.service_keys values (v_key.*);
  select * into strict v_shown from ops.service_keys(v_key.created_at) k where k.id = v_key.id;
  return v_shown;
end
$$;

comment on function ops.add_service_key(credits.service_keys, text, bytea, text) is
  'Writes a key that is made or rotated and returns it as ops.service_keys shows it. CR001 no signature, prefix or hash. Internal.';
--! EndIncluded ops/add_service_key.sql
--! Included ops/create_service_key.sql
create or replace function ops.create_service_key(
  p_app_id text,
  p_scopes text[],
  p_prefix text,
  p_hash bytea,
  p_who text,
  p_daily_cap bigint default null,
  p_expires_at timestamptz default null,
  p_now timestamptz default now()
)
returns ops.service_key
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_known text[] := enum_range(null::credits.service_scope)::text[];
  v_key credits.service_keys;
begin
  if coalesce(char_length(p_app_id) > 64 or p_app_id !~ '^[!-~]([ -~]*[!-~])?$', true) then
    perform credits.invalid('appId', 'must be 1 to 64 printable ASCII characters, as in X-App-Id');
  end if;
  if coalesce(cardinality(p_scopes) = 0 or not p_scopes <@ v_known, true) then
    perform credits.invalid('scopes', format('must be one or more of %s', array_to_string(v_known, ', ')));
  end if;
  if p_daily_cap not between 1 and 9007199254740991 then
    perform credits.invalid('dailyCap', 'must be a whole number of credits from 1');
  end if;
  if p_expires_at <= p_now then
    perform credits.invalid('expiresAt', 'must be in the future');
  end if;
  v_key.id := uuidv7();
  v_key.first_id := v_key.id;
  v_key.app_id := p_app_id;
  v_key.scopes := array(select distinct s::credits.service_scope as scope from unnest(p_scopes) s order by scope);
  v_key.daily_cap := p_daily_cap;
  v_key.expires_at := p_expires_at;
  v_key.created_at := p_now;
  return ops.add_service_key(v_key, p_prefix, p_hash, p_who);
end
$$;

comment on function ops.create_service_key(text, text[], text, bytea, text, bigint, timestamptz, timestamptz) is
  'Lets a service in that shows the secret with this sha256: for one app, within scopes (read, use, reserve, refund, grant, init, gifts, sync), with a cap of credits debited or held a UTC day (null: none), until an expiry (null: none); p_who signs. The secret is 256 random bits and never comes here: `node src/main.ts keys create` makes it. Returns the key as ops.service_keys() shows it. CR001 invalid argument. For mana_ops.';
--! EndIncluded ops/create_service_key.sql
--! Included ops/revoke_service_key.sql
create or replace function ops.revoke_service_key(p_key text, p_who text, p_now timestamptz default now())
returns ops.service_key
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_who text := btrim(p_who, e' \t\r\n');
  v_key credits.service_keys;
  v_shown ops.service_key;
begin
  perform credits.check_text('who', v_who, 128);
  v_key := ops.find_service_key(p_key);
  perform ops.check_service_key_active(v_key, p_now);
  update credits.service_keys k set revoked_at = p_now, revoked_by = v_who where k.id = v_key.id;
  select * into strict v_shown from ops.service_keys(p_now) k where k.id = v_key.id;
  return v_shown;
end
$$;

comment on function ops.revoke_service_key(text, text, timestamptz) is
  'Ends a service key, named by its prefix or id, for good: every process refuses it within 30 seconds. A key it was rotated to goes on. Holds it made stay, for the app''s other keys. p_who signs. Returns it. CR001 no signature, CR401 no such key, CR402 revoked or expired already. For mana_ops.';
--! EndIncluded ops/revoke_service_key.sql
--! Included ops/rotate_service_key.sql
create or replace function ops.rotate_service_key(
  p_key text,
  p_prefix text,
  p_hash bytea,
  p_who text,
  p_overlap interval default '24 hours',
  p_now timestamptz default now()
)
returns ops.service_key
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_old credits.service_keys;
  v_key credits.service_keys;
  v_follower text;
begin
  if coalesce(p_overlap not between interval '0' and interval '30 days', true) then
    perform credits.invalid('overlap', 'must be from 0 to 30 days');
  end if;
  v_old := ops.find_service_key(p_key);
  perform ops.check_service_key_active(v_old, p_now);
  select k.prefix into v_follower from credits.service_keys k where k.replaces_id = v_old.id;
  if found then
    raise exception using
      errcode = 'CR402',
      message = format('The service key was rotated already: %s follows it.', v_follower),
      detail = jsonb_build_object('prefix', v_old.prefix, 'keyStatus', 'rotated');
  end if;

  update credits.service_keys k
  set expires_at = least(k.expires_at, p_now + p_overlap)
  where k.id = v_old.id;

  v_key.id := uuidv7();
  v_key.first_id := v_old.first_id;
  v_key.replaces_id := v_old.id;
  v_key.app_id := v_old.app_id;
  v_key.scopes := v_old.scopes;
  v_key.daily_cap := v_old.daily_cap;
  -- As long a life as the old one was given.
  v_key.expires_at := p_now + (v_old.expires_at - v_old.created_at);
  v_key.created_at := p_now;
  return ops.add_service_key(v_key, p_prefix, p_hash, p_who);
end
$$;

comment on function ops.rotate_service_key(text, text, bytea, text, interval, timestamptz) is
  'Puts a new secret, of which it gets the sha256, in a service key''s place, named by its prefix or id: same app, scopes and cap, of which both use up one, and as long a life where the old one had an expiry. The old one stays good for the overlap (0 to 30 days) and then expires by itself. p_who signs. Returns the new key. CR001 invalid argument, CR401 no such key, CR402 revoked, expired or rotated already. For mana_ops.';
--! EndIncluded ops/rotate_service_key.sql
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
--! Included ops/verify_purchases.sql
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
  'Invariant 5, the payments'' part: each paid purchase is credited exactly once, what the ledger has of it less what is owed is what the rest of its payment is worth, debts add up and come first. Part of ops.verify().';
--! EndIncluded ops/verify_purchases.sql
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
    format(
      'next charge %s, anchor %s, %s months paid, until %s',
      s.next_charge_at, s.anchor, s.months_paid, s.paid_until
    )
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
--! Included ops/verify_service_keys.sql
create or replace function ops.verify_service_keys()
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  with days as (
    select d.key_id, d.day, d.spent, k.app_id, k.daily_cap, coalesce(h.spent, 0) as on_holds
    from credits.service_key_days d
    join credits.service_keys k on k.id = d.key_id
    left join (
      select
        f.first_id,
        (r.created_at at time zone 'UTC')::date as day,
        sum(case r.status when 'open' then r.amount when 'committed' then r.committed_amount else 0 end) as spent
      from credits.reservations r
      join credits.service_keys f on f.id = r.service_key_id
      group by 1, 2
    ) h on h.first_id = d.key_id and h.day = d.day
  )
  select 'daily_cap', null, format('key %s on %s: spent %s of %s', d.key_id, d.day, d.spent, d.daily_cap)
  from days d
  where d.spent > coalesce(d.daily_cap, 0)
  union all
  select
    'daily_cap_holds', null,
    format('key %s on %s: spent %s, its holds alone came to %s', d.key_id, d.day, d.spent, d.on_holds)
  from days d
  where d.spent < d.on_holds
  union all
  -- The ledger knows the app, not the key, and the app may have keys without a cap: it holds at least as much.
  select
    'daily_cap_debits', null,
    format(
      'app %s on %s: debits through its capped keys %s, in the ledger %s',
      a.app_id, a.day, a.spent, coalesce(l.spent, 0)
    )
  from (select d.app_id, d.day, sum(d.spent - d.on_holds) as spent from days d group by 1, 2) a
  left join (
    select t.caller, (t.created_at at time zone 'UTC')::date as day, -sum(t.amount) as spent
    from credits.transactions t
    where t.type = 'usage'
      and t.caller in (select 'service:' || d.app_id from days d)
      and not exists (select from credits.reservations r where r.user_id = t.user_id and r.transaction_id = t.id)
    group by 1, 2
  ) l on l.caller = 'service:' || a.app_id and l.day = a.day
  where coalesce(l.spent, 0) < a.spent;
$$;

comment on function ops.verify_service_keys() is
  'What is spent against a key''s daily cap is no more than the cap, no less than the holds made through it, and what is not holds is in the ledger under its app. Part of ops.verify().';
--! EndIncluded ops/verify_service_keys.sql
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
  select * from ops.verify_purchases()
  union all
  select * from ops.verify_refunds()
  union all
  select * from ops.verify_once()
  union all
  select * from ops.verify_gifts()
  union all
  select * from ops.verify_sync()
  union all
  select * from ops.verify_usage()
  union all
  select * from ops.verify_service_keys();
$$;

comment on function ops.verify() is
  'Checks every invariant of the books against the rows: one row for each thing that is wrong, none when the books are true. Reads the whole ledger. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded ops/verify.sql
--! Included ops/debts_hash.sql
create or replace function ops.debts_hash(p_user_id text, p_debt_ids uuid[])
returns bytea
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select sha256(convert_to(
    jsonb_agg(
      jsonb_build_array(
        d.user_id,
        d.id,
        d.purchase_id,
        d.kind,
        d.amount,
        d.transaction_id,
        (extract(epoch from d.created_at) * 1000000)::bigint
      )
      order by d.id
    )::text,
    'UTF8'
  ))
  from credits.debts d
  where d.user_id = p_user_id and d.id = any (p_debt_ids);
$$;

comment on function ops.debts_hash(text, uuid[]) is
  'sha256 over these rows of a user''s debts, as they stand; null when none of them is there. Internal.';
--! EndIncluded ops/debts_hash.sql
--! Included ops/sealed_heads.sql
create or replace function ops.sealed_heads(p_seal bigint)
returns setof ops.seal_heads
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  select distinct on (h.user_id) h.*
  from ops.seal_heads h
  where h.seal <= p_seal
  order by h.user_id, h.seal desc;
$$;

comment on function ops.sealed_heads(bigint) is
  'What a seal covers: each user''s last head as of that seal. A seal stores only the heads that moved since the one before. Internal.';
--! EndIncluded ops/sealed_heads.sql
--! Included ops/seal_digest.sql
create or replace function ops.seal_digest(p_seal ops.seals)
returns text
language sql
stable
set search_path = pg_catalog, pg_temp
as $$
  with leaves as (
    select
      sha256(convert_to(
        jsonb_build_array(h.user_id, h.version, encode(h.head, 'hex'), encode(h.debts_hash, 'hex'))::text, 'UTF8'
      )) as leaf
    from ops.sealed_heads(p_seal.seal) h
  ),
  -- In 65,536 parts: no single value grows with the number of users, which Postgres would limit to 1 GB.
  parts as (
    select substr(l.leaf, 1, 2) as part, sha256(string_agg(l.leaf, '\x'::bytea order by l.leaf)) as hash
    from leaves l
    group by substr(l.leaf, 1, 2)
  )
  select encode(sha256(
    convert_to(
      jsonb_build_array(
        'mana-credits seal 1',
        p_seal.seal,
        (extract(epoch from p_seal.sealed_at) * 1000000)::bigint,
        p_seal.users,
        p_seal.ledger_rows,
        p_seal.previous_digest
      )::text,
      'UTF8'
    )
    || coalesce(string_agg(p.hash, '\x'::bytea order by p.part), '\x')
  ), 'hex')
  from parts p;
$$;

comment on function ops.seal_digest(ops.seals) is
  'The digest of a seal: sha256 over its number, its time, its counts, the digest before it, and every head it covers. Internal.';
--! EndIncluded ops/seal_digest.sql
--! Included ops/seal.sql
create or replace function ops.seal(p_now timestamptz default now())
returns ops.seals
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_previous ops.seals;
  v_seal ops.seals;
begin
  -- One seal after the other. Nobody else waits: balances are read, not locked.
  lock table ops.seals in share row exclusive mode;
  select * into v_previous from ops.seals s order by s.seal desc limit 1;
  v_seal.seal := coalesce(v_previous.seal, 0) + 1;
  v_seal.sealed_at := p_now;
  v_seal.previous_digest := v_previous.digest;

  -- One statement, so one moment of the books for all users.
  insert into ops.seal_heads (user_id, seal, version, head, debt_ids, debts_hash)
  select b.user_id, v_seal.seal, b.version, b.head, d.ids, ops.debts_hash(b.user_id, d.ids)
  from credits.balances b
  left join (
    select x.user_id, array_agg(x.id order by x.id) as ids
    from credits.debts x
    group by x.user_id
  ) d on d.user_id = b.user_id
  left join lateral (
    select h.version, h.head, h.debt_ids
    from ops.seal_heads h
    where h.user_id = b.user_id
    order by h.seal desc
    limit 1
  ) last on true
  where b.version > 0
    and (last.version, last.head, last.debt_ids) is distinct from (b.version, b.head, d.ids);

  select count(*), coalesce(sum(h.version), 0)
  into v_seal.users, v_seal.ledger_rows
  from ops.sealed_heads(v_seal.seal) h;
  v_seal.digest := ops.seal_digest(v_seal);
  insert into ops.seals values (v_seal.*);
  return v_seal;
end
$$;

comment on function ops.seal(timestamptz) is
  'Seals history: one digest over every user''s ledger and debts as they stand. Answers the seal; keep its digest where nobody who can write to this database can change it; ops.verify_seal(digest) tells later whether anything up to here was rewritten. Locks nobody out but another seal. For mana_service and mana_ops.';
--! EndIncluded ops/seal.sql
--! Included ops/verify_seal.sql
create or replace function ops.verify_seal(p_digest text)
returns table (invariant text, user_id text, detail text)
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  -- The digest vouches for the heads in ops.seal_heads, the heads for the ledger. Each is checked on its own, so that
  -- whoever's ledger was rewritten, and not its head, is named. Null is a difference: who can rewrite a row
  -- can make its hash null, too.
  with seal as (
    select s.* from ops.seals s where s.digest = lower(btrim(p_digest, e' \t\r\n'))
  ),
  sealed as (
    select h.* from seal s, ops.sealed_heads(s.seal) h
  ),
  links as (
    select
      s.user_id, s.version, s.head, t.seq, t.hash,
      -- The row in its place, hashed with the one before it.
      t.seq = row_number() over w
        and t.hash = credits.transaction_hash(coalesce(lag(t.hash) over w, '\x'), t) as holds
    from sealed s
    join credits.transactions t on t.user_id = s.user_id and t.seq <= s.version
    window w as (partition by t.user_id order by t.seq)
  ),
  ledgers as (
    select
      l.user_id,
      max(l.seq) as last_seq,
      min(l.seq) filter (where l.holds is not true) as first_wrong,
      bool_or(l.seq = l.version and l.hash = l.head) as ends_as_sealed
    from links l
    group by l.user_id
  )
  select 'seal_unknown', null, 'this database has no seal of that digest, or no longer has it'
  where not exists (select from seal)
  union all
  select 'seal_digest', null, format('seal %s: the heads kept with it aren''t those that were sealed', s.seal)
  from ops.seals s
  where s.digest = lower(btrim(p_digest, e' \t\r\n')) and ops.seal_digest(s) is distinct from s.digest
  union all
  select 'seal_user', s.user_id, format('%s ledger rows were sealed, none is there', s.version)
  from sealed s
  where not exists (select from ledgers l where l.user_id = s.user_id)
  union all
  select 'seal_tail', s.user_id, format('%s ledger rows were sealed, the last one now is seq %s', s.version, l.last_seq)
  from sealed s
  join ledgers l on l.user_id = s.user_id
  where l.last_seq < s.version
  union all
  select
    'seal_row', l.user_id,
    format('seq %s isn''t the row that was sealed, or one before it is missing', l.first_wrong)
  from ledgers l
  where l.first_wrong is not null
  union all
  select 'seal_head', s.user_id, format('seq 1 to %s hash to something else than was sealed', s.version)
  from sealed s
  join ledgers l on l.user_id = s.user_id
  where l.last_seq = s.version and l.ends_as_sealed is not true
  union all
  select
    'seal_debts', s.user_id,
    format('the %s rows of debts that were sealed aren''t what they were', cardinality(s.debt_ids))
  from sealed s
  where s.debts_hash is distinct from ops.debts_hash(s.user_id, s.debt_ids);
$$;

comment on function ops.verify_seal(text) is
  'Whether history up to a seal is as it was when ops.seal() answered that digest: one row for each thing that isn''t, none when nothing was rewritten. seal_unknown: no such seal (or somebody removed it); seal_digest: the stored heads were changed; seal_user, seal_tail, seal_row, seal_head, seal_debts: that user''s ledger or debts were. Reads the ledger up to the seal in one snapshot, locks nobody out. For mana_service, mana_ops and mana_readonly.';
--! EndIncluded ops/verify_seal.sql
--! Included grants.sql
-- Who may call what. Functions not named here are internal: the owner's functions call them, nobody else.
revoke execute on all functions in schema credits, gifts, sync, stripe, events, ops from public;

-- What the HTTP service and the worker call, and people in psql too.
grant execute on function
  credits.balance,
  credits.commit,
  credits.expire_reservations,
  credits.grant,
  credits.history,
  credits.init,
  credits.packages,
  credits.pricing,
  credits.purchase,
  credits.purchases,
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
  ops.kept_events,
  ops.migrations,
  ops.seal,
  ops.verify,
  ops.verify_seal,
  stripe.apply_event,
  stripe.attach_customer,
  stripe.attach_payment,
  stripe.begin_purchase,
  stripe.close_refund,
  stripe.due_purchases,
  stripe.due_refunds,
  stripe.events_until,
  stripe.forget_customer,
  stripe.give_up_purchase,
  stripe.retry_events,
  stripe.unseen_events,
  sync.activate,
  sync.change_interval,
  sync.charge_due,
  sync.deactivate,
  sync.details,
  sync.gift,
  sync.revoke_gift,
  sync.status
to mana_service, mana_ops;

-- Who a service is: of no use to people, who know keys by their prefix.
grant execute on function
  credits.service_key
to mana_service;

-- By hand, signed with who and why.
grant execute on function
  ops.add_package,
  ops.adjust,
  ops.change_package,
  ops.create_service_key,
  ops.grant,
  ops.park_events,
  ops.pause_sync,
  ops.payment,
  ops.refund_purchase,
  ops.replay_event,
  ops.resume_sync,
  ops.retire_package,
  ops.retry_event,
  ops.revoke_service_key,
  ops.rotate_service_key,
  ops.set_low_balance_threshold
to mana_ops;

-- Reads only.
grant execute on function
  credits.balance,
  credits.history,
  credits.packages,
  credits.pricing,
  credits.purchase,
  credits.purchases,
  credits.usage,
  ops.kept_events,
  ops.migrations,
  ops.parked_events,
  ops.payment,
  ops.service_keys,
  ops.sync_charges,
  ops.sync_due,
  ops.sync_errors,
  ops.sync_paused,
  ops.verify,
  ops.verify_seal,
  sync.details,
  sync.status
to mana_readonly;
--! EndIncluded grants.sql
--! EndIncluded all.sql

reset role;

--! Previous: -
--! Hash: sha1:15a54dd0d3c1fe6dee7e5386ce413a5f209845e7
--! Message: baseline

-- The baseline: privileges, schemas, types, tables and their first rows. Functions are in sql/, except the one that
-- triggers run.

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

-- The books: balances, the ledger, holds, usage, the price list, and the keys that make a call happen once.

create schema credits;
create schema ops;

comment on schema credits is 'Balances, the ledger and what charges them. Functions here answer with one JSON document.';
comment on schema ops is 'For people in psql. Functions here answer with rows.';

-- A function is nobody's until sql/grants.sql gives it to somebody.
alter default privileges for role mana_owner revoke execute on functions from public;
alter default privileges for role mana_owner grant select on tables to mana_readonly;

grant usage on schema credits to mana_service, mana_ops, mana_readonly;
grant usage on schema ops to mana_service, mana_ops, mana_readonly;

-- The vocabulary. Domains rather than checks on each table: one rule in one place, and far cheaper on the hot
-- tables, whose check constraints Postgres parses anew for every statement.
create domain credits.user_id as text check (char_length(value) between 1 and 128);
create domain credits.app_id as text check (char_length(value) between 1 and 64);
create domain credits.description as text check (char_length(value) between 1 and 500);
create domain credits.idempotency_key as text check (char_length(value) between 1 and 255);
create domain credits.metadata as jsonb check (jsonb_typeof(value) = 'object');
create domain credits.system_account as text check (value ~ '^[a-z]+(:.{1,64})?$');
create domain credits.seq as bigint check (value >= 1);
create domain credits.digest as bytea check (octet_length(value) = 32);
-- At most 2^53 - 1: every number of credits is also a JSON number.
create domain credits.total as bigint check (value between 0 and 9007199254740991);

comment on domain credits.user_id is 'The auth service''s subject: 1 to 128 characters, no foreign key.';
comment on domain credits.app_id is 'The app that charges: 1 to 64 characters.';
comment on domain credits.system_account is 'The house''s side of a transfer: stripe, revenue:<app>, gifts, promotions, adjustments.';
comment on domain credits.digest is 'A sha256.';
comment on domain credits.total is 'Credits that can''t be negative.';

create type credits.transaction_type as enum (
  'purchase', 'usage', 'refund', 'gift', 'grant', 'clawback', 'expiry', 'adjustment'
);

create table credits.balances (
  user_id credits.user_id primary key,
  balance credits.total not null default 0,
  held credits.total not null default 0,
  debt credits.total not null default 0,
  total_earned credits.total not null default 0,
  total_spent credits.total not null default 0,
  version bigint not null default 0,
  head bytea not null default '\x',
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint balances_held_check check (balance >= held),
  constraint balances_totals_check check (balance = total_earned - total_spent)
) with (fillfactor = 70); -- room on the page for the next version of a row: every change of a balance is a HOT update

comment on table credits.balances is 'One row a user: what the ledger adds up to. Written only by credits.post and the functions that hold.';
comment on column credits.balances.balance is 'Credits, the sum of the user''s ledger. What can be spent is balance - held.';
comment on column credits.balances.held is 'Credits held by open reservations.';
comment on column credits.balances.debt is 'Credits lost beyond the balance (a card payment clawed back after spending); later credits pay it first.';
comment on column credits.balances.total_earned is 'Sum of all ledger rows that came in, refunds and returned gifts included.';
comment on column credits.balances.total_spent is 'Sum of all ledger rows that went out, as a positive number.';
comment on column credits.balances.version is 'seq of the user''s last ledger row.';
comment on column credits.balances.head is 'hash of the user''s last ledger row; empty before the first.';

create table credits.transactions (
  user_id credits.user_id not null,
  seq credits.seq not null,
  id uuid not null default uuidv7(),
  type credits.transaction_type not null,
  amount bigint not null,
  balance_before credits.total not null,
  balance_after credits.total not null,
  counter_account credits.system_account not null,
  app_id credits.app_id,
  description credits.description not null,
  metadata credits.metadata,
  idempotency_key credits.idempotency_key,
  related_transaction_id uuid,
  caller text not null,
  created_at timestamptz not null,
  hash credits.digest not null,
  -- No foreign key to balances: credits.post is the only writer, holds the balance's lock and updates it in
  -- the same breath; ops.verify() proves it. The key check would cost every debit.
  constraint transactions_pkey primary key (user_id, seq),
  constraint transactions_user_id_id_key unique (user_id, id),
  constraint transactions_balance_check check (balance_after = balance_before + amount),
  constraint transactions_amount_check check (
    case
      when amount < 0 then type in ('usage', 'clawback', 'expiry', 'gift', 'adjustment')
      else amount > 0 and type in ('purchase', 'refund', 'grant', 'gift', 'adjustment')
    end
  )
);

create index transactions_related_transaction_id_idx
  on credits.transactions (user_id, related_transaction_id)
  where related_transaction_id is not null;

comment on table credits.transactions is 'The ledger. One row is one transfer between a user and a named system account; append-only.';
comment on column credits.transactions.seq is 'The user''s own running number, 1, 2, 3 … without gaps.';
comment on column credits.transactions.amount is 'Credits; negative for what leaves the user.';
comment on column credits.transactions.counter_account is 'The system account on the other side: stripe, revenue:<app>, gifts, promotions, adjustments.';
comment on column credits.transactions.caller is 'Who asked: user, service:<app>, or the database role of a person in psql; sync:<who> for a sync period.';
comment on column credits.transactions.hash is 'sha256 over this row and the user''s previous row''s hash: see credits.transaction_hash.';

create function credits.refuse_ledger_change() returns trigger
language plpgsql volatile set search_path = pg_catalog, pg_temp
as $$
begin
  -- The break-glass, for a court order or a repair nobody foresaw: the owner, in one transaction, having said why.
  if coalesce(current_setting('mana.break_glass', true), '') <> ''
     and pg_has_role(current_user, 'mana_owner', 'member') then
    raise warning 'ledger changed by % (%): %', session_user, tg_op, current_setting('mana.break_glass');
    if tg_level = 'STATEMENT' then
      return null;
    end if;
    return case tg_op when 'DELETE' then old else new end;
  end if;
  raise exception using
    errcode = 'CR009',
    message = format('%I.%I is append-only: %s refused', tg_table_schema, tg_table_name, lower(tg_op)),
    hint = 'Correct a mistake with a new row: ops.adjust().';
end
$$;

comment on function credits.refuse_ledger_change() is 'Trigger: refuses UPDATE, DELETE and TRUNCATE (CR009). Break-glass: the owner, with set local mana.break_glass = ''why''.';

create trigger transactions_append_only
  before update or delete on credits.transactions
  for each row execute function credits.refuse_ledger_change();
create trigger transactions_no_truncate
  before truncate on credits.transactions
  for each statement execute function credits.refuse_ledger_change();

-- Service keys: an app's own, with what it may do and what it may spend a day.
create type credits.service_scope as enum ('read', 'use', 'reserve', 'refund', 'grant', 'init', 'gifts', 'sync');
comment on type credits.service_scope is 'What a service key is good for; the contract says where.';

create table credits.service_keys (
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

create table credits.service_key_days (
  key_id uuid not null,
  day date not null,
  spent credits.total not null,
  constraint service_key_days_pkey primary key (key_id, day),
  constraint service_key_days_key_id_fkey foreign key (key_id) references credits.service_keys (id)
) with (fillfactor = 50); -- every debit through the key changes the row: room for HOT updates

comment on table credits.service_key_days is 'What went through keys with a cap, a UTC day: debits, and what that day''s holds came to. Keys without a cap have no row.';
comment on column credits.service_key_days.key_id is 'first_id of the keys that share the cap.';
comment on column credits.service_key_days.spent is 'Credits: debits of the day, open holds made that day, and what committed ones of that day charged.';

-- How much of a cap is used, while its row is locked.
create type credits.cap_count as (
  first_id uuid, key_ids uuid[], day date, cap bigint, spent bigint, resets_in_seconds bigint
);

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

-- Holds, usage, keys that make a call happen once, events, the price list.
create table credits.reservations (
  user_id credits.user_id not null references credits.balances (user_id),
  id uuid not null default uuidv7(),
  status text not null default 'open',
  amount bigint not null,
  reason text not null,
  app_id credits.app_id,
  caller text not null,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  closed_at timestamptz,
  committed_amount bigint,
  transaction_id uuid,
  answer jsonb,
  service_key_id uuid,
  constraint reservations_pkey primary key (user_id, id),
  constraint reservations_id_key unique (id), -- a caller commits by reservation id alone
  constraint reservations_transaction_id_fkey foreign key (user_id, transaction_id)
    references credits.transactions (user_id, id),
  constraint reservations_service_key_id_fkey foreign key (service_key_id) references credits.service_keys (id),
  constraint reservations_status_check check (status in ('open', 'committed', 'released', 'expired')),
  constraint reservations_amount_check check (amount between 1 and 1000000000),
  constraint reservations_reason_check check (char_length(reason) between 1 and 200),
  constraint reservations_expires_at_check check (expires_at > created_at),
  constraint reservations_closed_check check ((status = 'open') = (closed_at is null)),
  constraint reservations_answer_check check ((status in ('committed', 'released')) = (answer is not null)),
  constraint reservations_committed_check check (
    (status = 'committed') = (committed_amount is not null)
    and (status = 'committed') = (transaction_id is not null)
    and committed_amount between 1 and amount
  )
);

create index reservations_open_expires_at_idx on credits.reservations (expires_at) where status = 'open';
create index reservations_open_user_id_idx on credits.reservations (user_id) where status = 'open';

comment on table credits.reservations is 'Holds: credits set aside for a call that costs money, then captured (committed), released or expired.';
comment on column credits.reservations.answer is 'The answer of the call that closed it; a repeated call gets it again.';
comment on column credits.reservations.service_key_id is 'The key with a cap that the hold was made through; null for all others.';

create table credits.grants (
  user_id credits.user_id not null references credits.balances (user_id),
  reference_id text not null,
  reason text not null,
  transaction_id uuid not null,
  created_at timestamptz not null,
  constraint grants_pkey primary key (user_id, reference_id),
  constraint grants_transaction_id_fkey foreign key (user_id, transaction_id)
    references credits.transactions (user_id, id),
  constraint grants_reference_id_check check (char_length(reference_id) between 1 and 128),
  constraint grants_reason_check check (char_length(reason) between 1 and 64)
);

comment on table credits.grants is 'What makes a grant happen once: one row a user and reference.';

create table credits.usage_stats (
  user_id credits.user_id not null,
  day date not null,
  app_id credits.app_id not null,
  credits_used credits.total not null,
  count credits.total not null,
  constraint usage_stats_pkey primary key (user_id, day, app_id)
) with (fillfactor = 70);

comment on table credits.usage_stats is 'The ledger''s usage by user, UTC day and app; written with each usage row.';

create table credits.idempotency_keys (
  user_id credits.user_id not null,
  caller text not null,
  key credits.idempotency_key not null,
  request_hash credits.digest not null,
  answer jsonb not null,
  created_at timestamptz not null,
  constraint idempotency_keys_pkey primary key (user_id, caller, key)
);

comment on table credits.idempotency_keys is 'The first answer to every keyed call. Kept for good: an old key never charges twice.';

create table credits.events (
  id bigint generated always as identity,
  user_id credits.user_id not null,
  type text not null,
  data jsonb not null,
  created_at timestamptz not null,
  deliver_at timestamptz default now(),
  attempts integer not null default 0,
  due_since timestamptz,
  delivered_at timestamptz,
  parked_at timestamptz,
  last_error text,
  constraint events_pkey primary key (user_id, id),
  constraint events_type_check check (type ~ '^[a-z]+\.[a-z_]+$'),
  constraint events_data_check check (jsonb_typeof(data) = 'object'),
  constraint events_delivery_check check (num_nonnulls(deliver_at, delivered_at, parked_at) = 1),
  constraint events_attempts_check check (attempts >= 0)
);

create index events_deliver_at_idx on credits.events (deliver_at, id) where deliver_at is not null;
create index events_undelivered_idx on credits.events (user_id, id) where deliver_at is not null;
create index events_parked_at_idx on credits.events (parked_at, id) where parked_at is not null;

comment on table credits.events is 'The outbox: what happened, written in the transaction in which it happened.';
comment on column credits.events.id is 'Drawn under the user''s balance lock, so one user''s events are in order.';
comment on column credits.events.deliver_at is 'When to try the delivery (again); null once delivered or parked. Moved into the future while a worker is at it, and while an earlier event of the user is in the way.';
comment on column credits.events.attempts is 'Deliveries begun.';
comment on column credits.events.due_since is 'When it was first tried, or first stood behind an earlier one. Three days later we give up.';
comment on column credits.events.delivered_at is 'When the receiver took it. Delivered events are kept.';
comment on column credits.events.parked_at is 'When we gave up: see ops.parked_events() and ops.replay_event().';

create table credits.operations (
  operation text primary key,
  name text not null,
  description text not null,
  category text not null,
  app credits.app_id not null,
  credits bigint not null,
  unit text not null,
  sort_order integer not null,
  constraint operations_operation_check check (operation ~ '^[a-z][a-z0-9_]{0,63}$'),
  constraint operations_category_check check (category in ('ai', 'premium')),
  constraint operations_credits_check check (credits between 1 and 1000000)
);

comment on table credits.operations is 'The price list: credits per unit. Only what costs real money is in it.';

insert into credits.operations (sort_order, operation, app, category, credits, unit, name, description)
values
  (10, 'chat_gpt4', 'chat', 'ai', 5, 'message', 'AI chat, GPT-4', 'One answer by GPT-4'),
  (20, 'chat_claude', 'chat', 'ai', 5, 'message', 'AI chat, Claude', 'One answer by Claude'),
  (30, 'chat_gemini', 'chat', 'ai', 2, 'message', 'AI chat, Gemini', 'One answer by Gemini'),
  (40, 'chat_qwen', 'chat', 'ai', 2, 'message', 'AI chat, Qwen', 'One answer by Qwen'),
  (50, 'image_generation', 'picture', 'ai', 10, 'image', 'Image generation', 'One generated image'),
  (60, 'image_upscale', 'picture', 'ai', 5, 'image', 'Image upscale', 'One image, enlarged'),
  (70, 'research_quick', 'research', 'ai', 5, 'question', 'Quick research', 'A short answer with sources'),
  (80, 'research_deep', 'research', 'ai', 25, 'question', 'Deep research', 'A long report with sources'),
  (90, 'food_analysis', 'food', 'ai', 3, 'photo', 'Food analysis', 'What is on the plate, from a photo'),
  (100, 'plant_analysis', 'plants', 'ai', 2, 'photo', 'Plant analysis', 'Which plant it is and how it fares, from a photo'),
  (110, 'deck_generation', 'cards', 'ai', 20, 'deck', 'Deck', 'A deck of cards on a topic'),
  (120, 'card_generation', 'cards', 'ai', 2, 'card', 'Card', 'One card'),
  (130, 'guide_generation', 'guides', 'ai', 5, 'guide', 'Guide', 'A guide on a topic'),
  (140, 'explanation', 'cards', 'ai', 2, 'explanation', 'Explanation', 'Something explained'),
  (150, 'text_generation', 'text', 'ai', 2, 'text', 'Text', 'A text written or rewritten'),
  (160, 'scheduling', 'calendar', 'ai', 2, 'plan', 'Scheduling', 'A plan for the day or week'),
  (170, 'suggestions', 'todo', 'ai', 2, 'request', 'Suggestions', 'Suggestions for what to do next'),
  (180, 'enrichment', 'contacts', 'ai', 2, 'entry', 'Enrichment', 'Details added to an entry'),
  (190, 'pdf_export', 'export', 'premium', 1, 'document', 'PDF export', 'One document as PDF'),
  (200, 'bulk_import', 'import', 'premium', 1, '50 items', 'Bulk import', 'Up to 50 imported items'),
  (210, 'premium_theme', 'themes', 'premium', 3, 'theme', 'Premium theme', 'One theme'),
  (220, 'cloud_sync', 'sync', 'premium', 30, 'month', 'Cloud Sync', 'Sync between devices, a month');

-- What credits.post writes. A type, so that one call carries it whole.
create type credits.posting as (
  type credits.transaction_type,
  amount bigint,
  counter_account credits.system_account,
  app_id credits.app_id,
  description credits.description,
  metadata credits.metadata,
  idempotency_key credits.idempotency_key,
  related_transaction_id uuid,
  caller text,
  released bigint -- credits of a hold that this posting sets free at the same time
);

-- One debit as asked for: the same for a single call and for each item of many.
create type credits.use_request as (
  user_id text,
  amount bigint,
  app_id text,
  description text,
  idempotency_key text,
  metadata jsonb,
  operation text,
  quantity bigint,
  caller text
);

-- A debit that credits.use_many has allowed and will write together with others'.
create type credits.allowed_use as (
  place bigint,
  request credits.use_request,
  amount bigint,
  balance credits.balances
);

-- Gift codes: credits in escrow behind a code that somebody can give away.
create schema gifts;

comment on schema gifts is 'Gift codes: credits somebody gives away. Functions here answer with one JSON document.';

grant usage on schema gifts to mana_service, mana_ops, mana_readonly;

create table gifts.gift_codes (
  id uuid not null default uuidv7(),
  code text not null,
  creator_id credits.user_id not null,
  creator_name text,
  type text not null,
  status text not null default 'active',
  total_credits bigint not null,
  target_email text,
  message text,
  expires_at timestamptz not null,
  created_at timestamptz not null,
  closed_at timestamptz,
  escrow_transaction_id uuid not null,
  return_transaction_id uuid,
  constraint gift_codes_pkey primary key (id),
  constraint gift_codes_code_key unique (code),
  constraint gift_codes_escrow_transaction_id_key unique (creator_id, escrow_transaction_id),
  constraint gift_codes_return_transaction_id_key unique (creator_id, return_transaction_id),
  constraint gift_codes_escrow_transaction_id_fkey foreign key (creator_id, escrow_transaction_id)
    references credits.transactions (user_id, id),
  constraint gift_codes_return_transaction_id_fkey foreign key (creator_id, return_transaction_id)
    references credits.transactions (user_id, id),
  constraint gift_codes_code_check check (code ~ '^[0-9A-HJKMNP-TV-Z]{12}$'),
  constraint gift_codes_creator_name_check check (char_length(creator_name) between 1 and 100),
  constraint gift_codes_type_check check (type in ('simple', 'personalized')),
  constraint gift_codes_status_check check (status in ('active', 'redeemed', 'expired', 'cancelled')),
  constraint gift_codes_total_credits_check check (total_credits between 1 and 10000),
  constraint gift_codes_target_email_check check (
    (type = 'personalized') = (target_email is not null)
    and char_length(target_email) between 3 and 254
  ),
  constraint gift_codes_message_check check (char_length(message) between 1 and 500),
  constraint gift_codes_expires_at_check check (expires_at > created_at),
  constraint gift_codes_closed_check check ((status = 'active') = (closed_at is null)),
  constraint gift_codes_return_check check (
    (status in ('expired', 'cancelled')) = (return_transaction_id is not null)
  )
);

create index gift_codes_creator_id_idx on gifts.gift_codes (creator_id, id);
create index gift_codes_active_target_email_idx on gifts.gift_codes (target_email) where status = 'active';
create index gift_codes_active_expires_at_idx on gifts.gift_codes (expires_at) where status = 'active';

comment on table gifts.gift_codes is 'One row a gift. While it is active its credits are in escrow: the system account gifts. Readers name the columns they want, since the code isn''t theirs to see.';
comment on column gifts.gift_codes.code is 'Money while the gift is active: 12 symbols without dashes.';
comment on column gifts.gift_codes.creator_name is 'As the creator''s token had it; shown to whoever has the code.';
comment on column gifts.gift_codes.status is 'An active gift past expires_at is an expired one that isn''t swept yet.';
comment on column gifts.gift_codes.target_email is 'A personalized gift''s address, in lower case without blanks around it.';
comment on column gifts.gift_codes.escrow_transaction_id is 'The creator''s ledger row that paid for the gift.';
comment on column gifts.gift_codes.return_transaction_id is 'The creator''s ledger row that gave the credits back: expired and cancelled gifts have one.';

-- Who reads tables may not spend what is in them: every column but the code.
revoke select on gifts.gift_codes from mana_readonly;
grant select (
  id, creator_id, creator_name, type, status, total_credits, target_email, message, expires_at, created_at, closed_at,
  escrow_transaction_id, return_transaction_id
) on gifts.gift_codes to mana_readonly;

create table gifts.gift_redemptions (
  gift_id uuid not null,
  user_id credits.user_id not null,
  transaction_id uuid not null,
  source_app_id credits.app_id,
  redeemed_at timestamptz not null,
  constraint gift_redemptions_pkey primary key (gift_id), -- whatever a function does, a gift is paid out once
  constraint gift_redemptions_transaction_id_key unique (user_id, transaction_id),
  constraint gift_redemptions_gift_id_fkey foreign key (gift_id) references gifts.gift_codes (id),
  constraint gift_redemptions_transaction_id_fkey foreign key (user_id, transaction_id)
    references credits.transactions (user_id, id)
);

comment on table gifts.gift_redemptions is 'Who got a gift: one row for each that is redeemed.';
comment on column gifts.gift_redemptions.transaction_id is 'The redeemer''s ledger row that the gift came in with.';

-- Unlogged: a crash forgets a minute of misses, and counting one costs no disk write.
create unlogged table gifts.misses (
  guesser text not null,
  missed_at timestamptz[] not null,
  last_missed_at timestamptz not null,
  constraint misses_pkey primary key (guesser),
  constraint misses_missed_at_check check (cardinality(missed_at) between 1 and 30)
);

create index misses_last_missed_at_idx on gifts.misses (last_missed_at);

comment on table gifts.misses is 'Codes asked for that don''t exist, by who asked, for the last minute: what slows guessing down.';
comment on column gifts.misses.guesser is 'address <client address or IPv6 network>, or user <id>.';

-- Cloud Sync, paid in credits: subscriptions, their charges, and the delivery of events.
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

-- Purchases: what is for sale, who bought it, what Stripe said about the payment, and what is owed when a payment
-- was taken back after its credits were spent.
create schema stripe;
comment on schema stripe is 'What a payment provider''s calls and events do to the books. Functions here answer with one JSON document.';
grant usage on schema stripe to mana_service, mana_ops, mana_readonly;

create table credits.packages (
  id text primary key,
  name text not null,
  description text not null,
  credits bigint not null,
  price_euro_cents bigint not null,
  stripe_price_id text,
  active boolean not null default true,
  sort_order integer not null,
  metadata jsonb,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  constraint packages_id_check check (id ~ '^[a-z0-9][a-z0-9_-]{0,63}$'),
  constraint packages_name_check check (char_length(name) between 1 and 100),
  constraint packages_description_check check (char_length(description) between 1 and 500),
  constraint packages_credits_check check (credits between 1 and 1000000000),
  -- What Stripe charges in euro: at least 0.50, at most eight digits.
  constraint packages_price_euro_cents_check check (price_euro_cents between 50 and 99999999),
  constraint packages_stripe_price_id_check check (stripe_price_id ~ '^price_[A-Za-z0-9_]{1,100}$'),
  constraint packages_metadata_check check (jsonb_typeof(metadata) = 'object')
);

comment on table credits.packages is 'What can be bought: credits for a price. A purchase keeps its own copy of both.';
comment on column credits.packages.stripe_price_id is 'A price in Stripe of the same amount, for Checkout; without one the amount itself is sent.';

insert into credits.packages (sort_order, id, credits, price_euro_cents, name, description)
values
  (10, 'credits_100', 100, 100, '100 credits', 'To try it out'),
  (20, 'credits_500', 500, 500, '500 credits', 'For now and then'),
  (30, 'credits_1000', 1050, 1000, '1,050 credits', '1,000 credits and 50 on top'),
  (40, 'credits_2500', 2750, 2500, '2,750 credits', '2,500 credits and 250 on top');

create table credits.stripe_customers (
  user_id credits.user_id not null references credits.balances (user_id),
  livemode boolean not null,
  customer_id text,
  email text,
  created_at timestamptz not null,
  constraint stripe_customers_pkey primary key (user_id, livemode),
  constraint stripe_customers_customer_id_key unique (customer_id),
  constraint stripe_customers_customer_id_check check (customer_id ~ '^cus_[A-Za-z0-9_]{1,250}$'),
  constraint stripe_customers_email_check check (char_length(email) between 3 and 254),
  constraint stripe_customers_forgotten_check check (customer_id is null or email is null)
);

comment on table credits.stripe_customers is 'One Stripe customer a user, in Stripe''s test and live mode each.';
comment on column credits.stripe_customers.customer_id is 'Null until Stripe has answered.';
comment on column credits.stripe_customers.email is
  'What the customer is created with, so that every attempt sends the same under the same key; dropped once it is there.';

create table credits.purchases (
  user_id credits.user_id not null references credits.balances (user_id),
  id uuid not null default uuidv7(),
  package_id text not null references credits.packages (id),
  credits bigint not null,
  price_euro_cents bigint not null,
  stripe_price_id text,
  livemode boolean not null,
  success_url text,
  cancel_url text,
  caller text not null,
  payment_intent_id text,
  checkout_session_id text,
  checkout_url text,
  -- Facts, as Stripe reports them. They only grow, so the order in which they come doesn't matter.
  paid_at timestamptz,
  processing_at timestamptz,
  failed_at timestamptz,
  cancelled_at timestamptz,
  charge_refunded_euro_cents bigint not null default 0,
  refunded_euro_cents bigint not null default 0,
  disputed_euro_cents bigint not null default 0,
  dispute text,
  -- What follows from the facts.
  status text not null default 'pending',
  credits_kept bigint not null default 0,
  transaction_id uuid,
  completed_at timestamptz,
  checks integer not null default 0,
  next_check_at timestamptz,
  created_at timestamptz not null,
  updated_at timestamptz not null,
  constraint purchases_pkey primary key (user_id, id),
  constraint purchases_id_key unique (id), -- Stripe's metadata carries the purchase id alone
  constraint purchases_payment_intent_id_key unique (payment_intent_id),
  constraint purchases_checkout_session_id_key unique (checkout_session_id),
  constraint purchases_transaction_id_fkey foreign key (user_id, transaction_id)
    references credits.transactions (user_id, id),
  constraint purchases_credits_check check (credits between 1 and 1000000000),
  constraint purchases_price_euro_cents_check check (price_euro_cents between 1 and 99999999),
  constraint purchases_urls_check check ((success_url is null) = (cancel_url is null)),
  constraint purchases_checkout_check check (
    (checkout_session_id is null) = (checkout_url is null) and (checkout_url is null or success_url is not null)
  ),
  constraint purchases_amounts_check check (
    charge_refunded_euro_cents >= 0 and refunded_euro_cents >= 0 and disputed_euro_cents >= 0
  ),
  constraint purchases_dispute_check check (dispute in ('open', 'closed', 'lost', 'won')),
  constraint purchases_status_check check (status in ('pending', 'completed', 'failed', 'cancelled', 'refunded')),
  constraint purchases_credits_kept_check check (credits_kept between 0 and credits),
  constraint purchases_paid_check check (
    (paid_at is null) = (transaction_id is null)
    and (paid_at is null) = (completed_at is null)
    and (paid_at is null) = (status in ('pending', 'failed', 'cancelled'))
    and (paid_at is not null or credits_kept = 0)
  )
);
create index purchases_next_check_at_idx on credits.purchases (next_check_at) where next_check_at is not null;

comment on table credits.purchases is 'One row a purchase. Written under the user''s balance lock, but for when to ask Stripe again.';
comment on column credits.purchases.stripe_price_id is 'The package''s, as it was: every attempt to start the payment asks Stripe for the same.';
comment on column credits.purchases.paid_at is 'When Stripe says the money came in. Never goes away again.';
comment on column credits.purchases.processing_at is 'The last time the payment was under way (SEPA takes days).';
comment on column credits.purchases.failed_at is 'The last failed attempt. The person may try again, and a paid purchase stays paid.';
comment on column credits.purchases.cancelled_at is 'Cancelled, its checkout expired, or given up. A payment that comes in all the same counts.';
comment on column credits.purchases.charge_refunded_euro_cents is 'The most that charge.amount_refunded ever said, refunds that failed later included.';
comment on column credits.purchases.refunded_euro_cents is 'What refunds took back, failed ones left out.';
comment on column credits.purchases.disputed_euro_cents is 'What disputes took and didn''t give back.';
comment on column credits.purchases.dispute is 'open while one of its disputes is, else the best outcome of them.';
comment on column credits.purchases.credits_kept is
  'Credits that the money still with us pays for. The ledger''s rows about this purchase less its open debt add up to it.';
comment on column credits.purchases.transaction_id is 'The ledger row that credited it; later rows about it are related to that one.';
comment on column credits.purchases.next_check_at is 'When to ask Stripe about it if it hasn''t told us; null when there is nothing left to ask.';

create table credits.purchase_refunds (
  user_id credits.user_id not null,
  purchase_id uuid not null,
  id text not null,
  amount_euro_cents bigint not null,
  failed boolean not null,
  created_at timestamptz not null,
  constraint purchase_refunds_pkey primary key (user_id, purchase_id, id),
  constraint purchase_refunds_purchase_id_fkey foreign key (user_id, purchase_id)
    references credits.purchases (user_id, id),
  constraint purchase_refunds_amount_check check (amount_euro_cents > 0)
);
create index purchase_refunds_id_idx on credits.purchase_refunds (id);

comment on table credits.purchase_refunds is 'Stripe''s refunds of a purchase, as far as reported.';
comment on column credits.purchase_refunds.failed is 'Failed or cancelled, which is final: the money stayed with us after all.';

create table credits.purchase_disputes (
  user_id credits.user_id not null,
  purchase_id uuid not null,
  id text not null,
  amount_euro_cents bigint not null,
  withdrawn_euro_cents bigint not null,
  reinstated_euro_cents bigint not null,
  outcome text,
  created_at timestamptz not null,
  constraint purchase_disputes_pkey primary key (user_id, purchase_id, id),
  constraint purchase_disputes_purchase_id_fkey foreign key (user_id, purchase_id)
    references credits.purchases (user_id, id),
  constraint purchase_disputes_amounts_check check (
    amount_euro_cents >= 0 and withdrawn_euro_cents >= 0 and reinstated_euro_cents >= 0
  ),
  constraint purchase_disputes_outcome_check check (outcome in ('closed', 'lost', 'won'))
);
create index purchase_disputes_id_idx on credits.purchase_disputes (id);

comment on table credits.purchase_disputes is 'Chargebacks and inquiries about a purchase, as far as reported.';
comment on column credits.purchase_disputes.outcome is 'closed: ended without money moving (an inquiry). Null while it is open.';

create table credits.stripe_events (
  id text primary key,
  type text not null,
  created timestamptz not null,
  api_version text,
  livemode boolean not null,
  payload jsonb not null,
  payment_intent_id text,
  user_id credits.user_id,
  purchase_id uuid,
  outcome text not null default 'kept',
  reason text,
  detail text,
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  received_at timestamptz not null,
  closed_at timestamptz,
  constraint stripe_events_outcome_check check (outcome in ('kept', 'applied', 'ignored')),
  constraint stripe_events_reason_check check ((outcome = 'kept') = (reason is not null)),
  constraint stripe_events_closed_at_check check ((outcome = 'kept') = (closed_at is null)),
  constraint stripe_events_next_attempt_at_check check (outcome = 'kept' or next_attempt_at is null)
);
create index stripe_events_next_attempt_at_idx on credits.stripe_events (next_attempt_at)
  where next_attempt_at is not null;
create index stripe_events_kept_idx on credits.stripe_events (payment_intent_id) where outcome = 'kept';
create index stripe_events_payment_intent_id_idx on credits.stripe_events (payment_intent_id);
create index stripe_events_purchase_id_idx on credits.stripe_events (purchase_id);

comment on table credits.stripe_events is 'Every event Stripe reported, as it came. kept: not applied (yet), for a reason.';
comment on column credits.stripe_events.created is 'When Stripe made it, to the second.';
comment on column credits.stripe_events.next_attempt_at is 'When stripe.retry_events tries it again; null when it is done or given up.';

create table credits.stripe_watermarks (
  livemode boolean primary key,
  events_until timestamptz not null
);

comment on table credits.stripe_watermarks is 'Up to when Stripe''s own list of events was compared with ours.';

create table credits.debts (
  user_id credits.user_id not null,
  id uuid not null default uuidv7(),
  purchase_id uuid not null,
  kind text not null,
  amount bigint not null,
  transaction_id uuid,
  created_at timestamptz not null,
  constraint debts_pkey primary key (user_id, id),
  constraint debts_purchase_id_fkey foreign key (user_id, purchase_id) references credits.purchases (user_id, id),
  constraint debts_transaction_id_fkey foreign key (user_id, transaction_id)
    references credits.transactions (user_id, id),
  constraint debts_amount_check check (
    case kind
      when 'incurred' then amount > 0 and transaction_id is null
      when 'cancelled' then amount < 0 and transaction_id is null
      when 'paid' then amount < 0 and transaction_id is not null
      else false
    end
  )
);
create index debts_purchase_id_idx on credits.debts (user_id, purchase_id);
create trigger debts_append_only
  before update or delete on credits.debts
  for each row execute function credits.refuse_ledger_change();
create trigger debts_no_truncate
  before truncate on credits.debts
  for each statement execute function credits.refuse_ledger_change();

comment on table credits.debts is
  'What a payment taken back left owing: incurred, paid by later credits, or cancelled when the money came back. A user''s rows add up to balances.debt. Append-only.';
comment on column credits.debts.transaction_id is 'The clawback that paid it.';

create table credits.refund_requests (
  user_id credits.user_id not null,
  id uuid not null default uuidv7(),
  purchase_id uuid not null,
  amount_euro_cents bigint not null,
  who text not null,
  why text not null,
  status text not null default 'requested',
  refund_id text,
  error text,
  attempts integer not null default 0,
  next_attempt_at timestamptz,
  created_at timestamptz not null,
  closed_at timestamptz,
  constraint refund_requests_pkey primary key (user_id, id),
  constraint refund_requests_id_key unique (id),
  constraint refund_requests_purchase_id_fkey foreign key (user_id, purchase_id)
    references credits.purchases (user_id, id),
  constraint refund_requests_amount_check check (amount_euro_cents > 0),
  constraint refund_requests_status_check check (
    case status
      when 'requested' then refund_id is null and closed_at is null and next_attempt_at is not null
      when 'sent' then refund_id is not null and closed_at is not null and next_attempt_at is null
      when 'refused' then refund_id is null and closed_at is not null and next_attempt_at is null
      else false
    end
  )
);
create index refund_requests_next_attempt_at_idx on credits.refund_requests (next_attempt_at)
  where next_attempt_at is not null;

comment on table credits.refund_requests is 'Refunds that somebody asked for by hand (ops.refund_purchase), to be sent to Stripe by the worker.';

-- Seals: what history was at a time, kept so that a digest kept elsewhere can be checked later (ops.seal).
create table ops.seals (
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

create table ops.seal_heads (
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

create trigger seals_append_only
  before update or delete on ops.seals
  for each row execute function credits.refuse_ledger_change();
create trigger seals_no_truncate
  before truncate on ops.seals
  for each statement execute function credits.refuse_ledger_change();
create trigger seal_heads_append_only
  before update or delete on ops.seal_heads
  for each row execute function credits.refuse_ledger_change();
create trigger seal_heads_no_truncate
  before truncate on ops.seal_heads
  for each statement execute function credits.refuse_ledger_change();

-- Which functions the database has: written by `migrate`, read by `serve`.
create table ops.functions_applied (
  id bigint generated always as identity,
  checksum text not null,
  applied_at timestamptz not null default clock_timestamp(),
  constraint functions_applied_pkey primary key (id),
  constraint functions_applied_checksum_check check (checksum ~ '^[0-9a-f]{64}$')
);

comment on table ops.functions_applied is 'One row each time that functions other than the last ones were applied; the last row is what the database has.';
comment on column ops.functions_applied.checksum is 'sha256 over the files of sql/ that were applied.';

reset role;

--! Previous: -
--! Hash: sha1:bb7da7606dd030ad6e9296b07652db2fb9714545
--! Message: the books

-- The books: balances, the ledger, holds, usage, the price list, and the keys that make a call happen once.
set local role mana_owner;

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
comment on column credits.transactions.caller is 'Who asked: user, service:<app>, or the database role of a person in psql.';
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
  constraint reservations_pkey primary key (user_id, id),
  constraint reservations_id_key unique (id), -- a caller commits by reservation id alone
  constraint reservations_transaction_id_fkey foreign key (user_id, transaction_id)
    references credits.transactions (user_id, id),
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
  id bigint generated always as identity primary key,
  user_id credits.user_id not null,
  type text not null,
  data jsonb not null,
  created_at timestamptz not null,
  constraint events_type_check check (type ~ '^[a-z]+\.[a-z_]+$'),
  constraint events_data_check check (jsonb_typeof(data) = 'object')
);

create index events_user_id_idx on credits.events (user_id, id);

comment on table credits.events is 'The outbox: what happened, written in the transaction in which it happened.';
comment on column credits.events.id is 'Drawn under the user''s balance lock, so one user''s events are in order.';

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

grant select on all tables in schema credits to mana_readonly;

reset role;

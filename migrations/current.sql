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

--!include all.sql

reset role;

-- Functions live in sql/ and are edited there; the last line takes them along.
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

--!include all.sql

reset role;

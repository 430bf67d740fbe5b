--! Previous: sha1:bb7da7606dd030ad6e9296b07652db2fb9714545
--! Hash: sha1:16c2832c1e8a2d53c64857fb1566e0624a5d8308
--! Message: gift codes

-- Gift codes: credits in escrow behind a code that somebody can give away.
set local role mana_owner;

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

reset role;

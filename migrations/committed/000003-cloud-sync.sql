--! Previous: sha1:16c2832c1e8a2d53c64857fb1566e0624a5d8308
--! Hash: sha1:4f7f75c5a3f355459a0f7b42e7e8852d1fc42653
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

reset role;

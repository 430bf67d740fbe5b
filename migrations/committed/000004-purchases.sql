--! Previous: sha1:4f7f75c5a3f355459a0f7b42e7e8852d1fc42653
--! Hash: sha1:5da0eae44a5ee1cfabdbc6ca74b54fa52474c30d
--! Message: purchases

-- Purchases: what is for sale, who bought it, what Stripe said about the payment, and what is owed when a payment
-- was taken back after its credits were spent.
set local role mana_owner;

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

reset role;

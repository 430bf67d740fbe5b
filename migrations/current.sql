-- Functions live in sql/ and are edited there; the last line takes them along.
set local role mana_owner;

-- A debit that credits.use_many has allowed and will write together with others'.
create type credits.allowed_use as (
  place bigint,
  request credits.use_request,
  amount bigint,
  balance credits.balances
);

alter table credits.purchases add column if not exists stripe_price_id text;

comment on column credits.purchases.stripe_price_id is 'The package''s, as it was: every attempt to start the payment asks Stripe for the same.';

--!include all.sql

reset role;

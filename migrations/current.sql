-- Functions live in sql/ and are edited there; the last line takes them along.
set local role mana_owner;

-- A debit that credits.use_many has allowed and will write together with others'.
create type credits.allowed_use as (
  place bigint,
  request credits.use_request,
  amount bigint,
  balance credits.balances
);

-- Moved to schema credits.
drop function if exists sync.is_passing_trouble(text);

--!include all.sql

reset role;

-- Functions live in sql/ and are edited there; the last line takes them along.
set local role mana_owner;

--!include all.sql

reset role;

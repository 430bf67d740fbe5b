create or replace function stripe.api_version()
returns text
language sql
immutable
return '2026-10-28.endive';

comment on function stripe.api_version() is
  'The version of Stripe''s API whose objects the functions here read: the one that the stripe package in package.json is pinned to (a test compares them). The webhook endpoint has to have the same. Internal.';

create or replace function credits.is_passing_trouble(p_sqlstate text)
returns boolean
language sql
immutable
return p_sqlstate ~ '^(08|25|40|53|55|57|58)';

comment on function credits.is_passing_trouble(text) is
  'Whether an error is the server''s state (connection, read-only, conflict, resources, locks, shutdown, I/O) and not that of the row at hand: then the whole transaction ends, and the next try begins anew. Internal.';

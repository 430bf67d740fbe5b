create or replace function credits.iso8601(p_time timestamptz)
returns text
language sql
stable
parallel safe
return to_char(p_time at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"');

comment on function credits.iso8601(timestamptz) is
  'A time as the wire writes it: UTC, milliseconds, whatever the session''s time zone. Internal.';

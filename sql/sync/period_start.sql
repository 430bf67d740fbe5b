create or replace function sync.period_start(p_anchor timestamptz, p_months integer)
returns timestamptz
language sql
immutable
return (p_anchor at time zone 'UTC' + make_interval(months => p_months)) at time zone 'UTC';

comment on function sync.period_start(timestamptz, integer) is
  'The instant so many months after the anchor, by the UTC calendar whatever the session''s time zone: the anchor''s day and time, or the month''s last day where it has no such day (31 Jan, 28 Feb, 31 Mar). Every billing date is this of the anchor, never of another billing date. Internal.';

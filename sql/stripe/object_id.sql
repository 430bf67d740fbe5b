create or replace function stripe.object_id(p_reference jsonb)
returns text
language sql
immutable
return case jsonb_typeof(p_reference)
  when 'string' then p_reference #>> '{}'
  when 'object' then p_reference ->> 'id'
end;

comment on function stripe.object_id(jsonb) is
  'The id in a field of Stripe''s that holds an id or, expanded, the object itself; null without one. Internal.';

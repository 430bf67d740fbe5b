create or replace function credits.request_hash(p_request jsonb)
returns bytea
language sql
stable
return sha256(convert_to(p_request::text, 'UTF8'));

comment on function credits.request_hash(jsonb) is
  'What a key remembers of its request: sha256 over the call''s name and arguments. Internal.';

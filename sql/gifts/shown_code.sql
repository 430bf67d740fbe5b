create or replace function gifts.shown_code(p_code text)
returns text
language sql
immutable
return substr(p_code, 1, 4) || '-' || substr(p_code, 5, 4) || '-' || substr(p_code, 9, 4);

comment on function gifts.shown_code(text) is 'A stored code as people see it: ABCD-EFGH-JKMN. Internal.';

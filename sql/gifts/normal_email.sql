create or replace function gifts.normal_email(p_email text)
returns text
language sql
immutable
return nullif(lower(btrim(p_email, E' \t\r\n') collate pg_c_utf8), '');

comment on function gifts.normal_email(text) is
  'An e-mail address as it is stored and compared: lower case, no blanks around it; null when nothing is left. Internal.';

create or replace function gifts.normal_code(p_code text)
returns text
language sql
immutable
return (
  select n.code
  from (
    select translate(
      upper(regexp_replace(p_code, '[\s\u2010-\u2015\u2212-]', '', 'g') collate pg_c_utf8),
      'OILU',
      '011V'
    ) as code
  ) n
  where n.code ~ '^[0-9A-HJKMNP-TV-Z]{12}$'
);

comment on function gifts.normal_code(text) is
  'A code as it is stored, from how somebody typed it: any case, with or without dashes and blanks, O for 0, I or L for 1, U for V. Null when it can''t be one. Internal.';

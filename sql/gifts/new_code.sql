create or replace function gifts.new_code()
returns text
language sql
volatile
set search_path = pg_catalog, pg_temp
as $$
  -- A random UUID comes from the server's cryptographic source, but 6 of its 128 bits are fixed: the version in
  -- byte 6, the variant in byte 8. Twelve of the bytes that are random from end to end, the low five bits of each:
  -- 60 bits, and 32 symbols divide 256 evenly, so that each is as likely as any other.
  select string_agg(
    substr('0123456789ABCDEFGHJKMNPQRSTVWXYZ', 1 + (get_byte(v.random, i.byte) & 31), 1), '' order by i.byte
  )
  from
    (select uuid_send(gen_random_uuid()) as random) v,
    unnest(array[0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14]) i (byte);
$$;

comment on function gifts.new_code() is
  'A new gift code: 12 symbols, 60 random bits. Of the symbols people take for each other (0 O, 1 I L, V U) only the first is used; gifts.normal_code reads the others as it. Internal.';

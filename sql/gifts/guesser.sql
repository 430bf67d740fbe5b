create or replace function gifts.guesser(p_client inet)
returns text
language sql
immutable
return 'address ' || case
  when family(p_client) = 4 then host(p_client)
  -- An IPv4 client as a dual-stack socket names it, ::ffff:192.0.2.1: all of them are in one /64.
  when p_client << '::ffff:0:0/96' then replace(host(p_client), '::ffff:', '')
  -- Who has one IPv6 address has its /64.
  else text(network(set_masklen(p_client, 64)))
end;

comment on function gifts.guesser(inet) is
  'Whose misses a client address''s are: its own in IPv4, those of its /64 in IPv6. Null for no address. Internal.';

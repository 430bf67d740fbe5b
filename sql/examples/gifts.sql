select credits.grant('ada', 100, 'welcome', 'welcome-2026');

-- Ada gives 25 credits; whoever has the code may have them. Ben redeems it.
with made as materialized (
  select gifts.create('ada', 25, p_message => 'Happy birthday', p_creator_name => 'Ada') as gift
)
select gift, gifts.look_up(gift ->> 'code') as shown, gifts.redeem('ben', gift ->> 'code') as redeemed
from made;

-- A code that doesn't exist is an answer, not an error.
select gifts.look_up('0000-0000-0000');

-- For one address only: paid as soon as somebody has shown that it is theirs.
select gifts.create('ada', 10, p_target_email => 'cem@example.org', p_message => 'For you')
  - array['code', 'createdAt', 'expiresAt'] as gift;
select gifts.redeem_pending('cem', 'Cem@example.org');

-- Taken back before anybody had it.
select gifts.create('ada', 15) ->> 'status' as status;
select gifts.cancel('ada', (select id from gifts.gift_codes where creator_id = 'ada' and status = 'active'));

-- Or returned by itself after its time, by default 90 days; the worker looks every minute.
select gifts.create('ada', 5) ->> 'status' as status;
select gifts.expire(now() + interval '91 days');

select gifts.created_by('ada', p_limit => 1);
select gifts.received_by('ben');
select credits.balance('ada');

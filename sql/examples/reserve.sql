select credits.grant('ada', 100, 'welcome', 'welcome-2026');

-- Before a call whose price is known only afterwards: hold what it may cost, for an hour.
select credits.reserve('ada', 40, 'deep research', 3600, p_app_id => 'research');
select credits.balance('ada');

-- It cost 25: charge that, and the rest is free again. Made once more, the call answers the same.
select credits.commit((select id from credits.reservations where reason = 'deep research'), 25);
select credits.commit((select id from credits.reservations where reason = 'deep research'), 25);

-- A call that failed: nothing is charged.
select credits.reserve('ada', 40, 'a call that fails', 3600);
select credits.release((select id from credits.reservations where reason = 'a call that fails'));

-- What is closed one way can't be closed the other.
select credits.commit((select id from credits.reservations where reason = 'a call that fails'));

-- A caller that never came back: the worker does this every minute.
select credits.reserve('ada', 40, 'a caller that crashed', 60);
select credits.expire_reservations(now() + interval '1 minute');

select reason, status, amount, committed_amount from credits.reservations where user_id = 'ada' order by id;

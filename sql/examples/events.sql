-- Tell apps when a debit takes a balance below 20 credits.
select low_balance_threshold, changed_by, changed_why
from ops.set_low_balance_threshold(20, 'Ben', 'Asked for by chat');
select credits.grant('ada', 50, 'welcome', 'welcome-2026');
select credits.use('ada', 40, 'chat', 'A long answer') -> 'newBalance' as left;
select type, data from credits.events where user_id = 'ada';

-- Nobody is to be told of what is past: set aside; one of them is delivered after all.
select ops.park_events(now() + interval '1 second') as parked;
select user_id, type from ops.parked_events();
select e.type from ops.parked_events() p, ops.replay_event(p.user_id, p.id) e limit 1;

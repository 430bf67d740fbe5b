-- Gives credits for a reason, once for each reference: a second call changes nothing.
select credits.grant('ada', 50, 'signup', 'signup-bonus');
select credits.grant('ada', 50, 'signup', 'signup-bonus');
select credits.balance('ada');

-- What a user has: balance is what can be spent now. Somebody nobody has seen has zeros, and nothing is written.
select credits.balance('ada');

-- Opens an account with zeros. Rarely needed: what gives credits opens it too.
select credits.init('ada');

select credits.grant('ada', 100, 'welcome', 'welcome-2026', p_now => '2026-03-01 12:00Z');
select credits.use('ada', 30, 'chat', 'An answer', p_now => '2026-03-02 12:00Z');
select credits.balance('ada');

-- The balance at any time before: add up the ledger until then.
select credits.balance('ada', '2026-03-01 18:00Z');

-- The ledger, newest first, a page at a time; "next" goes into p_before for the following page.
select credits.history('ada', p_limit => 1);

-- The same from the table, for what the function doesn't filter by.
select seq, type, amount, balance_after, counter_account, description, created_at
from credits.transactions
where user_id = 'ada'
order by seq desc;

-- What was spent, by day and app, by day, or by app.
select credits.usage('ada');
select credits.usage('ada', p_group_by => 'app');

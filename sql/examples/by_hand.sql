-- Credits by hand. Who and why are kept in the ledger row.
select seq, type, amount, balance_after, counter_account, description, metadata, caller
from ops.grant('ada', 50, p_who => 'Ben', p_why => 'Outage of 1 March');

-- A correction, up or down.
select seq, type, amount, balance_after, counter_account, description, metadata, caller
from ops.adjust('ada', -20, p_who => 'Ben', p_why => 'Ticket 7: credited twice');

-- Without a name or a reason nothing happens.
select ops.adjust('ada', -20, p_who => '', p_why => 'a typo');

-- Never below what is there to spend.
select ops.adjust('ada', -31, p_who => 'Ben', p_why => 'Ticket 8');

-- The ledger only grows. Correct a mistake with a row of its own, as above.
update credits.transactions set amount = 1000 where user_id = 'ada';

select credits.grant('ada', 100, 'welcome', 'welcome-2026');
select credits.use('ada', 60, 'picture', 'Six pictures');

-- Two of the six failed: give back their part of the charge.
select credits.refund('ada', 20, 'Two pictures failed', p_transaction_id => (
  select id from credits.transactions where user_id = 'ada' and description = 'Six pictures'
));

-- Never more in all than the charge took.
select credits.refund('ada', 41, 'The rest was ugly', p_transaction_id => (
  select id from credits.transactions where user_id = 'ada' and description = 'Six pictures'
));

-- A refund of nothing in particular.
select credits.refund('ada', 5, 'Sorry for the outage');

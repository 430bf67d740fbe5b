select credits.grant('ada', 100, 'welcome', 'welcome-2026');

-- Takes 30 credits for the app chat.
select credits.use('ada', 30, 'chat', 'An answer by GPT-4');

-- With a key the same call charges once, however often it is made: the second answers as the first did, "replayed".
select credits.use('ada', 10, 'chat', 'Another answer', p_idempotency_key => 'request-7');
select credits.use('ada', 10, 'chat', 'Another answer', p_idempotency_key => 'request-7');

-- The key with another request is a mistake of the caller.
select credits.use('ada', 11, 'chat', 'Another answer', p_idempotency_key => 'request-7');

-- The price list knows what an operation costs; the amount is left out.
select credits.use('ada', null, 'picture', 'Two pictures', p_operation => 'image_generation', p_quantity => 2);

-- More than there is: nothing is taken.
select credits.use('ada', 1000, 'chat', 'A very long answer');
select credits.balance('ada');

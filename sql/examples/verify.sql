-- Checks every invariant of the books: no rows, so they are true. The worker asks every hour.
select * from ops.verify();

-- Who has most, and what it adds up to.
select credits.grant('ada', 50, 'welcome', 'welcome-2026');
select credits.use('ada', 20, 'chat', 'An answer');
select user_id, balance, held, total_earned, total_spent, version from credits.balances order by balance desc;

-- The house's side of the books: each row moves credits between a user and one of these.
select counter_account, -sum(amount) as balance from credits.transactions group by counter_account order by 1;

-- Which migrations this database has.
select name from ops.migrations() limit 1;

-- Which functions: a checksum over sql/ each time that others were applied.
select length(checksum) as digits from ops.functions_applied() limit 1;

-- Seals history: the digest, kept elsewhere, tells later whether anything up to here was rewritten. Nothing was.
select seal, users, ledger_rows from ops.seal();
select v.* from ops.seals s, ops.verify_seal(s.digest) v;

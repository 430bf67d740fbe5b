select credits.grant('ada', 100, 'welcome', 'welcome-2026', p_now => '2026-01-31 12:00Z');

-- 30 credits a month, the first at once. The next charge is on the last day of February, the one after on 31 March.
select sync.activate('ada', 'monthly', p_now => '2026-01-31 12:00Z');
select sync.status('ada');

-- Who is due by a time; then the worker's run, which charges each period once.
select user_id, credits, next_charge_at, available from ops.sync_due('2026-03-31 12:00Z');
select sync.charge_due('2026-03-31 12:00Z');
select credits, period_start, period_end from ops.sync_charges('ada');

-- Another interval, from the next charge on.
select sync.change_interval('ada', 'quarterly', p_now => '2026-04-01 12:00Z');

-- 10 credits are left, a quarter costs 90: paused, and nothing is charged.
select sync.charge_due('2026-04-30 12:00Z');
select user_id, credits, available, paused_at, auto_resume from ops.sync_paused();

-- With credits again, by hand: a new period from now.
select credits.grant('ada', 100, 'top up', 'top-up-1', p_now => '2026-05-02 12:00Z');
select status, next_charge_at from ops.resume_sync('ada', 'Ben', 'Asked by mail', '2026-05-02 12:00Z');
select status, paused_at, paused_by, paused_why from ops.pause_sync('ada', 'Ben', 'On holiday', '2026-05-03 12:00Z');

-- What can't be charged for another reason than credits: nothing here.
select * from ops.sync_errors();

-- As a gift: no charge until it is revoked, and what lay underneath stays as it is.
select sync.gift('ada', 'Ben', '2026-05-04 12:00Z') - 'charges' as gifted;
select sync.deactivate('ada', '2026-05-05 12:00Z');
select sync.revoke_gift('ada', 'Ben', '2026-05-06 12:00Z') ->> 'status' as status;

-- Ended: the time that is paid for is remembered.
select sync.deactivate('ada', '2026-05-07 12:00Z');
select jsonb_path_query_array(sync.details('ada'), '$.charges[0]') as last_charge;

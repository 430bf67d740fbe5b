-- `node src/main.ts keys create` makes a secret, shows it once, and calls this with its sha256: SQL never sees one.
select * from ops.create_service_key(
  'chat', '{use,reserve}', 'k7w2m9qd', sha256('mana_k7w2m9qd_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'), 'Ada',
  p_daily_cap => 5000, p_expires_at => '2036-01-01Z', p_now => '2026-11-20 12:00Z'
);

-- A new secret in its place; the old one is good for two more hours, and both use up one cap.
select * from ops.rotate_service_key(
  'k7w2m9qd', 'x3n8r5ta', sha256('mana_x3n8r5ta_BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB'), 'Ada', '2 hours',
  p_now => '2026-11-20 13:00Z'
);

-- It got into a log: every process refuses it within 30 seconds.
select * from ops.revoke_service_key('x3n8r5ta', 'Grace', p_now => '2026-11-20 14:00Z');
select * from ops.revoke_service_key('x3n8r5ta', 'Grace', p_now => '2026-11-20 14:01Z');

select prefix, app_id, scopes, status, daily_cap, spent_today, replaced_by, revoked_by, last_used_at
from ops.service_keys(p_now => '2026-11-20 16:00Z');

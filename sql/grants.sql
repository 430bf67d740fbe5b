-- Who may call what. Functions not named here are internal: the owner's functions call them, nobody else.
revoke execute on all functions in schema credits, gifts, sync, events, ops from public;

-- What the HTTP service and the worker call, and people in psql too.
grant execute on function
  credits.balance,
  credits.commit,
  credits.expire_reservations,
  credits.grant,
  credits.history,
  credits.init,
  credits.pricing,
  credits.refund,
  credits.release,
  credits.reserve,
  credits.usage,
  credits.use,
  credits.use_many,
  events.claim,
  events.delivered,
  events.failed,
  gifts.cancel,
  gifts.create,
  gifts.created_by,
  gifts.expire,
  gifts.look_up,
  gifts.received_by,
  gifts.redeem,
  gifts.redeem_pending,
  ops.migrations,
  ops.verify,
  sync.activate,
  sync.change_interval,
  sync.charge_due,
  sync.deactivate,
  sync.details,
  sync.gift,
  sync.revoke_gift,
  sync.status
to mana_service, mana_ops;

-- By hand, signed with who and why.
grant execute on function
  ops.adjust,
  ops.grant,
  ops.park_events,
  ops.pause_sync,
  ops.replay_event,
  ops.resume_sync,
  ops.set_low_balance_threshold
to mana_ops;

-- Reads only.
grant execute on function
  credits.balance,
  credits.history,
  credits.pricing,
  credits.usage,
  ops.migrations,
  ops.parked_events,
  ops.sync_charges,
  ops.sync_due,
  ops.sync_errors,
  ops.sync_paused,
  ops.verify,
  sync.details,
  sync.status
to mana_readonly;

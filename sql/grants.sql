-- Who may call what. Functions not named here are internal: the owner's functions call them, nobody else.
-- An earlier version's grants go first.
revoke execute on all routines in schema credits, gifts, sync, stripe, events, ops
from public, mana_service, mana_worker, mana_ops, mana_readonly;

-- What the HTTP service and the worker call, and people in psql too.
grant execute on function
  credits.balance,
  credits.commit,
  credits.expire_reservations,
  credits.grant,
  credits.history,
  credits.init,
  credits.packages,
  credits.pricing,
  credits.purchase,
  credits.purchases,
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
  ops.functions_applied,
  ops.kept_events,
  ops.migrations,
  ops.seal,
  ops.verify,
  ops.verify_seal,
  stripe.apply_event,
  stripe.attach_customer,
  stripe.attach_payment,
  stripe.begin_purchase,
  stripe.close_refund,
  stripe.due_purchases,
  stripe.due_refunds,
  stripe.events_until,
  stripe.forget_customer,
  stripe.give_up_purchase,
  stripe.retry_events,
  stripe.unseen_events,
  sync.activate,
  sync.change_interval,
  sync.charge_due,
  sync.deactivate,
  sync.details,
  sync.gift,
  sync.revoke_gift,
  sync.status
to mana_service, mana_ops;

-- Who a service is: of no use to people, who know keys by their prefix.
grant execute on function
  credits.service_key
to mana_service;

-- By hand, signed with who and why.
grant execute on function
  ops.add_package,
  ops.adjust,
  ops.change_package,
  ops.create_service_key,
  ops.grant,
  ops.park_events,
  ops.pause_sync,
  ops.payment,
  ops.refund_purchase,
  ops.replay_event,
  ops.resume_sync,
  ops.retire_package,
  ops.retry_event,
  ops.revoke_service_key,
  ops.rotate_service_key,
  ops.set_low_balance_threshold
to mana_ops;

-- Reads only.
grant execute on function
  credits.balance,
  credits.history,
  credits.packages,
  credits.pricing,
  credits.purchase,
  credits.purchases,
  credits.usage,
  ops.kept_events,
  ops.migrations,
  ops.parked_events,
  ops.payment,
  ops.service_keys,
  ops.sync_charges,
  ops.sync_due,
  ops.sync_errors,
  ops.sync_paused,
  ops.verify,
  ops.verify_seal,
  sync.details,
  sync.status
to mana_readonly;

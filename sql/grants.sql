-- Who may call what. Functions not named here are internal: the owner's functions call them, nobody else.
revoke execute on all functions in schema credits, gifts, stripe, ops from public;

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
  gifts.cancel,
  gifts.create,
  gifts.created_by,
  gifts.expire,
  gifts.look_up,
  gifts.received_by,
  gifts.redeem,
  gifts.redeem_pending,
  ops.kept_events,
  ops.migrations,
  ops.verify,
  stripe.apply_event,
  stripe.attach_customer,
  stripe.attach_payment,
  stripe.begin_purchase,
  stripe.close_refund,
  stripe.due_purchases,
  stripe.due_refunds,
  stripe.events_until,
  stripe.give_up_purchase,
  stripe.retry_events,
  stripe.unseen_events
to mana_service, mana_ops;

-- By hand, signed with who and why.
grant execute on function
  ops.add_package,
  ops.adjust,
  ops.change_package,
  ops.grant,
  ops.payment,
  ops.refund_purchase,
  ops.retire_package,
  ops.retry_event
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
  ops.payment,
  ops.verify
to mana_readonly;

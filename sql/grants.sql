-- Who may call what. Functions not named here are internal: the owner's functions call them, nobody else.
revoke execute on all functions in schema credits, gifts, ops from public;

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
  gifts.cancel,
  gifts.create,
  gifts.created_by,
  gifts.expire,
  gifts.look_up,
  gifts.received_by,
  gifts.redeem,
  gifts.redeem_pending,
  ops.migrations,
  ops.verify
to mana_service, mana_ops;

-- By hand, signed with who and why.
grant execute on function
  ops.adjust,
  ops.grant
to mana_ops;

-- Reads only.
grant execute on function
  credits.balance,
  credits.history,
  credits.pricing,
  credits.usage,
  ops.migrations,
  ops.verify
to mana_readonly;

create or replace function stripe.event_kind(p_type text)
returns text
language sql
immutable
return case
  when p_type in (
    'payment_intent.succeeded',
    'payment_intent.processing',
    'payment_intent.payment_failed',
    'payment_intent.canceled',
    'checkout.session.completed',
    'checkout.session.async_payment_succeeded',
    'checkout.session.async_payment_failed',
    'checkout.session.expired',
    'charge.refunded',
    'charge.refund.updated',
    'refund.created',
    'refund.updated',
    'refund.failed',
    'charge.dispute.created',
    'charge.dispute.updated',
    'charge.dispute.funds_withdrawn',
    'charge.dispute.funds_reinstated',
    'charge.dispute.closed'
  ) then 'applied'
  -- Steps on the way, told again by one of the above.
  when p_type in (
    'payment_intent.created',
    'payment_intent.requires_action',
    'payment_intent.amount_capturable_updated',
    'payment_intent.partially_funded',
    'charge.pending',
    'charge.succeeded',
    'charge.failed',
    'charge.updated',
    'charge.captured',
    'charge.expired'
  ) then 'ignored'
  when p_type ~ '^(payment_intent|checkout|charge|refund)\.' then 'unknown'
  else 'ignored' -- about something that isn't a payment
end;

comment on function stripe.event_kind(text) is
  'What to do with a type of event: applied, ignored (we know that it changes nothing for us), or unknown (about payments, but new to us). Internal.';

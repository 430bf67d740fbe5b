select id, credits, price_euro_cents from ops.add_package('example', 'Example', 'For this page', 500, 500);

-- What the service does when a user buys, before it asks Stripe for anything.
select stripe.begin_purchase('ada', 'example', false, p_now => '2026-03-01 12:00Z') ->> 'status' as status;
select stripe.attach_payment(
  (select id from credits.purchases where user_id = 'ada'), 'pi_example', p_now => '2026-03-01 12:00Z'
) ->> 'status' as status;

-- Stripe says that it is paid: the credits arrive, once.
select stripe.apply_event(jsonb_build_object(
  'id', 'evt_example', 'object', 'event', 'api_version', '2026-10-28.endive', 'created', 1772366400,
  'livemode', false, 'type', 'payment_intent.succeeded',
  'data', jsonb_build_object('object', jsonb_build_object(
    'id', 'pi_example', 'object', 'payment_intent', 'amount', 500, 'amount_received', 500, 'currency', 'eur',
    'status', 'succeeded', 'metadata', jsonb_build_object(
      'purchaseId', (select id from credits.purchases where user_id = 'ada'), 'userId', 'ada'
    )
  ))
), '2026-03-01 12:00Z') as answer;

select credits.purchases('ada');
select credits.purchase('ada', (select id from credits.purchases where user_id = 'ada'));

-- A goodwill refund of money: the worker asks Stripe, and the credits go once Stripe reports it.
select amount_euro_cents, status, who, why
from ops.refund_purchase((select id from credits.purchases where user_id = 'ada'), 'Ben', 'Ticket 9', 200);

-- Everything about a payment, by whatever id is at hand.
select what, summary from ops.payment('pi_example');

-- Events that couldn't be applied, and the way to try one again.
select * from ops.kept_events();
select type, outcome from ops.retry_event('evt_example');
select ops.retry_event('evt_unheard_of');

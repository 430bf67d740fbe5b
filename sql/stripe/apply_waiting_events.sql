create or replace function stripe.apply_waiting_events(p_payment_intent_id text, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_event credits.stripe_events;
begin
  for v_event in
    select *
    from credits.stripe_events e
    where e.payment_intent_id = p_payment_intent_id and e.outcome = 'kept' and e.reason = 'purchase_unknown'
    order by e.created, e.id
    limit 100 -- a payment has a dozen events; stripe.retry_events takes the rest
    -- One that somebody else has at hand finds the purchase by itself, or at the next retry.
    for no key update skip locked
  loop
    perform stripe.apply_stored_event(v_event, p_now);
  end loop;
end
$$;

comment on function stripe.apply_waiting_events(text, timestamptz) is
  'Applies the events that came before we knew whose PaymentIntent they are about. The caller holds the balance''s lock. Internal.';

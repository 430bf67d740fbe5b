create or replace function stripe.payment_intent_id(p_object jsonb)
returns text
language sql
immutable
return case
  when p_object ->> 'object' = 'payment_intent' then p_object ->> 'id'
  else stripe.object_id(p_object -> 'payment_intent')
end;

comment on function stripe.payment_intent_id(jsonb) is
  'The PaymentIntent that an object of Stripe''s is or is about; null when it names none. Internal.';

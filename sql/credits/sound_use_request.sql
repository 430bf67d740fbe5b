create or replace function credits.sound_use_request(p_item jsonb, p_caller text)
returns credits.use_request
language sql
stable
return case
  when jsonb_typeof(p_item -> 'userId') = 'string'
    and jsonb_typeof(p_item -> 'appId') = 'string'
    and jsonb_typeof(p_item -> 'description') = 'string'
    and jsonb_typeof(p_item -> 'amount') = 'number'
    and coalesce(jsonb_typeof(p_item -> 'idempotencyKey'), 'string') = 'string'
    and (p_caller is not null or jsonb_typeof(p_item -> 'caller') = 'string')
    and not p_item ?| array['metadata', 'operation', 'quantity', 'serviceKeyId']
    and char_length(p_item ->> 'userId') between 1 and 128
    and char_length(p_item ->> 'appId') between 1 and 64
    and char_length(p_item ->> 'description') between 1 and 500
    and char_length(coalesce(p_item ->> 'idempotencyKey', '-')) between 1 and 255
    and (p_item -> 'amount')::numeric between 1 and 1000000000
    and (p_item -> 'amount')::numeric % 1 = 0
  then row(
    p_item ->> 'userId',
    (p_item -> 'amount')::bigint,
    p_item ->> 'appId',
    p_item ->> 'description',
    p_item ->> 'idempotencyKey',
    null,
    null,
    null,
    coalesce(p_caller, p_item ->> 'caller')
  )::credits.use_request
end;

comment on function credits.sound_use_request(jsonb, text) is
  'One item of credits.use_many as a request if it is an ordinary one: an amount, no metadata, no cap, nothing wrong with it. Null for any other: credits.use_request_from_json reads those, and says what is wrong. Internal.';

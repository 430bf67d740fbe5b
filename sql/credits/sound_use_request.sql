create or replace function credits.sound_use_request(p_item jsonb, p_caller text)
returns credits.use_request
language sql
stable
return case
  when jsonb_typeof(p_item -> 'userId') = 'string'
    and jsonb_typeof(p_item -> 'appId') = 'string'
    and jsonb_typeof(p_item -> 'description') = 'string'
    and coalesce(jsonb_typeof(p_item -> 'idempotencyKey'), 'string') = 'string'
    and coalesce(jsonb_typeof(p_item -> 'metadata'), 'object') = 'object'
    and (p_caller is not null or jsonb_typeof(p_item -> 'caller') = 'string')
    and not p_item ? 'serviceKeyId'
    and char_length(p_item ->> 'userId') between 1 and 128
    and char_length(p_item ->> 'appId') between 1 and 64
    and char_length(p_item ->> 'description') between 1 and 500
    and char_length(coalesce(p_item ->> 'idempotencyKey', '-')) between 1 and 255
    and octet_length(coalesce(p_item ->> 'metadata', '{}')) <= 8192
    and case jsonb_typeof(p_item -> 'amount')
      when 'number' then
        not p_item ?| array['operation', 'quantity']
        and (p_item -> 'amount')::numeric between 1 and 1000000000
        and (p_item -> 'amount')::numeric % 1 = 0
      else
        coalesce(jsonb_typeof(p_item -> 'amount'), 'null') = 'null'
        and jsonb_typeof(p_item -> 'operation') = 'string'
        and coalesce(jsonb_typeof(p_item -> 'quantity'), 'number') = 'number'
        and coalesce((p_item -> 'quantity')::numeric, 1) between 1 and 1000000
        and coalesce((p_item -> 'quantity')::numeric, 1) % 1 = 0
    end
  then row(
    p_item ->> 'userId',
    (p_item -> 'amount')::bigint,
    p_item ->> 'appId',
    p_item ->> 'description',
    p_item ->> 'idempotencyKey',
    p_item -> 'metadata',
    p_item ->> 'operation',
    (p_item -> 'quantity')::bigint,
    coalesce(p_caller, p_item ->> 'caller')
  )::credits.use_request
end;

comment on function credits.sound_use_request(jsonb, text) is
  'One item of credits.use_many as a request if it is an ordinary one: no cap, and nothing wrong with it that shows without the price list. Null for any other: credits.use_request_from_json reads those, and says what is wrong. Internal.';

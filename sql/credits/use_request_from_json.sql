create or replace function credits.use_request_from_json(p_item jsonb, p_caller text)
returns credits.use_request
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request credits.use_request;
  v_path text;
begin
  if jsonb_typeof(p_item) <> 'object' then
    perform credits.invalid('', 'must be an object');
  end if;
  foreach v_path in array array['userId', 'appId', 'description', 'idempotencyKey', 'operation'] loop
    if jsonb_typeof(p_item -> v_path) not in ('string', 'null') then
      perform credits.invalid(v_path, 'must be text');
    end if;
  end loop;
  foreach v_path in array array['amount', 'quantity'] loop
    if jsonb_typeof(p_item -> v_path) = 'null' then
      continue;
    end if;
    -- Compared as numeric: 1e30 and 0.5 are refused here, not by a cast. What is too small or large is decide_use's.
    if jsonb_typeof(p_item -> v_path) <> 'number'
       or (p_item ->> v_path)::numeric not between -9007199254740991 and 9007199254740991
       or (p_item ->> v_path)::numeric % 1 <> 0 then
      perform credits.invalid(v_path, 'must be a whole number');
    end if;
  end loop;
  v_request.user_id := p_item ->> 'userId';
  v_request.amount := (p_item ->> 'amount')::numeric;
  v_request.app_id := p_item ->> 'appId';
  v_request.description := p_item ->> 'description';
  v_request.idempotency_key := p_item ->> 'idempotencyKey';
  v_request.metadata := nullif(p_item -> 'metadata', 'null');
  v_request.operation := p_item ->> 'operation';
  v_request.quantity := (p_item ->> 'quantity')::numeric;
  if p_caller is null and coalesce(jsonb_typeof(p_item -> 'caller'), 'null') <> 'string' then
    perform credits.invalid('caller', 'must be text');
  end if;
  v_request.caller := coalesce(p_caller, p_item ->> 'caller');
  return v_request;
end
$$;

comment on function credits.use_request_from_json(jsonb, text) is
  'One item of credits.use_many as a request; without p_caller the item names its own. CR001: a field of the wrong kind. Internal.';

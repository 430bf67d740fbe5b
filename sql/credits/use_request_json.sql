create or replace function credits.use_request_json(p_request credits.use_request)
returns jsonb
language sql
stable
return jsonb_build_array(
  'use',
  p_request.amount,
  p_request.app_id,
  p_request.description,
  p_request.metadata,
  p_request.operation,
  p_request.quantity
);

comment on function credits.use_request_json(credits.use_request) is
  'What makes two debits under one key the same request. Internal.';

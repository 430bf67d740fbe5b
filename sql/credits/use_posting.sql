create or replace function credits.use_posting(p_request credits.use_request, p_amount bigint)
returns credits.posting
language sql
stable
return row(
  'usage',
  -p_amount,
  'revenue:' || p_request.app_id,
  p_request.app_id,
  p_request.description,
  case
    when p_request.operation is null then p_request.metadata
    else coalesce(p_request.metadata, '{}')
      || jsonb_build_object('operation', p_request.operation, 'quantity', coalesce(p_request.quantity, 1))
  end,
  p_request.idempotency_key,
  null,
  p_request.caller,
  null
)::credits.posting;

comment on function credits.use_posting(credits.use_request, bigint) is
  'The ledger row of a debit. Internal.';

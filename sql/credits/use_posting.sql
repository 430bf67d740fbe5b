create or replace function credits.use_posting(p_request credits.use_request, p_amount bigint)
returns credits.posting
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
declare
  v_posting credits.posting;
begin
  v_posting.type := 'usage';
  v_posting.amount := -p_amount;
  v_posting.counter_account := 'revenue:' || p_request.app_id;
  v_posting.app_id := p_request.app_id;
  v_posting.description := p_request.description;
  v_posting.metadata := p_request.metadata;
  if p_request.operation is not null then
    v_posting.metadata := coalesce(p_request.metadata, '{}')
      || jsonb_build_object('operation', p_request.operation, 'quantity', coalesce(p_request.quantity, 1));
  end if;
  v_posting.idempotency_key := p_request.idempotency_key;
  v_posting.caller := p_request.caller;
  return v_posting;
end
$$;

comment on function credits.use_posting(credits.use_request, bigint) is
  'The ledger row of a debit. Internal.';

create or replace function stripe.close_refund(
  p_request_id uuid, p_refund_id text default null, p_error text default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request credits.refund_requests;
begin
  if (p_refund_id is null) = (p_error is null) then
    perform credits.invalid('refundId', 'or error must be given');
  end if;
  update credits.refund_requests r
  set
    status = case when p_refund_id is null then 'refused' else 'sent' end,
    refund_id = p_refund_id,
    error = p_error,
    next_attempt_at = null,
    closed_at = p_now
  where r.id = p_request_id and r.status = 'requested';
  select * into v_request from credits.refund_requests r where r.id = p_request_id;
  return jsonb_build_object('requestId', v_request.id, 'status', v_request.status, 'refundId', v_request.refund_id);
end
$$;

comment on function stripe.close_refund(uuid, text, text, timestamptz) is
  'Keeps what Stripe answered to a refund asked for by hand: its refund id, or why it was refused. The credits follow from the refund''s events. Answers { requestId, status, refundId }; a closed one stays as it is. CR001 invalid argument. For mana_service and mana_ops.';

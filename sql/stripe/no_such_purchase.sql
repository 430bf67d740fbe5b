create or replace function stripe.no_such_purchase(p_purchase_id uuid)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  raise exception using
    errcode = 'CR303', message = 'There is no such purchase.',
    detail = jsonb_build_object('purchaseId', p_purchase_id);
end
$$;

comment on function stripe.no_such_purchase(uuid) is 'Raises CR303. Internal.';

create or replace function credits.purchase(p_user_id text, p_purchase_id uuid)
returns jsonb
language plpgsql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_purchase credits.purchases;
begin
  perform credits.check_text('userId', p_user_id, 128);
  select * into v_purchase
  from credits.purchases p
  where p.user_id = p_user_id and p.id = p_purchase_id;
  if not found then
    perform stripe.no_such_purchase(p_purchase_id);
  end if;
  return credits.purchase_json(v_purchase);
end
$$;

comment on function credits.purchase(text, uuid) is
  'One purchase of a user: { id, packageId, credits, priceEuroCents, status, createdAt, completedAt, refundedEuroCents, disputedEuroCents, dispute, creditsKept }; status pending, completed, failed, cancelled or refunded. CR303 no such purchase of this user. For mana_service, mana_ops and mana_readonly.';

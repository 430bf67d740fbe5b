create or replace function credits.purchase_json(p_purchase credits.purchases)
returns jsonb
language sql
immutable
return jsonb_build_object(
  'id', p_purchase.id,
  'packageId', p_purchase.package_id,
  'credits', p_purchase.credits,
  'priceEuroCents', p_purchase.price_euro_cents,
  'status', p_purchase.status,
  'createdAt', credits.iso8601(p_purchase.created_at),
  'completedAt', credits.iso8601(p_purchase.completed_at),
  'refundedEuroCents', p_purchase.refunded_euro_cents,
  'disputedEuroCents', p_purchase.disputed_euro_cents,
  'dispute', p_purchase.dispute,
  'creditsKept', p_purchase.credits_kept
);

comment on function credits.purchase_json(credits.purchases) is
  'A purchase as its buyer sees it. Internal.';

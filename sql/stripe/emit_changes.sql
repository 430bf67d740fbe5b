create or replace function stripe.emit_changes(
  p_before credits.purchases, p_after credits.purchases, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_data jsonb := jsonb_build_object(
    'purchaseId', p_after.id,
    'packageId', p_after.package_id,
    'status', p_after.status,
    'credits', p_after.credits,
    'creditsKept', p_after.credits_kept,
    'priceEuroCents', p_after.price_euro_cents,
    'refundedEuroCents', p_after.refunded_euro_cents,
    'disputedEuroCents', p_after.disputed_euro_cents,
    'dispute', p_after.dispute
  );
begin
  if p_before.paid_at is null and p_after.paid_at is not null then
    perform credits.emit(p_after.user_id, 'purchase.completed', v_data, p_now);
  end if;
  if p_before.status = 'pending' and p_after.status in ('failed', 'cancelled') then
    perform credits.emit(p_after.user_id, 'purchase.failed', v_data, p_now);
  end if;
  if p_before.refunded_euro_cents <> p_after.refunded_euro_cents then
    perform credits.emit(p_after.user_id, 'purchase.refunded', v_data, p_now);
  end if;
  if p_before.dispute is distinct from p_after.dispute
     or p_before.disputed_euro_cents <> p_after.disputed_euro_cents then
    perform credits.emit(p_after.user_id, 'purchase.disputed', v_data, p_now);
  end if;
end
$$;

comment on function stripe.emit_changes(credits.purchases, credits.purchases, timestamptz) is
  'Writes the events purchase.completed, failed, refunded and disputed for what changed of a purchase. Internal.';

create or replace function credits.refundable_charge(p_user_id text, p_transaction_id uuid, p_amount bigint)
returns credits.transactions
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_charge credits.transactions;
  v_refunded bigint;
begin
  select * into v_charge
  from credits.transactions t
  where t.user_id = p_user_id and t.id = p_transaction_id and t.type = 'usage';
  if not found then
    raise exception using
      errcode = 'CR004', message = 'There is no such charge in this account.',
      detail = jsonb_build_object('transactionId', p_transaction_id);
  end if;
  select coalesce(sum(t.amount), 0) into v_refunded
  from credits.transactions t
  where t.user_id = p_user_id and t.related_transaction_id = p_transaction_id and t.type = 'refund';
  if v_refunded + p_amount > -v_charge.amount then
    raise exception using
      errcode = 'CR005',
      message = format(
        'The charge took %s credits and %s were given back already: at most %s can be refunded.',
        -v_charge.amount, v_refunded, -v_charge.amount - v_refunded
      ),
      detail = jsonb_build_object(
        'charged', -v_charge.amount, 'refunded', v_refunded, 'refundable', -v_charge.amount - v_refunded
      );
  end if;
  return v_charge;
end
$$;

comment on function credits.refundable_charge(text, uuid, bigint) is
  'The charge that this many credits can still be refunded of. CR004 no such usage row of this user, CR005 too much. The caller holds the lock. Internal.';

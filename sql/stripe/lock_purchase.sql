create or replace function stripe.lock_purchase(p_purchase_id uuid)
returns credits.purchases
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text;
  v_purchase credits.purchases;
begin
  select p.user_id into v_user_id from credits.purchases p where p.id = p_purchase_id;
  if found then
    -- The balance's lock guards the user's purchases too: read the purchase once we have it.
    perform credits.lock_balance(v_user_id);
    select * into strict v_purchase
    from credits.purchases p
    where p.user_id = v_user_id and p.id = p_purchase_id;
  end if;
  return v_purchase;
end
$$;

comment on function stripe.lock_purchase(uuid) is
  'Locks the balance a purchase belongs to and returns the purchase as it stands under the lock; all null when there is none. Internal.';

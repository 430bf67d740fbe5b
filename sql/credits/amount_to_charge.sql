create or replace function credits.amount_to_charge(p_amount bigint, p_operation text, p_quantity bigint)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, pg_temp
as $$
begin
  if p_operation is null then
    if (p_amount between 1 and 1000000000) is not true then
      perform credits.check_amount('amount', p_amount);
    end if;
    return p_amount;
  end if;
  if p_amount is not null then
    perform credits.invalid('amount', 'must be left out when operation is given: the price list knows it');
  end if;
  return credits.price(p_operation, coalesce(p_quantity, 1));
end
$$;

comment on function credits.amount_to_charge(bigint, text, bigint) is
  'Credits to charge: the amount given, or the price of the operation in its place. CR001: both, neither or not on the list. Internal.';

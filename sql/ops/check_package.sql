create or replace function ops.check_package(p_package credits.packages)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
begin
  if coalesce(p_package.id !~ '^[a-z0-9][a-z0-9_-]{0,63}$', true) then
    perform credits.invalid('id', 'must be 1 to 64 characters a-z, 0-9, - and _');
  end if;
  perform credits.check_text('name', p_package.name, 100);
  perform credits.check_text('description', p_package.description, 500);
  perform credits.check_amount('credits', p_package.credits);
  if coalesce(p_package.price_euro_cents not between 50 and 99999999, true) then
    perform credits.invalid('priceEuroCents', 'must be 50 to 99999999 euro cents, which is what Stripe charges');
  end if;
  if p_package.stripe_price_id !~ '^price_[A-Za-z0-9_]{1,100}$' then
    perform credits.invalid('stripePriceId', 'must be the id of a price in Stripe, price_…');
  end if;
  perform credits.check_metadata(p_package.metadata);
end
$$;

comment on function ops.check_package(credits.packages) is 'Raises CR001 unless the package can be sold. Internal.';

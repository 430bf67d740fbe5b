create or replace function credits.packages()
returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'id', p.id,
        'name', p.name,
        'description', p.description,
        'credits', p.credits,
        'priceEuroCents', p.price_euro_cents,
        'stripePriceId', p.stripe_price_id,
        'active', p.active,
        'sortOrder', p.sort_order,
        'metadata', p.metadata
      )
      order by p.sort_order, p.id
    ),
    '[]'
  )
  from credits.packages p
  where p.active;
$$;

comment on function credits.packages() is
  'What can be bought now, in order: [{ id, name, description, credits, priceEuroCents, stripePriceId, active, sortOrder, metadata }]. For mana_service, mana_ops and mana_readonly.';

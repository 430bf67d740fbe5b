create or replace function credits.pricing()
returns jsonb
language sql
stable
security definer
set search_path = pg_catalog, pg_temp
as $$
  select coalesce(
    jsonb_agg(
      jsonb_build_object(
        'operation', o.operation,
        'name', o.name,
        'description', o.description,
        'category', o.category,
        'app', o.app,
        'credits', o.credits,
        'unit', o.unit
      )
      order by o.sort_order, o.operation
    ),
    '[]'
  )
  from credits.operations o;
$$;

comment on function credits.pricing() is
  'The price list, in order: [{ operation, name, description, category, app, credits, unit }], credits per unit. For mana_service, mana_ops and mana_readonly.';

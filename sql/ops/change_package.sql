create or replace function ops.change_package(
  p_id text,
  p_name text default null,
  p_description text default null,
  p_credits bigint default null,
  p_price_euro_cents bigint default null,
  p_sort_order integer default null,
  p_stripe_price_id text default null,
  p_metadata jsonb default null,
  p_active boolean default null,
  p_now timestamptz default now()
)
returns credits.packages
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_package credits.packages;
begin
  select * into v_package from credits.packages k where k.id = p_id for no key update;
  if not found then
    raise exception using
      errcode = 'CR301', message = 'There is no such package: ops.add_package makes one.',
      detail = jsonb_build_object('packageId', p_id);
  end if;
  v_package.name := coalesce(p_name, v_package.name);
  v_package.description := coalesce(p_description, v_package.description);
  v_package.credits := coalesce(p_credits, v_package.credits);
  v_package.price_euro_cents := coalesce(p_price_euro_cents, v_package.price_euro_cents);
  v_package.sort_order := coalesce(p_sort_order, v_package.sort_order);
  v_package.stripe_price_id := nullif(coalesce(p_stripe_price_id, v_package.stripe_price_id), '');
  v_package.metadata := coalesce(p_metadata, v_package.metadata);
  v_package.active := coalesce(p_active, v_package.active);
  v_package.updated_at := p_now;
  perform ops.check_package(v_package);
  update credits.packages k
  set
    name = v_package.name,
    description = v_package.description,
    credits = v_package.credits,
    price_euro_cents = v_package.price_euro_cents,
    sort_order = v_package.sort_order,
    stripe_price_id = v_package.stripe_price_id,
    metadata = v_package.metadata,
    active = v_package.active,
    updated_at = v_package.updated_at
  where k.id = p_id;
  return v_package;
end
$$;

comment on function ops.change_package(
  text, text, text, bigint, bigint, integer, text, jsonb, boolean, timestamptz
) is
  'Changes what is given of a package (an empty p_stripe_price_id removes it) and returns it. Purchases begun before keep their price and credits. CR001 invalid argument, CR301 no such package. For mana_ops.';

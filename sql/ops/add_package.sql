create or replace function ops.add_package(
  p_id text,
  p_name text,
  p_description text,
  p_credits bigint,
  p_price_euro_cents bigint,
  p_sort_order integer default null,
  p_stripe_price_id text default null,
  p_metadata jsonb default null,
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
  v_package.id := p_id;
  v_package.name := p_name;
  v_package.description := p_description;
  v_package.credits := p_credits;
  v_package.price_euro_cents := p_price_euro_cents;
  v_package.stripe_price_id := p_stripe_price_id;
  v_package.active := true;
  v_package.sort_order := coalesce(p_sort_order, (select coalesce(max(k.sort_order), 0) + 10 from credits.packages k));
  v_package.metadata := p_metadata;
  v_package.created_at := p_now;
  v_package.updated_at := p_now;
  perform ops.check_package(v_package);
  if exists (select from credits.packages k where k.id = p_id) then
    perform credits.invalid('id', 'is taken: ops.change_package changes a package');
  end if;
  insert into credits.packages values (v_package.*);
  return v_package;
end
$$;

comment on function ops.add_package(text, text, text, bigint, bigint, integer, text, jsonb, timestamptz) is
  'Puts a package on sale: credits for a price in euro cents (50 to 99,999,999), last in the list unless p_sort_order says where. Returns it. CR001 invalid argument. For mana_ops.';

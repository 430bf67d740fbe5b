create or replace function stripe.note_dispute(
  p_purchase credits.purchases, p_dispute jsonb, p_type text, p_now timestamptz
)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_amount bigint := (p_dispute ->> 'amount')::bigint;
  v_status text := p_dispute ->> 'status';
  v_withdrawn bigint := 0;
  v_reinstated bigint := 0;
begin
  -- Stripe's own account of it, where it is in euro: what went out and what came back.
  if jsonb_typeof(p_dispute -> 'balance_transactions') = 'array' then
    select
      coalesce(-sum(b.amount) filter (where b.amount < 0), 0),
      coalesce(sum(b.amount) filter (where b.amount > 0), 0)
    into v_withdrawn, v_reinstated
    from (
      select (t.value ->> 'amount')::bigint as amount
      from jsonb_array_elements(p_dispute -> 'balance_transactions') t
      where t.value ->> 'currency' = 'eur'
    ) b;
  end if;
  if v_withdrawn = 0 and (p_type = 'charge.dispute.funds_withdrawn' or v_status = 'lost') then
    v_withdrawn := v_amount;
  end if;
  -- Won means all of it, whether or not it is on the account yet.
  if v_status = 'won' or (v_reinstated = 0 and p_type = 'charge.dispute.funds_reinstated') then
    v_reinstated := greatest(v_reinstated, v_amount);
  end if;

  insert into credits.purchase_disputes as d (
    user_id, purchase_id, id, amount_euro_cents, withdrawn_euro_cents, reinstated_euro_cents, outcome, created_at
  )
  values (
    p_purchase.user_id,
    p_purchase.id,
    p_dispute ->> 'id',
    v_amount,
    v_withdrawn,
    v_reinstated,
    case
      when v_status in ('won', 'lost') then v_status
      when v_status in ('warning_closed', 'prevented') then 'closed'
    end,
    p_now
  )
  on conflict (user_id, purchase_id, id) do update
  set
    amount_euro_cents = greatest(d.amount_euro_cents, excluded.amount_euro_cents),
    withdrawn_euro_cents = greatest(d.withdrawn_euro_cents, excluded.withdrawn_euro_cents),
    reinstated_euro_cents = greatest(d.reinstated_euro_cents, excluded.reinstated_euro_cents),
    -- closed < lost < won in the alphabet too: a lost one may be won on appeal.
    outcome = greatest(d.outcome, excluded.outcome);
end
$$;

comment on function stripe.note_dispute(credits.purchases, jsonb, text, timestamptz) is
  'Writes down a dispute as Stripe describes it, on top of what is known of it: every amount only grows, so the order of the reports doesn''t matter. An inquiry (warning_…) moves no money. Internal.';

create or replace function credits.release(
  p_reservation_id uuid, p_only_of text default null, p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_reservation credits.reservations;
  v_answer jsonb;
begin
  v_reservation := credits.lock_reservation(p_reservation_id, p_only_of);
  if v_reservation.status = 'released' then
    return v_reservation.answer || jsonb_build_object('replayed', true);
  end if;
  if v_reservation.status <> 'open' then
    perform credits.check_reservation_open(v_reservation, p_now);
  end if;

  update credits.balances b
  set held = b.held - v_reservation.amount, updated_at = p_now
  where b.user_id = v_reservation.user_id;
  perform credits.settle(v_reservation.user_id, p_now);
  v_answer := jsonb_build_object('balance', credits.spendable(v_reservation.user_id));
  update credits.reservations r
  set status = 'released', closed_at = p_now, answer = v_answer
  where r.user_id = v_reservation.user_id and r.id = p_reservation_id;
  if v_reservation.service_key_id is not null then
    perform credits.free_caps(array[v_reservation]);
  end if;
  return v_answer;
end
$$;

comment on function credits.release(uuid, text, timestamptz) is
  'Sets a hold free, nothing charged, also when it is past its expiry but not swept yet. Answers { balance } in credits that can be spent; the same call again gets the same answer with replayed: true. Where p_only_of names a caller, another''s hold is none. CR006 no such reservation, CR007 committed or expired. For mana_service and mana_ops.';

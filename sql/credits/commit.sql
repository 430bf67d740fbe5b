create or replace function credits.commit(
  p_reservation_id uuid,
  p_amount bigint default null,
  p_description text default null,
  p_caller text default session_user,
  p_only_of text default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_balance credits.balances;
  v_reservation credits.reservations;
  v_amount bigint;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  if p_amount is not null then
    perform credits.check_amount('amount', p_amount);
  end if;
  if p_description is not null then
    perform credits.check_text('description', p_description, 500);
  end if;

  v_reservation := credits.lock_reservation(p_reservation_id, p_only_of);
  v_amount := coalesce(p_amount, v_reservation.amount);
  if v_amount > v_reservation.amount then
    perform credits.invalid('amount', format('must be at most the %s credits held', v_reservation.amount));
  end if;
  if v_reservation.status = 'committed' and v_reservation.committed_amount = v_amount then
    return v_reservation.answer || jsonb_build_object('replayed', true);
  end if;
  perform credits.check_reservation_open(v_reservation, p_now);

  v_balance := credits.lock_balance(v_reservation.user_id);
  v_posting.type := 'usage';
  v_posting.amount := -v_amount;
  v_posting.app_id := coalesce(v_reservation.app_id, 'unknown');
  v_posting.counter_account := 'revenue:' || v_posting.app_id;
  v_posting.description := coalesce(p_description, v_reservation.reason);
  v_posting.metadata := jsonb_build_object('reservationId', p_reservation_id);
  v_posting.caller := p_caller;
  v_posting.released := v_reservation.amount;
  v_transaction := credits.post(v_balance, v_posting, p_now);

  v_answer := jsonb_build_object(
    'transactionId', v_transaction.id,
    'balance', credits.spendable(v_reservation.user_id)
  );
  update credits.reservations r
  set
    status = 'committed',
    closed_at = p_now,
    committed_amount = v_amount,
    transaction_id = v_transaction.id,
    answer = v_answer
  where r.user_id = v_reservation.user_id and r.id = p_reservation_id;
  if v_reservation.service_key_id is not null then
    v_reservation.committed_amount := v_amount;
    perform credits.free_caps(array[v_reservation]);
  end if;
  return v_answer;
end
$$;

comment on function credits.commit(uuid, bigint, text, text, text, timestamptz) is
  'Captures a hold: charges all of it, or a smaller amount and sets the rest free. Answers { transactionId, balance }, balance in credits that can be spent; the same call again gets the same answer with replayed: true. Where p_only_of names a caller, another''s hold is none. CR001 invalid argument or more than held, CR006 no such reservation, CR007 closed otherwise or expired. For mana_service and mana_ops.';

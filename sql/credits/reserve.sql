create or replace function credits.reserve(
  p_user_id text,
  p_amount bigint,
  p_reason text,
  p_expires_in_seconds bigint default 86400,
  p_idempotency_key text default null,
  p_app_id text default null,
  p_operation text default null,
  p_quantity bigint default null,
  p_caller text default session_user,
  p_service_key_id uuid default null,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_request jsonb := jsonb_build_array(
    'reserve', p_amount, p_reason, p_expires_in_seconds, p_app_id, p_operation, p_quantity
  );
  v_balance credits.balances;
  v_amount bigint;
  v_reservation credits.reservations;
  v_answer jsonb;
begin
  perform credits.check_text('userId', p_user_id, 128);
  perform credits.check_text('reason', p_reason, 200);
  -- At most 30 days: a hold is for a call under way, not for keeping credits aside.
  if p_expires_in_seconds is null or p_expires_in_seconds not between 1 and 2592000 then
    perform credits.invalid('expiresInSeconds', 'must be a whole number from 1 to 2592000');
  end if;
  if p_app_id is not null then
    perform credits.check_text('appId', p_app_id, 64);
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;

  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    return v_answer;
  end if;
  v_amount := credits.amount_to_charge(p_amount, p_operation, p_quantity);
  perform credits.check_spendable(v_balance, v_amount);

  if p_service_key_id is not null then
    perform credits.spend_cap(p_service_key_id, v_amount, p_now);
  end if;

  update credits.balances b
  set held = b.held + v_amount, updated_at = p_now
  where b.user_id = p_user_id;
  insert into credits.reservations (user_id, amount, reason, app_id, caller, service_key_id, expires_at, created_at)
  values (
    p_user_id, v_amount, p_reason, p_app_id, p_caller, p_service_key_id,
    p_now + make_interval(secs => p_expires_in_seconds), p_now
  )
  returning * into v_reservation;

  v_answer := jsonb_build_object(
    'reservationId', v_reservation.id,
    'balance', v_balance.balance - v_balance.held - v_amount,
    'expiresAt', credits.iso8601(v_reservation.expires_at)
  );
  perform credits.remember_answer(p_user_id, p_caller, p_idempotency_key, v_request, v_answer, p_now);
  return v_answer;
end
$$;

comment on function credits.reserve(text, bigint, text, bigint, text, text, text, bigint, text, uuid, timestamptz) is
  'Holds credits for a call that will cost money: they can''t be spent elsewhere until credits.commit, credits.release or the expiry (1 second to 30 days). An operation stands in place of an amount as in credits.use. Answers { reservationId, balance, expiresAt }, balance in credits that can still be spent. CR001 invalid argument, CR002 not enough credits, CR003 key reused, CR403 beyond the daily cap of the service key it comes through. For mana_service and mana_ops.';

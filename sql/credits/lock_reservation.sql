create or replace function credits.lock_reservation(p_reservation_id uuid, p_only_of text)
returns credits.reservations
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_user_id text;
  v_reservation credits.reservations;
begin
  select r.user_id into v_user_id
  from credits.reservations r
  where r.id = p_reservation_id and (p_only_of is null or r.caller = p_only_of);
  if not found then
    raise exception using
      errcode = 'CR006', message = 'There is no such reservation.',
      detail = jsonb_build_object('reservationId', p_reservation_id);
  end if;
  -- The balance's lock guards the user's holds too: read the hold once we have it.
  perform credits.lock_balance(v_user_id);
  select * into strict v_reservation
  from credits.reservations r
  where r.user_id = v_user_id and r.id = p_reservation_id;
  return v_reservation;
end
$$;

comment on function credits.lock_reservation(uuid, text) is
  'Locks the balance a hold is on and returns the hold as it stands under the lock. Where p_only_of names a caller, another''s hold is none. CR006 no such reservation. Internal.';

create or replace function credits.check_reservation_open(p_reservation credits.reservations, p_now timestamptz)
returns void
language plpgsql
volatile
set search_path = pg_catalog, pg_temp
as $$
declare
  v_status text := case
    when p_reservation.status = 'open' and p_reservation.expires_at <= p_now then 'expired'
    else p_reservation.status
  end;
begin
  if v_status <> 'open' then
    raise exception using
      errcode = 'CR007',
      message = format('The reservation is %s already. Reserve anew if the call is still to be made.', v_status),
      detail = jsonb_build_object('reservationId', p_reservation.id, 'reservationStatus', v_status);
  end if;
end
$$;

comment on function credits.check_reservation_open(credits.reservations, timestamptz) is
  'Raises CR007 unless the hold is open and not past its expiry. Internal.';

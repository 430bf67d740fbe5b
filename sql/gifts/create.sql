create or replace function gifts.create(
  p_user_id text,
  p_total_credits bigint,
  p_type text default null,
  p_target_email text default null,
  p_message text default null,
  p_expiration_days integer default 90,
  p_creator_name text default null,
  p_idempotency_key text default null,
  p_caller text default session_user,
  p_now timestamptz default now()
)
returns jsonb
language plpgsql
volatile
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
  v_gift gifts.gift_codes;
  v_request jsonb;
  v_balance credits.balances;
  v_posting credits.posting;
  v_transaction credits.transactions;
  v_answer jsonb;
begin
  v_gift.target_email := gifts.normal_email(p_target_email);
  v_gift.message := nullif(btrim(p_message, E' \t\r\n'), '');
  -- On one line, and without the signs that turn the words around it: it stands in sentences of ours.
  v_gift.creator_name := regexp_replace(
    p_creator_name, '[\u0001-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]', ' ', 'g'
  );
  v_gift.creator_name := nullif(left(btrim(v_gift.creator_name), 100), '');
  -- Some sign-ins put the address where the name belongs: then the gift is from nobody in particular.
  if v_gift.creator_name ~ '\S@\S' then
    v_gift.creator_name := null;
  end if;
  -- Who names an address means that person, said or not.
  v_gift.type := coalesce(p_type, (case when v_gift.target_email is null then 'simple' else 'personalized' end));

  perform credits.check_text('userId', p_user_id, 128);
  if p_total_credits is null or p_total_credits not between 1 and 10000 then
    perform credits.invalid('totalCredits', 'must be a whole number from 1 to 10000');
  end if;
  if v_gift.type not in ('simple', 'personalized') then
    perform credits.invalid('type', 'must be simple or personalized');
  end if;
  if v_gift.type = 'simple' and v_gift.target_email is not null then
    perform credits.invalid('targetEmail', 'must be left out of a simple gift, which whoever has the code redeems');
  end if;
  if v_gift.type = 'personalized'
     and (v_gift.target_email is null
          or v_gift.target_email !~ '^[^\s@]+@[^\s@]+$' or char_length(v_gift.target_email) > 254) then
    perform credits.invalid('targetEmail', 'must be an e-mail address of at most 254 characters');
  end if;
  if v_gift.message is not null then
    perform credits.check_text('message', v_gift.message, 500);
  end if;
  if p_expiration_days is null or p_expiration_days not between 1 and 366 then
    perform credits.invalid('expirationDays', 'must be a whole number from 1 to 366');
  end if;
  if p_idempotency_key is not null then
    perform credits.check_text('idempotencyKey', p_idempotency_key, 255);
  end if;
  v_request := jsonb_build_array(
    'gifts.create', p_total_credits, v_gift.type, v_gift.target_email, v_gift.message, p_expiration_days
  );

  select * into v_balance from credits.balances b where b.user_id = p_user_id for no key update;
  v_answer := credits.remembered_answer(p_user_id, p_caller, p_idempotency_key, v_request);
  if v_answer is not null then
    -- The answer is kept without the code, which is money: tables that people read don't hold it.
    return v_answer || (
      select jsonb_build_object('code', gifts.shown_code(g.code))
      from gifts.gift_codes g
      where g.id = (v_answer ->> 'id')::uuid
    );
  end if;
  perform credits.check_spendable(v_balance, p_total_credits);

  v_gift.id := uuidv7();
  v_gift.creator_id := p_user_id;
  v_gift.status := 'active';
  v_gift.total_credits := p_total_credits;
  -- Days of 24 hours: a day's length isn't the session's time zone's to say. To the millisecond, as it is shown.
  v_gift.expires_at := date_trunc('milliseconds', p_now) + make_interval(hours => 24 * p_expiration_days);
  v_gift.created_at := p_now;
  v_posting.amount := -p_total_credits;
  v_posting.description := 'Gift';
  v_posting.idempotency_key := p_idempotency_key;
  v_posting.caller := p_caller;
  v_transaction := gifts.post(v_gift, p_user_id, v_posting, p_now);
  v_gift.escrow_transaction_id := v_transaction.id;

  -- 60 bits meet twice once in a billion codes; five in a row means that chance is broken.
  for v_attempt in 1..5 loop
    v_gift.code := gifts.new_code();
    insert into gifts.gift_codes values (v_gift.*) on conflict (code) do nothing;
    exit when found;
    if v_attempt = 5 then
      raise exception 'five new gift codes in a row were taken already';
    end if;
  end loop;
  perform credits.emit(
    p_user_id,
    'gift.created',
    jsonb_build_object(
      'giftId', v_gift.id,
      'type', v_gift.type,
      'credits', p_total_credits,
      'expiresAt', credits.iso8601(v_gift.expires_at),
      'transactionId', v_transaction.id
    ),
    p_now
  );

  v_answer := gifts.gift_json(v_gift, p_now) || jsonb_build_object('newBalance', credits.spendable(p_user_id));
  perform credits.remember_answer(
    p_user_id, p_caller, p_idempotency_key, v_request, v_answer - 'code', p_now
  );
  return v_answer;
end
$$;

comment on function gifts.create(text, bigint, text, text, text, integer, text, text, text, timestamptz) is
  'Takes 1 to 10,000 credits from a user into escrow and answers the gift with its new code: { id, code, type, status, totalCredits, redeemed, targetEmail, message, expiresAt, createdAt, closedAt, newBalance }, newBalance in credits that can still be spent; replayed: true when the key was seen before. p_type simple (whoever has the code) or personalized (only p_target_email), by default what the address suggests; p_expiration_days 1 to 366; p_creator_name is shown to the receiver, unless it is an e-mail address. CR001 invalid argument, CR002 not enough credits, CR003 key reused. For mana_service and mana_ops.';

/** Every kind of error that a connection of the pool can meet, and how to make it happen. */
import { Effect, Fiber } from "effect"

import { eventually } from "../../support/wait.ts"
import { connections, type House } from "./house.ts"
import { troubles } from "./trouble.ts"

export interface Kind {
  readonly name: string
  /** What whoever met it is told: see `outcomeOf`. */
  readonly expected: string
  /** The connections are other ones afterwards; else the same are met again. */
  readonly ends?: boolean
  readonly make: (house: House) => Promise<string>
}

/** A uuid that nothing has. */
const nobodysId = "00000000-0000-7000-8000-000000000000"

const debit = { amount: 1, appId: "pool", description: "one" }

const days = (count: number) => new Date(Date.now() + count * 86_400_000)
const buy = { packageId: "credits_1000", livemode: false }

/** A service key's id; 100 credits a day go through it. */
const newServiceKey = async (house: House): Promise<string> => {
  const { id } = await house.row(
    `select id from ops.create_service_key('pool', '{use}', lower(substr(md5(random()::text), 1, 8)),
       sha256(gen_random_uuid()::text::bytea), 'Ada', p_daily_cap => 100)`
  )
  return id
}

/** sql/errors.md, a refusal a row. */
const refusals: Readonly<Record<string, (house: House) => Promise<string>>> = {
  CR001: async (house) => house.refused("credits.use", { userId: await house.userWith(5), ...debit, amount: 0 }),
  CR002: async (house) => house.refused("credits.use", { userId: await house.userWith(5), ...debit, amount: 6 }),
  CR003: async (house) => {
    const request = { userId: await house.userWith(5), ...debit, idempotencyKey: "k" }
    await house.answered("credits.use", request)
    return house.refused("credits.use", { ...request, amount: 2 })
  },
  CR004: async (house) =>
    house.refused("credits.refund", {
      ...{ userId: await house.userWith(5), amount: 1, description: "Sorry", transactionId: nobodysId }
    }),
  CR005: async (house) => {
    const userId = await house.userWith(5)
    const { transaction } = await house.answered("credits.use", { userId, ...debit })
    return house.refused("credits.refund", {
      ...{ userId, amount: 2, description: "Sorry", transactionId: transaction.id }
    })
  },
  CR006: (house) => house.refused("credits.commit", { reservationId: nobodysId }),
  CR007: async (house) => {
    const hold = { userId: await house.userWith(5), amount: 5, reason: "a call" }
    const { reservationId } = await house.answered("credits.reserve", hold)
    await house.answered("credits.release", { reservationId })
    return house.refused("credits.commit", { reservationId })
  },
  CR009: (house) =>
    house
      .attempt(house.statement("update credits.transactions set amount = amount"), "owner")
      .then((outcome) => outcome.replace("failed ", "")),
  CR101: async (house) => {
    const userId = await house.userWith(500)
    await house.answered("sync.activate", { userId })
    return house.refused("sync.activate", { userId })
  },
  CR102: async (house) => house.refused("sync.deactivate", { userId: await house.userWith(5) }),
  CR103: async (house) => {
    const userId = await house.userWith(500)
    await house.answered("sync.gift", { userId, by: "Ada" })
    return house.refused("sync.activate", { userId })
  },
  CR104: async (house) => house.refused("sync.revoke_gift", { userId: await house.userWith(5), by: "Ada" }),
  CR105: async (house) => house.refused("ops.replay_event", { userId: await house.userWith(5), id: 1 }, "ops"),
  CR201: async (house) => house.refused("gifts.cancel", { userId: await house.userWith(5), giftId: nobodysId }),
  CR202: async (house) => {
    const { code } = await house.answered("gifts.create", { userId: await house.userWith(5), totalCredits: 5 })
    await house.answered("gifts.redeem", { userId: await house.userWith(0), code })
    return house.refused("gifts.redeem", { userId: await house.userWith(0), code })
  },
  CR203: async (house) => {
    const { code } = await house.answered("gifts.create", { userId: await house.userWith(5), totalCredits: 5 })
    return house.refused("gifts.redeem", { userId: await house.userWith(0), code, now: days(91) })
  },
  CR204: async (house) => {
    const gift = { userId: await house.userWith(5), totalCredits: 5, targetEmail: "ben@example.org" }
    const { code } = await house.answered("gifts.create", gift)
    return house.refused("gifts.redeem", { userId: await house.userWith(0), code, email: "eve@example.org" })
  },
  CR205: async (house) => {
    const guess = { userId: await house.userWith(0), code: "0000-0000-0000" }
    for (let miss = 0; miss < 10; miss++) await house.answered("gifts.redeem", guess)
    return house.refused("gifts.redeem", guess)
  },
  CR301: async (house) =>
    house.refused("stripe.begin_purchase", { userId: await house.userWith(0), ...buy, packageId: "nothing" }),
  CR302: async (house) => {
    const packageId = `retired-${crypto.randomUUID()}`
    await house.rows("select ops.add_package($1, 'Old', 'Old', 100, 100), ops.retire_package($1)", [packageId])
    return house.refused("stripe.begin_purchase", { userId: await house.userWith(0), ...buy, packageId })
  },
  CR303: (house) => house.refused("stripe.attach_payment", { purchaseId: nobodysId, paymentIntentId: "pi_1" }),
  CR304: async (house) => {
    const order = { userId: await house.userWith(0), ...buy, idempotencyKey: "k" }
    const { purchaseId } = await house.answered("stripe.begin_purchase", order)
    await house.answered("stripe.give_up_purchase", { purchaseId, now: days(2) })
    return house.refused("stripe.begin_purchase", order)
  },
  CR305: async (house) => {
    const { purchaseId } = await house.answered("stripe.begin_purchase", { userId: await house.userWith(0), ...buy })
    await house.answered("stripe.attach_payment", { purchaseId, paymentIntentId: `pi_${purchaseId}` })
    return house.refused("stripe.attach_payment", { purchaseId, paymentIntentId: "pi_another" })
  },
  CR306: async (house) => {
    const { purchaseId } = await house.answered("stripe.begin_purchase", { userId: await house.userWith(0), ...buy })
    return house.refused("ops.refund_purchase", { purchaseId, who: "Ada", why: "Too slow" }, "ops")
  },
  CR307: (house) => house.refused("ops.retry_event", { eventId: "evt_nothing" }, "ops"),
  CR308: async (house) => {
    const userId = await house.userWith(0)
    for (let begun = 0; begun < 50; begun++) await house.answered("stripe.begin_purchase", { userId, ...buy })
    return house.refused("stripe.begin_purchase", { userId, ...buy })
  },
  CR401: (house) => house.refused("ops.revoke_service_key", { key: "nothing", who: "Ada" }, "ops"),
  CR402: async (house) => {
    const key = await newServiceKey(house)
    await house.row("select ops.revoke_service_key($1, 'Ada')", [key])
    return house.refused("ops.revoke_service_key", { key, who: "Ada" }, "ops")
  },
  CR403: async (house) => {
    const serviceKeyId = await newServiceKey(house)
    return house.refused("credits.use", { userId: await house.userWith(500), ...debit, amount: 101, serviceKeyId })
  }
}

const troubleCodes: Readonly<Record<string, string>> = {
  unique: "23505",
  check: "23514",
  foreign_key: "23503",
  not_null: "23502",
  deferred: "23503",
  division: "22012",
  raised: "P0001",
  endless: "54001",
  too_long: "54000",
  settings: "P0001"
}

/** A debit that waits for a lock, and what befalls it then. */
const whileWaiting = async (house: House, befalls: (pid: number) => Promise<unknown>, key?: string) => {
  const userId = await house.userWith(5)
  return house.whileHeld(userId, async (holder) => {
    const waiting = house.refused("credits.use", { userId, ...debit, idempotencyKey: key }, "service", {
      keyed: key !== undefined
    })
    const [session] = (await house.waiting(1)).filter((each) => each.wait_event_type === "Lock")
    await befalls(session.pid)
    if (key !== undefined) await holder.query("rollback")
    return waiting
  })
}

/** Until the server's sessions are gone and the pool has been told: whoever asks sooner may still meet one. */
const gone = async (house: House) => {
  await eventually(house.sessions, (sessions) => sessions.length === 0)
  await eventually(
    async () => house.proxy.open(),
    (open) => open === 0
  )
  await new Promise((resolve) => setImmediate(resolve))
}

/** As `migrate` does with every function. */
const replaceUse = "do $$ begin execute pg_get_functiondef('credits.use'::regproc); end $$"

/** As `migrate` does when its arguments change: one more than before, or that one less. */
const remakeUse = `
  do $$
  declare
    v_definition text := pg_get_functiondef('credits.use'::regproc);
    v_more text := ', p_more text DEFAULT NULL::text)';
  begin
    drop function credits.use;
    execute case
      when v_definition like '%' || v_more || '%' then replace(v_definition, v_more, ')')
      else regexp_replace(v_definition, '\\)\\n RETURNS', v_more || e'\\n RETURNS')
    end;
    alter function credits.use owner to mana_owner;
    revoke execute on function credits.use from public;
    grant execute on function credits.use to mana_service, mana_ops;
  end
  $$`

const said = (counts: Readonly<Record<string, number>>) =>
  Object.entries(counts).map(([what, count]) => `${count} ${what}`)

const duringCalls = async (house: House, work: () => Promise<unknown>) => {
  const calls = house.debits(await house.userWith(1000), 60, 16)
  await work()
  return said(await calls).join(", ")
}

const ofPostgres: ReadonlyArray<Kind> = [
  ...troubles.map((name) => ({
    name: `${name} in a function`,
    expected: `died ${troubleCodes[name]}`,
    make: (house: House) => house.refused(`trouble.${name}`, {})
  })),
  {
    name: "no such function",
    expected: "died 42883",
    make: (house) => house.refused("credits.nothing", {})
  },
  {
    name: "no privilege",
    expected: "failed 42501",
    make: (house) => house.attempt(house.statement("select * from credits.balances"))
  },
  {
    name: "not SQL",
    expected: "failed 42601",
    make: (house) => house.attempt(house.statement("selec 1"))
  },
  {
    // The extended protocol takes one statement at a time: none of them runs.
    name: "several statements in one",
    expected: "failed 42601",
    make: (house) => house.attempt(house.statement("select 1; select * from nothing; select 2"))
  },
  {
    name: "a number out of range",
    expected: "died 22003",
    make: async (house) =>
      house.refused("credits.use", { userId: await house.userWith(5), ...debit, amount: "9223372036854775808" })
  },
  {
    name: "no number",
    expected: "died 22P02",
    make: async (house) => house.refused("credits.use", { userId: await house.userWith(5), ...debit, amount: "ten" })
  },
  {
    name: "no time",
    expected: "died 22007",
    make: async (house) => house.refused("credits.use", { userId: "x", ...debit, now: "yesterday noon" })
  },
  {
    name: "a time out of range",
    expected: "died 22008",
    make: async (house) => house.refused("credits.use", { userId: "x", ...debit, now: "300000-01-01" })
  },
  {
    name: "NUL in a text",
    expected: "died 22021",
    make: (house) => house.refused("credits.use", { userId: "a\u0000b", ...debit })
  },
  {
    name: "NUL in a document",
    expected: "died 22P05",
    make: async (house) =>
      house.refused("credits.use", { userId: await house.userWith(5), ...debit, metadata: { text: "a\u0000b" } })
  },
  {
    name: "half a character in a text",
    // What encodes it puts U+FFFD in its place.
    expected: "answered",
    make: async (house) =>
      house.refused("credits.use", { userId: await house.userWith(5), ...debit, description: "\ud83d" })
  },
  {
    name: "half a character in a document",
    expected: "died 22P02",
    make: async (house) =>
      house.refused("credits.use", { userId: await house.userWith(5), ...debit, metadata: { text: "\ud83d" } })
  },
  {
    name: "a text of 16 MB",
    expected: "CR001",
    make: async (house) =>
      house.refused("credits.use", { userId: await house.userWith(5), ...debit, description: "x".repeat(16_000_000) })
  },
  {
    name: "a document of 16 MB",
    expected: "CR001",
    make: async (house) =>
      house.refused("credits.use", {
        ...{ userId: await house.userWith(5), ...debit, metadata: { text: "x".repeat(16_000_000) } }
      })
  },
  {
    name: "a document 100,000 deep",
    expected: "died 54001",
    make: async (house) => {
      const metadata = "[".repeat(100_000) + "]".repeat(100_000)
      return house.refused("credits.use", { userId: await house.userWith(5), ...debit, metadata })
    }
  },
  {
    name: "could not serialize",
    expected: "failed 40001",
    make: async (house) => {
      const userId = await house.userWith(5)
      return house.attempt(
        house.together(
          house.statement("set transaction isolation level repeatable read"),
          house.ask("credits.balance", { userId }),
          Effect.promise(() => house.row("select credits.use($1, 1, 'pool', 'meanwhile')", [userId])),
          house.statement(`select credits.use('${userId}', 1, 'pool', 'too late')`)
        )
      )
    }
  },
  {
    name: "victim of a deadlock",
    expected: "failed 40P01",
    make: async (house) => {
      const [first, second] = [await house.userWith(5), await house.userWith(5)]
      return house.whileHeld(second, async (holder) => {
        // The one that looks first is the one that gives way.
        await holder.query("set local deadlock_timeout = '1min'")
        const victim = house.attempt(
          house.together(
            house.statement(`select credits.use('${first}', 1, 'pool', 'one')`),
            house.statement(`select credits.use('${second}', 1, 'pool', 'the other')`)
          )
        )
        await house.waiting(1)
        const crossing = holder.query("select from credits.balances where user_id = $1 for update", [first])
        const outcome = await victim
        await crossing
        return outcome
      })
    }
  },
  {
    name: "a statement after one that failed",
    expected: "failed 25P02",
    make: (house) =>
      house.attempt(house.together(Effect.ignore(house.statement("select 1 / 0")), house.statement("select 1")))
  },
  {
    name: "a write where one may only read",
    expected: "unavailable 25006",
    make: async (house) => {
      const debits = house.ask("credits.use", { userId: await house.userWith(5), ...debit })
      return house.attempt(house.together(house.statement("set transaction read only"), debits))
    }
  },
  {
    name: "a lock waited for too long",
    expected: "unavailable 55P03",
    make: async (house) => {
      const userId = await house.userWith(5)
      const items = [{ userId, ...debit, caller: "service:pool" }]
      return house.whileHeld(userId, () => house.refused("credits.use_many", { items, caller: null }))
    }
  },
  {
    name: "a statement that takes too long",
    expected: "unavailable 57014",
    make: (house) => whileWaiting(house, async () => undefined)
  },
  {
    name: "a statement cancelled",
    expected: "unavailable 57014",
    make: (house) => whileWaiting(house, (pid) => house.row("select pg_cancel_backend($1)", [pid]))
  },
  {
    // @effect/sql-pg reports that the connection closed, in place of the 57P01 that the server sent before it.
    name: "a session terminated at work",
    expected: "unavailable connection",
    ends: true,
    make: (house) => whileWaiting(house, (pid) => house.row("select pg_terminate_backend($1)", [pid]))
  },
  {
    name: "a session terminated at work, others queueing for its connection",
    expected: "unavailable connection, 40 answered",
    ends: true,
    make: async (house) => {
      const busy = await house.userWith(100)
      let behind: ReturnType<House["debits"]> | undefined
      const outcome = await whileWaiting(house, async (pid) => {
        // Both connections are taken: what is asked now goes on the first that comes free.
        const sleeping = house.attempt(house.statement("select pg_sleep(0.1)"))
        behind = house.debits(busy, 40, 40)
        await house.row("select pg_terminate_backend($1)", [pid])
        await sleeping
      })
      return [outcome, ...said((await behind) ?? {})].join(", ")
    }
  },
  {
    name: "a session terminated at work, the call with a key",
    expected: "answered",
    ends: true,
    make: (house) => whileWaiting(house, (pid) => house.row("select pg_terminate_backend($1)", [pid]), "again")
  },
  {
    name: "idle sessions terminated",
    expected: "answered",
    ends: true,
    make: async (house) => {
      for (const { pid } of await house.sessions()) await house.row("select pg_terminate_backend($1)", [pid])
      await gone(house)
      return "answered"
    }
  },
  {
    name: "a session ended for idling in its transaction",
    // The rollback fails too, which nobody expects of one.
    expected: "died connection",
    ends: true,
    make: (house) =>
      house.attempt(
        house.together(
          house.statement("set local idle_in_transaction_session_timeout = '20ms'"),
          Effect.promise(() =>
            eventually(house.sessions, (all) => all.every((each) => !String(each.state).includes("in transaction")))
          ),
          house.statement("select 1")
        )
      )
  },
  {
    name: "a connection cut at work",
    expected: "unavailable connection",
    ends: true,
    make: (house) => whileWaiting(house, async () => house.proxy.cut())
  },
  {
    name: "a connection cut in the middle of an answer",
    expected: "unavailable connection",
    ends: true,
    make: async (house) => {
      const userId = await house.userWith(5)
      house.proxy.cutAnswersAfter(100)
      return house.refused("credits.history", { userId })
    }
  },
  {
    name: "a connection cut in the middle of the answer to a debit with a key",
    expected: "1 row",
    ends: true,
    make: async (house) => {
      const request = { userId: await house.userWith(5), ...debit, idempotencyKey: "k" }
      house.proxy.cutAnswersAfter(100)
      const outcome = await house.refused("credits.use", request, "service", { keyed: true })
      if (outcome !== "answered") return outcome
      const { count } = await house.row(
        "select count(*)::int from credits.transactions where user_id = $1 and type = 'usage'",
        [request.userId]
      )
      return `${count} row`
    }
  },
  {
    name: "idle connections cut",
    expected: "answered",
    ends: true,
    make: async (house) => {
      house.proxy.cut()
      await gone(house)
      return "answered"
    }
  },
  {
    name: "no connection in time",
    expected: "unavailable connection",
    make: async (house) => {
      const userId = await house.userWith(5)
      return house.whileHeld(userId, async () => {
        // Longer than connectTimeout, shorter than statementTimeout would have them.
        const holding = Array.from({ length: connections }, () => house.refused("credits.use", { userId, ...debit }))
        await house.waiting(connections)
        const outcome = await house.refused("credits.balance", { userId })
        await Promise.all(holding)
        return outcome
      })
    }
  },
  {
    name: "no further session for the role",
    expected: "unavailable 53300",
    ends: true,
    make: async (house) => {
      await house.rows("alter role login_service connection limit 0")
      for (const { pid } of await house.sessions()) await house.row("select pg_terminate_backend($1)", [pid])
      await gone(house)
      const outcome = await house.refused("credits.balance", { userId: "x" })
      await house.rows("alter role login_service connection limit -1")
      return outcome
    }
  },
  {
    name: "a function replaced while it is called",
    expected: "60 answered",
    make: (house) => duringCalls(house, () => house.rows(replaceUse))
  },
  {
    name: "a function made anew with other arguments while it is called",
    expected: "60 answered",
    make: (house) => duringCalls(house, () => house.rows(remakeUse))
  },
  {
    name: "a session that forgets all it knew",
    expected: "answered",
    make: (house) => house.attempt(house.statement("discard all"))
  },
  {
    name: "a caller who gave up on an answer",
    expected: "answered",
    make: async (house) => {
      const userId = await house.userWith(5)
      return house.whileHeld(userId, async (holder) => {
        const fiber = house.fork(house.ask("credits.use", { userId, ...debit }))
        await house.waiting(1)
        const interrupted = Effect.runPromise(Fiber.interrupt(fiber))
        await holder.query("rollback")
        await interrupted
        return house.refused("credits.balance", { userId })
      })
    }
  }
]

export const kinds: ReadonlyArray<Kind> = [
  ...Object.entries(refusals).map(([sqlstate, make]) => ({ name: sqlstate, expected: sqlstate, make })),
  ...ofPostgres
]

export const refusalsMade = Object.keys(refusals)

/**
 * Fault 2: the service is killed between commit and answer. Not by chance: a wire between it and PostgreSQL sees that
 * the server has committed the very call, and the service dies before it hears of it.
 */
import { randomFrom } from "../../src/dev/stripe/faults.ts"
import { field, type Lane, text } from "./lane.ts"
import type { Request } from "./journal.ts"
import { underLoad } from "./load.ts"
import * as requests from "./requests.ts"
import { atLeast, type Scenario } from "./scenario.ts"
import { openStage, type Stage } from "./stage.ts"
import { sleep } from "./wait.ts"

/** A call that is to die, and the text by which its statement is known on the wire. */
interface Victim {
  readonly request: Request
  readonly text: string
}

/** One of each kind of call that moves money and can be asked for again, what it needs done before. */
const victims = (stage: Stage, lane: Lane, name: string, random: () => number) => {
  const user = () => stage.users[Math.floor(random() * stage.users.length)] ?? ""
  const amount = () => 1 + Math.floor(random() * 9)
  const keyed = (request: Request): Victim => ({ request, text: request.op })
  const done = async (request: Request) => {
    const heard = await lane.send(request, { stubborn: true })
    if (heard === undefined || heard.status >= 300) throw new Error(`${request.op}: ${JSON.stringify(heard)}`)
    return heard.body
  }
  const held = async (op: string): Promise<requests.Held> => {
    const [userId, most] = [user(), amount()]
    const body = await done(requests.reserve(op, userId, most))
    return { userId, amount: most, reservationId: text(body, "reservationId") ?? "" }
  }
  const given = async (op: string): Promise<requests.Given> => {
    const creatorId = user()
    const body = await done(requests.giftCreate(op, creatorId, amount()))
    return { creatorId, giftId: text(body, "id") ?? "", code: text(body, "code") ?? "" }
  }
  const kinds: ReadonlyArray<(op: string) => Promise<Victim>> = [
    async (op) => keyed(requests.use(op, user(), amount(), op)),
    async (op) => keyed(requests.personalUse(op, user(), amount())),
    async (op) => keyed(requests.useBatch(op, [[user(), 1] as const, [user(), 2] as const])),
    async (op) => keyed(requests.reserve(op, user(), amount())),
    async (op) => {
      const hold = await held(`${op}-hold`)
      return { request: requests.commit(op, hold, hold.amount), text: hold.reservationId }
    },
    async (op) => {
      const hold = await held(`${op}-hold`)
      return { request: requests.release(op, hold), text: hold.reservationId }
    },
    async (op) => keyed(requests.refund(op, user(), amount())),
    async (op) => keyed(requests.grant(op, user(), amount())),
    async (op) => keyed(requests.giftCreate(op, user(), amount())),
    async (op) => keyed(requests.giftRedeem(op, user(), await given(`${op}-gift`))),
    // One that is off: nobody else's doing, so that this call really charges.
    async (op) => {
      const userId = user()
      const status = await lane.send(requests.deactivate(`${op}-off`, userId))
      return status === undefined ? keyed(requests.use(op, userId, 1, op)) : keyed(requests.activate(op, userId))
    },
    async (op) => keyed(requests.purchase(op, user(), "credits_100"))
  ]
  let next = 0
  return () => {
    const kind = kinds[next % kinds.length]
    next += 1
    return kind?.(`${name}-${next}`)
  }
}

/** What the books remember of a call at this moment: the answer kept under its key, or what stands for one. */
const rememberedBy = (stage: Stage, { request }: Victim) =>
  stage.admin(async (client) => {
    const { rows } = await client.query<{ readonly count: string }>(
      `select
         (select count(*) from credits.idempotency_keys k where k.key in ($1, $1 || '/0'))
         + (select count(*) from credits.grants g where g.reference_id = $1)
         + (select count(*) from credits.reservations r where r.id::text = $2 and r.status <> 'open') as count`,
      [request.op, text(request.body, "reservationId") ?? null]
    )
    return Number(rows[0]?.count)
  })

/** The same answer for what was refused: nothing was done, so there is nothing to remember. */
const isRefusal = (status: number) => status >= 400 && status < 500

/** After so many there is nothing more to learn. */
const mostWrong = 10

/** Kills for as long as it has, and until there were as many as there should be. */
export const killService = async (stage: Stage, milliseconds: number, least: number) => {
  const { proxy } = stage
  const [service] = stage.services
  if (proxy === undefined || service === undefined) throw new Error("this needs a service behind a wire")
  const random = randomFrom(stage.task.seed)
  const lane = stage.makeOwnLane("victim")
  const nextVictim = victims(stage, lane, "v", random)
  const wrong: Array<string> = []
  const byKind = new Map<string, number>()
  let kills = 0
  let replays = 0
  const deadline = performance.now() + milliseconds
  while ((performance.now() < deadline || kills < least) && wrong.length < mostWrong) {
    const victim = await nextVictim()
    if (victim === undefined) break
    const { request } = victim
    const what = `${request.kind} ${request.op}`
    // Steps: the call goes out; the server commits it; the service is killed; the client hears nothing.
    const ambush = proxy.ambush(victim.text, "committed", () => service.kill())
    lane.note(request)
    const first = await lane.attempt(request)
    if (!ambush.called) {
      proxy.clearAmbushes()
      wrong.push(`${what} was never seen on the wire: ${JSON.stringify(first)}`)
      continue
    }
    kills += 1
    byKind.set(request.kind, (byKind.get(request.kind) ?? 0) + 1)
    if ("status" in first) wrong.push(`${what} got a ${first.status} from a service that was dead`)
    const remembered = await rememberedBy(stage, victim)
    await sleep(random() * 200)
    await service.start()
    const again = await lane.insist(request)
    if (again === undefined) {
      wrong.push(`${what} got no answer after the service came back`)
      continue
    }
    if (isRefusal(again.status)) {
      if (remembered > 0) wrong.push(`${what} was in the books and then got a ${again.status}`)
      continue
    }
    if (remembered !== 1 && request.kind !== "useBatch") {
      wrong.push(`${what} was answered ${again.status}, but the books remembered ${remembered} of it at the kill`)
    }
    const isReplay =
      request.kind === "grant" ? field(again.body, "alreadyGranted") === true : again.headers["idempotency-replayed"]
    if (isReplay === true || isReplay === "true") replays += 1
    else wrong.push(`${what} was done anew after the service came back`)
    if (kills % 10 === 0) stage.task.say(`${kills} kills of the service between commit and answer`)
  }
  return {
    facts: {
      "kills of the service between commit and answer": kills,
      "of calls": [...byKind].map(([kind, count]) => `${kind} ${count}`).join(", "),
      "retries that got the first answer": replays,
      "starts of the service": service.starts()
    },
    wrong
  }
}

export const scenario: Scenario = {
  name: "kill-service",
  about:
    "kill -9 of the service when PostgreSQL has committed and the client knows nothing: the retry gets the first answer",
  minutes: 5,
  run: async (task) => {
    const stage = await openStage(task, { proxied: true })
    return underLoad(stage, { processes: 2, lanes: 8, mayLose: true }, () =>
      killService(stage, task.milliseconds, atLeast(100, scenario, task))
    )
  }
}

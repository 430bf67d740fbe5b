/** After every kind of error the pool is as good as new: many good calls follow each, and none fails. */
import type { Ground } from "../ground.ts"
import type { Outcome } from "../scenario.ts"
import { execute } from "../ground.ts"
import { connections, openHouse, type Waits } from "./house.ts"
import type { Kind } from "./kinds.ts"
import { troubleSchema } from "./trouble.ts"

export interface Plan {
  readonly waits: Waits
  /** Good calls after each kind. */
  readonly calls: number
  /** The kinds to make, in this order; asked for the next one until it says that there is none. */
  readonly order: () => Kind | undefined
  readonly say: (line: string) => void
}

/** More than there are connections: some wait for one. */
const width = 16

export const afterEveryError = async (ground: Ground, { waits, calls, order, say }: Plan): Promise<Outcome> => {
  await execute(ground.url, ...troubleSchema)
  const house = await openHouse(ground, waits)
  const wrong: Array<string> = []
  const made: Record<string, number> = {}
  let good = 0
  try {
    const userId = await house.userWith(1_000_000_000)
    const [fresh] = await house.eachSession()
    for (let kind = order(); kind !== undefined; kind = order()) {
      const complain = (what: string) => void wrong.push(`${kind?.name}: ${what}`)
      const before = (await house.sessions()).map(({ pid }) => pid)
      const outcome = await kind.make(house).catch((error: unknown) => `it threw: ${String(error)}`)
      if (outcome !== kind.expected) complain(`${outcome}, not ${kind.expected}`)

      const counts = await house.debits(userId, calls, width)
      good += calls
      if (counts["answered"] !== calls) complain(`good calls came to ${JSON.stringify(counts)}`)

      for (const { state } of await house.eachSession()) {
        if (state !== fresh?.state) complain(`a session is left with ${state}`)
      }
      const after = (await house.sessions()).map(({ pid }) => pid)
      if (after.length > connections) complain(`${after.length} sessions`)
      if (kind.ends !== true && !before.every((pid) => after.includes(pid))) complain("a connection was thrown away")
      if (kind.ends === true && before.every((pid) => after.includes(pid))) complain("no connection ended")
      made[kind.name] = (made[kind.name] ?? 0) + 1
      say(`${kind.name}: ${outcome}, then ${JSON.stringify(counts)}`)
    }

    const { balance } = await house.row("select balance::text from credits.balances where user_id = $1", [userId])
    if (Number(balance) !== 1_000_000_000 - good) wrong.push(`${good} good debits left a balance of ${balance}`)
    for (const row of await house.rows("select * from ops.verify()")) wrong.push(`ops.verify(): ${JSON.stringify(row)}`)
  } finally {
    await house.close()
  }
  return {
    facts: {
      "kinds of error": Object.keys(made).length,
      "errors made": Object.values(made).reduce((sum, count) => sum + count, 0),
      "good calls after each": calls,
      "good calls in all": good
    },
    wrong
  }
}

/**
 * `npm run fuzz`: test/http/fuzz.test.ts for long, 1,000 cases an operation. It prints its seed; the same seed and
 * number of cases repeat a run.
 *
 *     npm run fuzz -- --cases 5000 --seed 7 --minutes 30 --only credits.use,gifts.redeem
 */
import { spawn } from "node:child_process"
import { randomInt } from "node:crypto"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { operations } from "../operations.ts"

const { values: options } = parseArgs({
  options: {
    /** An operation. */
    cases: { type: "string", default: "1000" },
    seed: { type: "string" },
    /** At most, all operations together; what isn't tried by then is left out, and said. */
    minutes: { type: "string", default: "60" },
    /** Only these operations, by their ids, with commas between. */
    only: { type: "string" }
  }
})

const chosen = options.only?.split(",") ?? operations.map(({ id }) => id)
const unknown = chosen.filter((id) => operations.every((operation) => operation.id !== id))
const seed = Number(options.seed ?? randomInt(1, 2 ** 31))
const cases = Number(options.cases)
const minutes = Number(options.minutes)

if (unknown.length > 0 || !(cases >= 1) || !(minutes > 0) || !Number.isSafeInteger(seed)) {
  console.error(`Operations: ${operations.map(({ id }) => id).join(", ")}; --cases, --seed and --minutes are numbers`)
  process.exitCode = 1
} else {
  console.log(`seed ${seed}, ${cases} cases for each of ${chosen.length} operations, ${minutes} minutes at most`)
  const vitest = fileURLToPath(new URL("../../../node_modules/vitest/vitest.mjs", import.meta.url))
  const child = spawn(process.execPath, [vitest, "run", "test/http/fuzz.test.ts"], {
    stdio: "inherit",
    env: {
      ...process.env,
      FUZZ_CASES: String(cases),
      FUZZ_SEED: String(seed),
      FUZZ_ONLY: chosen.join(","),
      FUZZ_PATIENCE: String((minutes * 60_000) / chosen.length)
    }
  })
  child.once("exit", (code) => {
    process.exitCode = code ?? 1
  })
}

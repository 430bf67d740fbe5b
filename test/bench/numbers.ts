/** What a load generator says, and what becomes of several rounds of it. */
import * as os from "node:os"
import { Schema } from "effect"

export const Measured = Schema.Struct({
  /** Debits (or charges, or reads) that were done. */
  done: Schema.Number,
  seconds: Schema.Number,
  /** Milliseconds from asking to the answer, of one request. */
  p50: Schema.Number,
  p99: Schema.Number,
  /** Processor time of the generator itself: it shares the machine with what it measures. */
  generatorCpuSeconds: Schema.Number
})
export type Measured = typeof Measured.Type

export const decodeMeasured = Schema.decodeUnknownSync(Schema.fromJsonString(Measured))

export const quantile = (values: ReadonlyArray<number>, share: number) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))] ?? Number.NaN

export const median = (values: ReadonlyArray<number>) => quantile(values, 0.5)

export const perSecond = ({ done, seconds }: Measured) => done / seconds

export const ratio = (a: number | undefined, b: number | undefined) =>
  a === undefined || b === undefined ? "" : (a / b).toFixed(2)

/** A row of a Markdown table. */
export const tableRow = (cells: ReadonlyArray<string | number>) => `| ${cells.join(" | ")} |`

/** The machine and versions of a run. */
export const machine = (postgresVersion: string) =>
  `${os.availableParallelism()} cores, ${os.cpus()[0]?.model ?? "?"}, load ${os.loadavg()[0]?.toFixed(1)}; ` +
  `node ${process.version}, PostgreSQL ${postgresVersion}`

/** A run's results: for --json, and for people. */
export interface Report {
  readonly result: { readonly untrue: ReadonlyArray<unknown> }
  readonly lines: ReadonlyArray<string>
}

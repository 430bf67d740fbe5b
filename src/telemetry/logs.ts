/** How a process tells what it does: one JSON object a line for machines, a short line for people. */
import { Array, Cause, Effect, Formatter, Inspectable, Layer, Logger, LogLevel, Predicate, References } from "effect"

/**
 * The words of a line, and the facts with them. Facts come as annotations of everything that a fiber logs, or, for a
 * single line (a request's), as an object beside the words, which costs a tenth.
 */
const said = ({ message, fiber }: Logger.Options<unknown>) => {
  const words: Array<unknown> = []
  let facts: Readonly<Record<string, unknown>> = fiber.getRef(References.CurrentLogAnnotations)
  for (const part of Array.ensure(message)) {
    if (Predicate.isReadonlyObject(part)) facts = { ...facts, ...part }
    else words.push(part)
  }
  return { words, facts }
}

const causeOf = (cause: Cause.Cause<unknown>) => (cause.reasons.length === 0 ? undefined : Cause.pretty(cause))

/** `{"message":"listening","logLevel":"INFO","timestamp":"…","annotations":{"address":"http://…"}}` */
export const jsonLine = Logger.make<unknown, string>((options) => {
  const { words, facts } = said(options)
  const line = {
    message: words.length === 1 ? Inspectable.toStringUnknown(words[0], 0) : words,
    logLevel: options.logLevel.toUpperCase(),
    timestamp: options.date.toISOString(),
    cause: causeOf(options.cause),
    annotations: facts
  }
  try {
    return JSON.stringify(line)
  } catch {
    // Something in it holds itself.
    return Formatter.formatJson(line)
  }
})

/** `12:00:00 INFO listening address=http://…`, and the cause below it where there is one. */
const shortLine = Logger.make<unknown, string>((options) => {
  const { words, facts } = said(options)
  const line = [
    options.date.toTimeString().slice(0, 8),
    options.logLevel.toUpperCase(),
    ...words.map((word) => Inspectable.toStringUnknown(word, 0)),
    ...Object.entries(facts).map(([name, value]) => `${name}=${Inspectable.toStringUnknown(value, 0)}`)
  ].join(" ")
  const cause = causeOf(options.cause)
  return cause === undefined ? line : `${line}\n${cause}`
})

/** A line waits this long for others, or until this much is waiting: a write costs more than a request's line. */
const bunch = { milliseconds: 20, characters: 65_536 }

/** Writes lines to standard output in bunches: a warning or an error at once, the rest at the latest as the process ends. */
const output = Effect.acquireRelease(
  Effect.sync(() => {
    let waiting = ""
    let timer: NodeJS.Timeout | undefined
    const flush = () => {
      clearTimeout(timer)
      timer = undefined
      const text = waiting
      waiting = ""
      if (text !== "") process.stdout.write(text)
    }
    process.on("exit", flush)
    // A log reader that has ended (EPIPE) is no reason to stop serving.
    process.stdout.on("error", () => undefined)
    const write = (line: string, isUrgent: boolean) => {
      waiting += `${line}\n`
      if (isUrgent || waiting.length > bunch.characters) return flush()
      timer ??= setTimeout(flush, bunch.milliseconds)
    }
    return { write, flush }
  }),
  ({ flush }) =>
    Effect.sync(() => {
      flush()
      process.off("exit", flush)
    })
)

const logs = (line: Logger.Logger<unknown, string>, level: LogLevel.LogLevel) =>
  Layer.merge(
    Logger.layer([
      Effect.map(output, ({ write }) =>
        Logger.make<unknown, void>((options) =>
          write(line.log(options), LogLevel.isGreaterThanOrEqualTo(options.logLevel, "Warn"))
        )
      )
    ]),
    Layer.succeed(References.MinimumLogLevel, level)
  )

export const jsonLogs = (level: LogLevel.LogLevel) => logs(jsonLine, level)

export const readableLogs = (level: LogLevel.LogLevel) => logs(shortLine, level)

/** How a process tells what it does: one JSON object a line for machines, a short line for people. */
import { Array, Cause, Effect, Inspectable, Layer, Logger, LogLevel, Predicate } from "effect"

/**
 * What was said: words, and the facts with them. Facts come as annotations of all that a fiber logs, or, where a line
 * is all there is, as an object beside the words, which costs a tenth.
 */
const said = ({ message, annotations }: Logger.Logger.Options<unknown>) => {
  const words: Array<unknown> = []
  const facts = Object.fromEntries(annotations)
  for (const part of Array.ensure(message)) {
    if (Predicate.isRecord(part)) Object.assign(facts, part)
    else words.push(part)
  }
  return { words, facts }
}

const causeOf = (cause: Cause.Cause<unknown>) =>
  Cause.isEmpty(cause) ? undefined : Cause.pretty(cause, { renderErrorCause: true })

/** `{"message":"listening","logLevel":"INFO","timestamp":"…","annotations":{"address":"http://…"}}` */
export const jsonLine = Logger.make<unknown, string>((options) => {
  const { words, facts } = said(options)
  const line = {
    message: words.length === 1 ? Inspectable.toStringUnknown(words[0], 0) : words,
    logLevel: options.logLevel.label,
    timestamp: options.date.toISOString(),
    cause: causeOf(options.cause),
    annotations: facts
  }
  try {
    return JSON.stringify(line)
  } catch {
    // Something in it holds itself.
    return Inspectable.stringifyCircular(line)
  }
})

/** `12:00:00 INFO listening address=http://…`, and the cause below it where there is one. */
const shortLine = Logger.make<unknown, string>((options) => {
  const { words, facts } = said(options)
  const line = [
    options.date.toTimeString().slice(0, 8),
    options.logLevel.label,
    ...words.map((word) => Inspectable.toStringUnknown(word, 0)),
    ...Object.entries(facts).map(([name, value]) => `${name}=${Inspectable.toStringUnknown(value, 0)}`)
  ].join(" ")
  const cause = causeOf(options.cause)
  return cause === undefined ? line : `${line}\n${cause}`
})

/** So many milliseconds a line may wait for others, or until so much is there: a write costs more than a request's line. */
const bunch = { milliseconds: 20, characters: 65_536 }

/** Lines to the output, in bunches; what warns goes at once, and the process's end takes the rest along. */
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
    // Whoever read the log is gone: that is no reason to stop serving.
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
    Layer.unwrapScoped(
      Effect.map(output, ({ write }) =>
        Logger.replace(
          Logger.defaultLogger,
          Logger.make<unknown, void>((options) =>
            write(line.log(options), LogLevel.greaterThanEqual(options.logLevel, LogLevel.Warning))
          )
        )
      )
    ),
    Logger.minimumLogLevel(level)
  )

export const jsonLogs = (level: LogLevel.LogLevel) => logs(jsonLine, level)

export const readableLogs = (level: LogLevel.LogLevel) => logs(shortLine, level)

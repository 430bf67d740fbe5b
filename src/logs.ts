/** How a process tells what it does: one JSON object a line for machines, a short line for people. */
import { Array, Cause, HashMap, Inspectable, Layer, Logger, type LogLevel } from "effect"

/** `12:00:00 INFO listening address=http://…`, and the cause below it where there is one. */
const shortLine = Logger.make(({ date, logLevel, message, annotations, cause }) => {
  const text = Array.ensure(message).map((part) => Inspectable.toStringUnknown(part, 0))
  const facts = [...HashMap.entries(annotations)].map(
    ([name, value]) => `${name}=${Inspectable.toStringUnknown(value, 0)}`
  )
  const line = [date.toTimeString().slice(0, 8), logLevel.label, ...text, ...facts].join(" ")
  return Cause.isEmpty(cause) ? line : `${line}\n${Cause.pretty(cause, { renderErrorCause: true })}`
})

export const jsonLogs = (level: LogLevel.LogLevel) => Layer.merge(Logger.json, Logger.minimumLogLevel(level))

export const readableLogs = (level: LogLevel.LogLevel) =>
  Layer.merge(Logger.replace(Logger.defaultLogger, Logger.withConsoleLog(shortLine)), Logger.minimumLogLevel(level))

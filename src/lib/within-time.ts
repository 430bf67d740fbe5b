/**
 * Waits for an end, whatever it is, but no longer than this many milliseconds. For finalizers: there nothing is
 * interruptible, and a time-out of Effect waits for what isn't. Answers whether it ended in time.
 */
export const withinTime = async (millis: number, end: Promise<unknown>): Promise<boolean> => {
  let timer: NodeJS.Timeout | undefined
  const time = new Promise<boolean>((resolve) => {
    timer = setTimeout(() => resolve(false), millis)
  })
  const ended = await Promise.race([
    end.then(
      () => true,
      () => true
    ),
    time
  ])
  clearTimeout(timer)
  return ended
}

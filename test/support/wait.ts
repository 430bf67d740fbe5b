/** Waiting by condition, never by time. */

/** Asks again until the answer is as hoped; fails after ten seconds, which is beyond any wait of a healthy run. */
export const eventually = async <A>(
  ask: () => Promise<A>,
  hoped: (answer: A) => boolean,
  within = 10_000
): Promise<A> => {
  const deadline = Date.now() + within
  for (;;) {
    const answer = await ask()
    if (hoped(answer)) return answer
    if (Date.now() > deadline) throw new Error(`gave up waiting; last answer: ${JSON.stringify(answer)}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

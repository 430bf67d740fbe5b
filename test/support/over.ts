/** When something that a test started is stopped. */
import { afterAll, onTestFinished, TestRunner } from "vitest"

/** After the test in which it was started, or after the file where it was started outside of any. */
export const whenOver = (stop: () => unknown) => {
  const end = async () => {
    await stop()
  }
  if (TestRunner.getCurrentTest() === undefined) afterAll(end)
  else onTestFinished(end)
}

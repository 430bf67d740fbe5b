import { expect, test } from "vitest"
import { errorMessage } from "../../src/lib/error-message.ts"

test.each([
  [new Error("gone"), "gone"],
  [
    new AggregateError([new Error("connect ECONNREFUSED ::1:1"), new Error("connect ECONNREFUSED 127.0.0.1:1")]),
    "connect ECONNREFUSED ::1:1; connect ECONNREFUSED 127.0.0.1:1"
  ],
  [Object.assign(new Error(""), { code: "EPIPE" }), "EPIPE"],
  ["text", "text"]
])("%s", (error, reason) => {
  expect(errorMessage(error)).toBe(reason)
})

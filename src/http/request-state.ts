/** What a handler notes about the request it is at. */
import { Effect } from "effect"
import { CurrentRequest } from "./our-request.ts"

/** They have shown a good credential. */
export const isCalledBy = (caller: string) =>
  Effect.map(CurrentRequest, ({ state }) => {
    state.caller = caller
    state.isStranger = false
  })

/** Adds a header to whatever is answered. */
export const answerHeader = (name: string, value: string) =>
  Effect.map(CurrentRequest, ({ state }) => {
    state.headers[name] = value
  })

/** Routes that exist in development only, on the port of the service. */
import { Effect, ParseResult, Schema } from "effect"
import { jsonAnswer } from "../http/answer.ts"
import { bodyJson } from "../http/body.ts"
import { invalidBySchema } from "../http/invalid.ts"
import type { OurRequest } from "../http/our-request.ts"
import type { Route } from "../http/route.ts"
import { type Issuer, Person } from "./issuer.ts"

const person = ({ source }: OurRequest) =>
  bodyJson(source, 1024).pipe(
    Effect.flatMap(Schema.decodeUnknown(Person, { errors: "all" })),
    Effect.catchTag("ParseError", (error) =>
      Effect.fail(invalidBySchema(ParseResult.ArrayFormatter.formatErrorSync(error)))
    )
  )

/** The auth service's key set, and tokens for the asking. */
export const doors = ({ jwks, token }: Issuer): ReadonlyArray<Route<never>> => [
  { method: "GET", path: "/api/auth/jwks", answer: () => Effect.succeed(jsonAnswer(200, jwks)) },
  {
    method: "POST",
    path: "/dev/token",
    answer: (request) =>
      person(request).pipe(
        Effect.flatMap(token),
        Effect.map((signed) => jsonAnswer(200, { token: signed }))
      )
  }
]

/** Routes that exist in development only, on the port of the service. */
import * as HttpApiBuilder from "@effect/platform/HttpApiBuilder"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import { Effect, Layer, ParseResult, Schema } from "effect"
import { invalid } from "../http/invalid.ts"
import { type Issuer, Person } from "./issuer.ts"

const person = Effect.gen(function* () {
  const request = yield* HttpServerRequest.HttpServerRequest
  return yield* Schema.decodeUnknown(Person, { errors: "all" })(yield* request.json)
}).pipe(
  Effect.catchTag("ParseError", (error) =>
    Effect.fail(
      invalid(
        ...ParseResult.ArrayFormatter.formatErrorSync(error).map(({ path, message }) => ({
          path: path.join("."),
          message
        }))
      )
    )
  )
)

/** The auth service's key set, and tokens for the asking. */
export const doors = ({ jwks, token }: Issuer) =>
  HttpApiBuilder.Router.use((router) =>
    Effect.gen(function* () {
      yield* router.get("/api/auth/jwks", HttpServerResponse.json(jwks))
      yield* router.post(
        "/dev/token",
        person.pipe(
          Effect.flatMap(token),
          Effect.flatMap((signed) => HttpServerResponse.json({ token: signed }))
        )
      )
    })
  ).pipe(Layer.provide(HttpApiBuilder.Router.Live))

/** Routes that exist in development only, on the port of the service. */
import { ByteSize, Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerRespondable, HttpServerResponse } from "effect/http"
import { invalid, invalidBySchema } from "../http/middleware/invalid.ts"
import { type Issuer, Person } from "./issuer.ts"

const maxBodyBytes = 1024

const notJson = invalid({ path: "", message: `The body must be JSON of at most ${maxBodyBytes} bytes.` })

const person = HttpServerRequest.schemaBodyJson(Person, { errors: "all" }).pipe(
  Effect.provideService(HttpServerRequest.MaxBodySize, ByteSize.bytes(maxBodyBytes)),
  Effect.mapError((error) => (error._tag === "SchemaError" ? invalidBySchema(error.issue) : notJson))
)

/** The auth service's key set, and a token for every request. */
export const devRoutes = ({ jwks, token }: Issuer) =>
  Layer.mergeAll(
    HttpRouter.add("GET", "/api/auth/jwks", HttpServerResponse.jsonUnsafe(jwks)),
    HttpRouter.add(
      "POST",
      "/dev/token",
      Effect.flatMap(person, token).pipe(
        Effect.map((signed) => HttpServerResponse.jsonUnsafe({ token: signed })),
        Effect.catch(HttpServerRespondable.toResponse)
      )
    )
  )

/** For whoever watches the process. */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as OpenApi from "@effect/platform/OpenApi"
import { Schema } from "effect"
import { ServiceUnavailable } from "./errors.ts"

export const health = HttpApiGroup.make("health")
  .add(
    HttpApiEndpoint.get("health", "/health")
      .addSuccess(
        Schema.Struct({
          status: Schema.Literal("ok"),
          uptimeSeconds: Schema.Number.annotations({ jsonSchema: { type: "integer" } })
        })
      )
      .annotate(OpenApi.Summary, "The process lives")
  )
  .add(
    HttpApiEndpoint.get("ready", "/health/ready")
      .addSuccess(
        Schema.Struct({
          status: Schema.Literal("ready"),
          database: Schema.Literal("migrated"),
          worker: Schema.Literal("running", "elsewhere").annotations({
            description: "elsewhere: another process works off the queue"
          })
        })
      )
      .addError(ServiceUnavailable.schema)
      .annotate(OpenApi.Summary, "It can do its work: database reachable and migrated, worker running")
  )
  .annotate(OpenApi.Title, "Health")

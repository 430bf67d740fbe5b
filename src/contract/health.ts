/** Probes. */
import { Schema } from "effect"
import { HttpApiEndpoint, HttpApiGroup, OpenApi } from "effect/http-api"
import { count } from "./fields.ts"
import { ServiceUnavailable } from "./problems.ts"

export const health = HttpApiGroup.make("health")
  .add(
    HttpApiEndpoint.get("health", "/health", {
      success: Schema.Struct({ status: Schema.Literal("ok"), uptimeSeconds: count() })
    }).annotate(OpenApi.Summary, "The process lives")
  )
  .add(
    HttpApiEndpoint.get("ready", "/health/ready", {
      success: Schema.Struct({
        status: Schema.Literal("ready"),
        database: Schema.Literal("migrated"),
        worker: Schema.Literals(["running", "elsewhere"]).annotate({
          description: "elsewhere: another process works off the queue"
        })
      }),
      error: ServiceUnavailable
    }).annotate(OpenApi.Summary, "It can do its work: database reachable and migrated, worker running")
  )
  .annotate(OpenApi.Title, "Health")

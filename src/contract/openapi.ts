/** The OpenAPI document of the contract. HttpApi writes it all but for errors, which it takes for its own kind. */
import * as OpenApi from "@effect/platform/OpenApi"
import { Api } from "./api.ts"
import { problemContentType } from "./problem.ts"

const generated = OpenApi.fromApi(Api, { additionalPropertiesStrategy: "allow" })

/** HttpApi's own answer to a malformed request, in whose place ours is sent (src/http/failures.ts). */
const foreign = ["HttpApiDecodeError", "Issue", "PropertyKey"]

const nameOf = (schema: object) =>
  "$ref" in schema && typeof schema.$ref === "string" ? schema.$ref.replace("#/components/schemas/", "") : ""

const problemResponse = ({ content }: OpenApi.OpenApiSpecResponse) => {
  const schema = content?.["application/json"]?.schema
  const all = schema === undefined ? [] : "anyOf" in schema ? schema.anyOf : [schema]
  const ours = all.filter((each) => !foreign.includes(nameOf(each)))
  const titles = ours.map((each) => generated.components.schemas[nameOf(each)]?.description ?? nameOf(each))
  return {
    description: titles.join("; "),
    content: { [problemContentType]: { schema: ours.length === 1 ? ours[0] : { anyOf: ours } } }
  }
}

const withProblems = (operation: OpenApi.OpenAPISpecOperation) => ({
  ...operation,
  responses: Object.fromEntries(
    Object.entries(operation.responses)
      // Only a body can be too large, only what is sent can be malformed.
      .filter(([status]) => status !== "413" || operation.requestBody !== undefined)
      .filter(([status]) => status !== "400" || operation.requestBody !== undefined || operation.parameters.length > 0)
      .map(([status, response]) => [status, Number(status) >= 400 ? problemResponse(response) : response])
  )
})

const mapValues = <A, B>(record: Readonly<Record<string, A>>, f: (value: A) => B) =>
  Object.fromEntries(Object.entries(record).map(([key, value]) => [key, f(value)]))

export const openApi = {
  ...generated,
  paths: mapValues(generated.paths, (item) => mapValues(item, withProblems)),
  components: {
    ...generated.components,
    schemas: Object.fromEntries(
      Object.entries(generated.components.schemas).filter(([name]) => !foreign.includes(name))
    )
  }
}

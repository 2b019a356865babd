/**
 * What becomes of the OpenAPI document that is derived from the interface: names that the standard allows, and each kind
 * of error described once.
 */

type Json = Record<string, unknown>

const isRecord = (u: unknown): u is Json => typeof u === "object" && u !== null && !Array.isArray(u)

const record = (u: unknown): Json => isRecord(u) ? u : {}

const map = (u: unknown, f: (value: unknown, key: string) => unknown): Json =>
  Object.fromEntries(Object.entries(record(u)).map(([key, value]) => [key, f(value, key)]))

/** A key of a component is letters, digits, `.`, `-` and `_` (OpenAPI 3.1.0, 4.8.7); a class is called `package/Name`. */
const withoutPackage = (document: Json): Json => {
  const rename = (u: unknown): unknown => {
    if (Array.isArray(u)) {
      return u.map(rename)
    }
    if (!isRecord(u)) {
      return u
    }
    return Object.fromEntries(
      Object.entries(u).map(([key, value]) => [
        key.replace(/^sandbox-sdk\//, ""),
        key === "$ref" && typeof value === "string" ? value.replace("/sandbox-sdk~1", "/") : rename(value)
      ])
    )
  }
  return record(rename(document))
}

/** The error of the framework is never sent: a request that does not decode is answered with one of ours. */
const FOREIGN = ["HttpApiDecodeError", "Issue", "PropertyKey"]

const isForeign = (schema: unknown): boolean => record(schema)["$ref"] === "#/components/schemas/HttpApiDecodeError"

const errorResponse = (response: unknown, description: string): Json => {
  const schema = record(record(record(record(response)["content"])["application/json"])["schema"])
  const members: ReadonlyArray<unknown> = Array.isArray(schema["anyOf"]) ? schema["anyOf"] : [schema]
  const own = members.filter((member) => !isForeign(member))
  return {
    description,
    content: { "application/json": { schema: own.length === 1 ? own[0] : { anyOf: own } } }
  }
}

/**
 * Rewrites the derived document.
 */
export const tidy = (descriptions: Readonly<Record<number, string>>) => (derived: Json): Json => {
  const document = withoutPackage(derived)
  const responses: Json = {}
  const isError = (status: string) => Number(status) >= 400

  const operation = (u: unknown): unknown => ({
    ...record(u),
    responses: map(record(u)["responses"], (response, status) => {
      if (!isError(status)) {
        return response
      }
      responses[`Error${status}`] ??= errorResponse(response, descriptions[Number(status)] ?? "An error.")
      return { $ref: `#/components/responses/Error${status}` }
    })
  })

  const paths = map(document["paths"], (path) => map(path, operation))
  const components = record(document["components"])
  const schemas = Object.fromEntries(
    Object.entries(record(components["schemas"])).filter(([name]) => !FOREIGN.includes(name))
  )
  const limited = record(responses["Error429"])
  if (responses["Error429"] !== undefined) {
    responses["Error429"] = {
      ...limited,
      headers: { "Retry-After": { description: "Whole seconds.", schema: { type: "integer" } } }
    }
  }
  return { ...document, paths, components: { ...components, schemas, responses } }
}

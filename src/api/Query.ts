/**
 * Values in the query of a URL, where everything is a string.
 */
import * as Schema from "effect/Schema"

/**
 * A whole number.
 */
export const number = <A extends number>(schema: Schema.Schema<A, number>, minimum: number, maximum: number) =>
  Schema.compose(Schema.NumberFromString, schema).annotations({ jsonSchema: { type: "integer", minimum, maximum } })

/**
 * `true` or `false`.
 */
export const boolean = Schema.transform(Schema.Literal("true", "false"), Schema.Boolean, {
  strict: true,
  decode: (text) => text === "true",
  encode: (value) => value ? "true" as const : "false" as const
})

/**
 * Where in a sandbox: an absolute path, or one from `/workspace`.
 */
export const path = Schema.NonEmptyString.annotations({
  description: "a path in the sandbox, such as \"data/input.csv\""
})

/**
 * A directory in a sandbox.
 */
export const directory = Schema.NonEmptyString.annotations({
  description: "the path of a directory in the sandbox; /workspace without it"
})

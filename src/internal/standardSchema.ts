/**
 * Checks values by a schema of any library that follows Standard Schema (https://standardschema.dev): Zod, Valibot,
 * ArkType, `Schema.standardSchemaV1` of Effect, and others.
 */
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import { SandboxSDKError } from "../Errors.js"
import { invalidArgument, quote } from "./issue.js"

/**
 * A part that does not fit.
 */
export interface StandardIssue {
  readonly message: string
  readonly path?: ReadonlyArray<PropertyKey | { readonly key: PropertyKey }> | undefined
}

/**
 * What such a schema says of a value: what it has become, or what is wrong with it.
 */
export type StandardResult<A> =
  | { readonly value: A; readonly issues?: undefined }
  | { readonly issues: ReadonlyArray<StandardIssue> }

/**
 * A schema whose values are `A`.
 */
export interface StandardSchema<A> {
  readonly "~standard": {
    readonly version: 1
    readonly vendor: string
    readonly validate: (value: unknown) => StandardResult<A> | Promise<StandardResult<A>>
  }
}

const isStandardSchema = (u: unknown): boolean =>
  Predicate.hasProperty(u, "~standard") && Predicate.hasProperty(u["~standard"], "validate") &&
  typeof u["~standard"].validate === "function"

/**
 * Fails with `SandboxSDKError` `invalid_argument` when this is no such schema.
 */
export const requireStandardSchema = <A>(
  operation: string,
  schema: StandardSchema<A>
): Effect.Effect<StandardSchema<A>, SandboxSDKError> =>
  isStandardSchema(schema)
    ? Effect.succeed(schema)
    : Effect.fail(invalidArgument(
      operation,
      "schema",
      `schema must be a Standard Schema (an object with "~standard"), but it is ${quote(schema)}. ` +
        "A schema of Effect becomes one by Schema.standardSchemaV1."
    ))

const pathOf = ({ path = [] }: StandardIssue): string =>
  path.map((part) => String(typeof part === "object" ? part.key : part)).join(".")

/**
 * The value as the schema gives it. `what` is what the value is called.
 *
 * Fails with `SandboxSDKError` `decode_error` (`field` is the path of the first part that does not fit). What the schema
 * throws itself is a defect.
 */
export const validate = <A>(
  operation: string,
  what: string,
  schema: StandardSchema<A>,
  value: unknown
): Effect.Effect<A, SandboxSDKError> =>
  Effect.flatMap(
    Effect.promise(async () => schema["~standard"].validate(value)),
    (result) => {
      if (result.issues === undefined) {
        return Effect.succeed(result.value)
      }
      const [issue] = result.issues
      const field = (issue === undefined ? "" : pathOf(issue)) || "result"
      return Effect.fail(
        new SandboxSDKError({
          code: "decode_error",
          field,
          message: `${operation}: ${field} of ${what} does not fit: ${issue?.message ?? "the schema does not say why."}`
        })
      )
    }
  )

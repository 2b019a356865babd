/**
 * Schemas of any library that follows Standard Schema (https://standardschema.dev): Zod, Valibot, ArkType,
 * `Schema.standardSchemaV1` of Effect, and others.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type { SandboxSDKError } from "../Errors.js"
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

const pathOf = ({ path = [] }: StandardIssue): ReadonlyArray<PropertyKey> =>
  path.map((part) => typeof part === "object" ? part.key : part)

/**
 * The same as a schema of Effect, which decodes and cannot encode. What the schema throws itself is a defect.
 */
export const fromStandardSchema = <A>(standard: StandardSchema<A>): Schema.Schema<A, unknown> =>
  Schema.declare([], {
    decode: () => (input, _, ast) =>
      Effect.flatMap(Effect.promise(async () => standard["~standard"].validate(input)), (result) => {
        if (result.issues === undefined) {
          return Effect.succeed(result.value)
        }
        const [first = { message: "the schema does not say why" }] = result.issues
        return Effect.fail(
          pathOf(first).reduceRight<ParseResult.ParseIssue>(
            (issue, key) => new ParseResult.Pointer(key, input, issue),
            new ParseResult.Type(ast, input, first.message)
          )
        )
      }),
    encode: () => (input, _, ast): Effect.Effect<unknown, ParseResult.ParseIssue> =>
      Effect.fail(new ParseResult.Forbidden(ast, input, "a Standard Schema does not encode"))
  })

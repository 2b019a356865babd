/**
 * Environment variables.
 */
import * as Schema from "effect/Schema"

/**
 * Environment variables. A name is letters, digits and underscores and does not begin with a digit (POSIX.1-2017, 8.1);
 * a value holds no NUL.
 *
 * @category models
 */
export const EnvVars = Schema.Record({
  key: Schema.String.pipe(Schema.pattern(/^[A-Za-z_][A-Za-z0-9_]*$/, {
    description: "letters, digits and underscores, not beginning with a digit"
  })),
  value: Schema.String.pipe(Schema.pattern(/^[^\0]*$/, { description: "a string without NUL characters" }))
}).annotations({ description: "an object of names and strings" })

/**
 * @category models
 */
export type EnvVars = typeof EnvVars.Type

/**
 * Arguments that are no options.
 */
import * as Args from "@effect/cli/Args"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Effect from "effect/Effect"

/**
 * A text. What looks like an option is one that the command does not have: the parser itself would take it for the
 * argument.
 */
export const text = (name: string) =>
  Args.text({ name }).pipe(
    Args.mapEffect((value) =>
      value.startsWith("-")
        ? Effect.fail(HelpDoc.p(`There is no option ${value} here.`))
        : Effect.succeed(value)
    )
  )

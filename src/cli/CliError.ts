/**
 * How a command says that it could not do its work.
 */
import * as Data from "effect/Data"

/**
 * Ends the program with exit status 1 and `message` on standard error, without a stack: the message is the advice.
 */
export class CliError extends Data.TaggedError("CliError")<{ readonly message: string }> {}

#!/usr/bin/env node
/**
 * The command line. Each command loads what it needs when it runs.
 */
import * as Command from "@effect/cli/Command"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import manifest from "../../package.json" with { type: "json" }
import * as Doctor from "./Doctor.js"
import * as PlainText from "./PlainText.js"

const sandbox = Command.make("sandbox").pipe(
  Command.withDescription("Run untrusted code in isolated sandboxes"),
  Command.withSubcommands([Doctor.command])
)

const run = Command.run(sandbox, { name: "Sandbox SDK", executable: "sandbox", version: manifest.version })

/** An expected failure is its message; a mistake in the arguments has been explained already; a defect has its stack. */
const explain = <E extends { readonly message: string } | ValidationError.ValidationError>(cause: Cause.Cause<E>) =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => Cause.isInterruptedOnly(cause) ? Effect.void : Console.error(Cause.pretty(cause)),
    onSome: (error) => ValidationError.isValidationError(error) ? Effect.void : Console.error(error.message)
  })

run(process.argv).pipe(
  Effect.tapErrorCause(explain),
  PlainText.unlessTerminal,
  Effect.provide(NodeContext.layer),
  NodeRuntime.runMain({ disableErrorReporting: true, disablePrettyLogger: true })
)

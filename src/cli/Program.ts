/**
 * The command line. Each command loads what it needs when it runs.
 */
import * as CliConfig from "@effect/cli/CliConfig"
import * as Command from "@effect/cli/Command"
import * as HelpDoc from "@effect/cli/HelpDoc"
import * as Usage from "@effect/cli/Usage"
import * as ValidationError from "@effect/cli/ValidationError"
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as Cause from "effect/Cause"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import { stripVTControlCharacters } from "node:util"
import manifest from "../../package.json" with { type: "json" }
import type { AnySandboxSDKError } from "../Errors.js"
import { type CliError, describe, type Exited, Status, statusOf } from "./CliError.js"
import * as Copy from "./Copy.js"
import * as Doctor from "./Doctor.js"
import * as Input from "./Input.js"
import * as List from "./List.js"
import { runMain } from "./Main.js"
import * as Output from "./Output.js"
import { overview } from "./Overview.js"
import * as PlainText from "./PlainText.js"
import * as Remove from "./Remove.js"
import * as Run from "./Run.js"
import * as Serve from "./Serve.js"
import * as Shell from "./Shell.js"
import * as Snapshots from "./Snapshots.js"
import * as Templates from "./Templates.js"

const sandbox = Command.make("sandbox").pipe(
  Command.withDescription("Run untrusted code in isolated sandboxes"),
  Command.withSubcommands([
    Run.command,
    Shell.command,
    Serve.command,
    List.command,
    Copy.command,
    Remove.command,
    Templates.command,
    Snapshots.command,
    Doctor.command
  ])
)

const run = Command.run(sandbox, { name: "Sandbox SDK", executable: "sandbox", version: manifest.version })

const config = CliConfig.layer({ isCaseSensitive: true, showTypes: false, showBuiltIns: false })

type Failure = AnySandboxSDKError | CliError | Exited | ValidationError.ValidationError

/** How a command is called, in one line. */
const usageOf = <Name extends string, R, E, A>(command: Command.Command<Name, R, E, A>): string =>
  Usage.enumerate(Command.getUsage(command), { ...CliConfig.defaultConfig, showTypes: false })
    .map((span) => stripVTControlCharacters(HelpDoc.toAnsiText(HelpDoc.p(span))).trim())
    .join("\n")

const usages: ReadonlyMap<string, () => string> = new Map([
  ["run", () => usageOf(Run.command)],
  ["shell", () => usageOf(Shell.command)],
  ["serve", () => usageOf(Serve.command)],
  ["ls", () => usageOf(List.command)],
  ["cp", () => usageOf(Copy.command)],
  ["rm", () => usageOf(Remove.command)],
  ["templates", () => usageOf(Templates.command)],
  ["snapshots", () => usageOf(Snapshots.command)],
  ["doctor", () => usageOf(Doctor.command)]
])

/** What is wrong with the arguments has been said already. */
const explainUsage = (args: ReadonlyArray<string>): Effect.Effect<void> => {
  const usage = usages.get(args[0] ?? "")
  return Console.error(
    usage === undefined
      ? "Usage: sandbox COMMAND …\nSee `sandbox --help`."
      : `Usage: sandbox ${usage()}\nSee \`sandbox ${args[0]} --help\`.`
  )
}

/** An expected failure is its message; a mistake in the arguments has been explained already; a defect has its stack. */
const explain = (args: ReadonlyArray<string>) => (cause: Cause.Cause<Failure>): Effect.Effect<void> =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => Cause.isInterruptedOnly(cause) ? Effect.void : Console.error(Cause.pretty(cause)),
    onSome: (error) =>
      ValidationError.isValidationError(error)
        ? explainUsage(args)
        : error._tag === "Exited"
        ? Effect.void
        // It may quote names of files and the last words of a program.
        : Console.error(PlainText.message(error._tag === "CliError" ? error.message : describe(error)))
  })

const statusOfCause = (cause: Cause.Cause<Failure>): number =>
  Option.match(Cause.failureOption(cause), {
    onNone: () => Status.software,
    onSome: (error) =>
      ValidationError.isValidationError(error)
        ? ValidationError.isHelpRequested(error) ? 0 : Status.usage
        : error._tag === "Exited"
        ? error.status
        : error._tag === "CliError"
        ? error.status ?? Status.failed
        : statusOf(error)
  })

/** The parser knows `--name=value` of those options alone that cannot be repeated. */
const apart = (arg: string): ReadonlyArray<string> => {
  const [, name, value] = /^(--(?:allow-network|api-key|env|file))=(.*)$/s.exec(arg) ?? []
  return name === undefined || value === undefined ? [arg] : [name, value]
}

/** The parser would take a lone dash for an option, and `--help` only right after the command. */
const argsFor = (given: ReadonlyArray<string>): ReadonlyArray<string> => {
  const [node = "", program = "", command, ...rest] = given.flatMap(apart).map((arg) =>
    arg === "-" ? Input.STANDARD : arg
  )
  return command === undefined
    ? [node, program]
    : usages.has(command) && rest.some((arg) => arg === "--help" || arg === "-h")
    ? [node, program, command, "--help"]
    : [node, program, command, ...rest]
}

/**
 * Does what the command line says, and ends the process.
 */
export const main = (): void => {
  const args = argsFor(process.argv)
  const isOverview = args.length === 2 || args.length === 3 && (args[2] === "--help" || args[2] === "-h")

  runMain(
    (isOverview ? Output.line("stdout", overview(manifest.version)) : run(args)).pipe(
      Effect.tapErrorCause(explain(args.slice(2))),
      PlainText.unlessTerminal,
      Effect.provide(Layer.merge(NodeContext.layer, config)),
      Logger.withMinimumLogLevel(LogLevel.Warning),
      // Standard output is for what was asked for.
      Effect.provide(Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger)))
    ),
    statusOfCause
  )
}

/**
 * `sandbox run`: runs a file in a sandbox of its own, as if it ran here.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Language } from "../CodeContext.js"
import * as Arguments from "./Arguments.js"
import { CliError, Exited, Status } from "./CliError.js"
import * as Durations from "./Durations.js"
import * as Input from "./Input.js"
import * as Languages from "./Languages.js"
import * as Local from "./Local.js"
import * as Output from "./Output.js"
import { conclude, play } from "./Play.js"
import * as Progress from "./Progress.js"
import * as Target from "./Target.js"
import * as Transfer from "./Transfer.js"

/** Longer than a run without a limit of its own takes, should this program not live to delete its sandbox. */
const LEFT_BEHIND_MS = 24 * 3_600_000

/** The longest that a sandbox may be given. */
const LONGEST_MS = 2_147_483_647

const file = Arguments.text("FILE").pipe(Args.withDescription("The code, or - for standard input"))

const language = Languages.option.pipe(
  Options.withAlias("l"),
  Options.withDescription("The language; by default by the name of the file: .py .js .mjs .cjs .ts .mts .sh .bash"),
  Options.optional
)

const template = Options.text("template").pipe(
  Options.withDescription("The template of the sandbox, such as python-3.11; by default the newest of the language"),
  Options.optional
)

const timeout = Durations.option("timeout").pipe(
  Options.withDescription("Stop the code after this time, as 30s or 5m; by default the template's limit, else 60s"),
  Options.optional
)

const env = Options.text("env").pipe(
  Options.withAlias("e"),
  Options.withPseudoName("NAME=VALUE"),
  Options.withDescription("Set an environment variable; NAME alone passes on the one that is set here. Repeatable"),
  Options.repeated
)

const cwd = Options.text("cwd").pipe(
  Options.withPseudoName("DIR"),
  Options.withDescription("Where the code starts, in the sandbox; by default /workspace"),
  Options.optional
)

const upload = Options.text("file").pipe(
  Options.withAlias("f"),
  Options.withPseudoName("LOCAL[:REMOTE]"),
  Options.withDescription("Copy a file or directory into the sandbox first; by default into /workspace. Repeatable"),
  Options.repeated
)

const result = Options.boolean("result").pipe(
  Options.withDescription("Print the value of the last expression at the end; by default only on a terminal")
)

const usage = (message: string) => new CliError({ message, status: Status.usage })

const languageOf = (path: string): Effect.Effect<Language, CliError> => {
  const found = path === Input.STANDARD ? undefined : Languages.ofFile(path)
  return found !== undefined ? Effect.succeed(found) : usage(
    path === Input.STANDARD
      ? "Standard input has no language: add --language python (or javascript, typescript, bash)."
      : `The name of ${path} does not tell its language: add --language python (or javascript, typescript, bash).`
  )
}

const readCode = (path: string) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const bytes = yield* path === Input.STANDARD
      ? Input.all
      : Effect.mapError(fs.readFile(path), Local.unreadable(path))
    return yield* Effect.try({
      try: () => new TextDecoder("utf-8", { fatal: true }).decode(bytes),
      catch: () => new CliError({ message: `${path} is not text in UTF-8.`, status: Status.noInput })
    })
  })

/**
 * Variables as `--env` takes them.
 */
export const readVariables = (given: ReadonlyArray<string>): Effect.Effect<Record<string, string>, CliError> =>
  Effect.map(
    Effect.forEach(given, (text) => {
      const [name = text, value] = text.includes("=")
        ? [text.slice(0, text.indexOf("=")), text.slice(text.indexOf("=") + 1)]
        : [text, process.env[text]]
      return !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
        ? usage(`--env ${text}: write NAME=VALUE, a name of letters, digits and underscores.`)
        : value === undefined
        ? usage(`--env ${name}: there is no such variable here; write ${name}=VALUE.`)
        : Effect.succeed([name, value] as const)
    }),
    (pairs): Record<string, string> => Object.fromEntries<string>(pairs)
  )

/** A colon can be a part of the name of a file. */
const splitUpload = (text: string) =>
  Effect.map(Local.stat(text), (found): readonly [string, string] => {
    const colon = text.lastIndexOf(":")
    return Option.isSome(found) || colon < 1 ? [text, ""] : [text.slice(0, colon), text.slice(colon + 1)]
  })

/** What a command does without one word: the counting is for copies that somebody waits for. */
const silently = Effect.map(Progress.make, (progress) => ({ ...progress, finished: Effect.void }))

/**
 * The command.
 */
export const command = Command.make(
  "run",
  { file, language, template, timeout, env, cwd, upload, result, server: Target.optionalServer },
  (options) =>
    Effect.gen(function*() {
      const path = options.file
      const language = yield* Option.match(options.language, {
        onNone: () => languageOf(path),
        onSome: Effect.succeed
      })
      const initialEnvVars = yield* readVariables(options.env)
      const uploads = yield* Effect.forEach(options.upload, splitUpload)
      const code = yield* readCode(path)
      const service = yield* Target.open(options.server)
      const sandbox = yield* Target.make(service, {
        templateId: Option.getOrElse(options.template, () => language),
        initialEnvVars,
        expiryTime: LEFT_BEHIND_MS + Math.min(Option.getOrElse(options.timeout, () => 0), LONGEST_MS - LEFT_BEHIND_MS)
      })
      const progress = yield* silently
      yield* Effect.forEach(uploads, ([local, remote]) => Transfer.upload(sandbox, local, remote, progress))
      const context = yield* Effect.transposeOption(
        Option.map(options.cwd, (cwd) => sandbox.createCodeContext({ language, cwd }))
      )
      const events = sandbox.runCodeStream(code, {
        ...Option.match(context, { onNone: () => ({ language }), onSome: ({ id }) => ({ contextId: id }) }),
        ...Option.match(options.timeout, { onNone: () => ({}), onSome: (timeoutMs) => ({ timeoutMs }) })
      })
      const played = yield* play(events).pipe(
        Effect.mapError((error) =>
          error._tag === "TimeoutError" && error.operation === "execution"
            ? new CliError({
              message: `The code ran longer than ${Durations.show(error.timeoutMs)} and was stopped. ` +
                "--timeout sets the limit.",
              status: Status.timeout
            })
            : error
        )
      )
      if (Option.isSome(played.text) && (options.result || Output.isTerminal("stdout"))) {
        yield* Output.line("stdout", played.text.value)
      }
      const status = yield* conclude(played)
      if (status !== 0) {
        return yield* new Exited({ status })
      }
    }).pipe(Effect.scoped)
).pipe(Command.withDescription(
  "Run a file in a new sandbox, its output as it is written; the exit status is that of the code"
))

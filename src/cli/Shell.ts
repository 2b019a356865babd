/**
 * `sandbox shell`: a context of a sandbox at the keyboard.
 */
import * as Args from "@effect/cli/Args"
import * as Command from "@effect/cli/Command"
import * as Options from "@effect/cli/Options"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Arguments from "./Arguments.js"
import { Exited } from "./CliError.js"
import * as Input from "./Input.js"
import * as Languages from "./Languages.js"
import * as Output from "./Output.js"
import { conclude, play } from "./Play.js"
import * as Target from "./Target.js"

const id = Arguments.text("ID").pipe(
  Args.withDescription("A sandbox of the server, which stays; by default a new one, which is deleted at the end"),
  Args.optional
)

const language = Languages.option.pipe(
  Options.withAlias("l"),
  Options.withDescription("What the lines are in; by default bash"),
  Options.withDefault("bash" as const)
)

const template = Options.text("template").pipe(
  Options.withDescription("The template of the new sandbox; by default the newest of the language"),
  Options.optional
)

/**
 * The command.
 */
export const command = Command.make(
  "shell",
  { id, language, template, server: Target.optionalServer },
  (options) =>
    Effect.gen(function*() {
      const { language } = options
      const service = yield* Option.isSome(options.id) ? Target.openServer(options.server) : Target.open(options.server)
      const sandbox = yield* Option.match(options.id, {
        onNone: () =>
          Target.make(service, {
            templateId: Option.getOrElse(options.template, () => language),
            name: "sandbox shell"
          }),
        onSome: (id) => Target.attach(service, id)
      })
      const isTyped = process.stdin.isTTY
      if (isTyped && Output.isTerminal("stdout") && language === "bash") {
        const { terminal } = yield* Effect.promise(() => import("./shell/Terminal.js"))
        yield* Output.line("stderr", `Sandbox ${sandbox.id}, ${language}. Ctrl-D leaves.`)
        return yield* new Exited({ status: yield* terminal(sandbox) })
      }
      const context = yield* Effect.acquireRelease(
        sandbox.createCodeContext({ language }),
        ({ id }) => Effect.ignore(sandbox.deleteCodeContext(id))
      )
      if (!isTyped && language !== "bash") {
        // As the interpreters themselves do with a pipe: all of it is one program.
        const code = new TextDecoder().decode(yield* Input.all)
        const played = yield* play(sandbox.runCodeStream(code, { contextId: context.id, timeoutMs: NO_LIMIT }))
        return yield* new Exited({ status: yield* conclude(played) })
      }
      const [{ session }, Lines] = yield* Effect.promise(() =>
        Promise.all([import("./shell/Session.js"), import("./shell/Lines.js")])
      )
      if (isTyped) {
        yield* Output.line("stderr", `Sandbox ${sandbox.id}, ${language}. Ctrl-D leaves.`)
      }
      const lines = yield* isTyped ? Lines.fromTerminal : Lines.fromPipe
      return yield* new Exited({ status: yield* session(sandbox, context, lines) })
    }).pipe(Effect.scoped)
).pipe(Command.withDescription(
  "A shell in a sandbox, in a terminal of its own, or the prompt of another language; from a pipe, line by line"
))

/** The longest limit there is. */
const NO_LIMIT = 2_147_483_647

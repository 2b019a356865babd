/**
 * A context, line by line.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { CodeContext } from "../../CodeContext.js"
import type { ExecutionError, RequestError } from "../../Errors.js"
import type { Sandbox } from "../../Sandbox.js"
import type { CliError } from "../CliError.js"
import { describe } from "../CliError.js"
import * as Output from "../Output.js"
import { visible } from "../PlainText.js"
import { conclude, exitOf, play, type Played } from "../Play.js"
import * as Bash from "./Bash.js"
import type { Lines } from "./Lines.js"
import * as Open from "./Open.js"

/** Somebody waits, and can press Ctrl-C: the longest limit there is. */
const NO_LIMIT = 2_147_483_647

type Failure = RequestError | ExecutionError | CliError

/** After these the context goes on with a fresh interpreter. */
const survivable = new Set<string>(["kernel_died", "out_of_memory"])

/**
 * Runs lines until they end, or one of them asks to leave. Gives the exit status of the last.
 */
export const session = (sandbox: Sandbox, context: CodeContext, lines: Lines): Effect.Effect<number, Failure> =>
  Effect.gen(function*() {
    const { id: contextId, language } = context
    const isBash = language === "bash"
    let status = 0
    let shell = isBash ? yield* Bash.whereabouts(sandbox, contextId) : Option.none<Bash.Whereabouts>()

    const isOpen = (code: string): Effect.Effect<boolean, RequestError> =>
      isBash
        ? Bash.isOpen(sandbox, code)
        : Effect.succeed(language === "python" ? Open.python(code) : Open.javascript(code))

    const prompts = (): readonly [string, string] =>
      isBash
        ? [Bash.prompt(Option.match(shell, { onNone: () => "", onSome: ({ cwd }) => visible(cwd) })), "> "]
        : language === "python"
        ? [">>> ", "... "]
        : ["> ", "... "]

    const restarts = Effect.map(
      sandbox.listCodeContexts(),
      (contexts) => contexts.find(({ id }) => id === contextId)?.restarts ?? 0
    )

    /** None when Ctrl-C ended it. */
    const run = (code: string): Effect.Effect<Option.Option<Played>, RequestError> =>
      Effect.gen(function*() {
        const interrupted = yield* Deferred.make<void>()
        const events = sandbox.runCodeStream(code, { contextId, timeoutMs: NO_LIMIT })
        return yield* lines.guard(
          Effect.raceFirst(
            Effect.map(play(events), Option.some),
            Effect.as(Deferred.await(interrupted), Option.none<Played>())
          ),
          () => Deferred.unsafeDone(interrupted, Effect.void)
        )
      })

    /** None where the next line is to be read; else the status to leave with. */
    const execute = (code: string): Effect.Effect<Option.Option<number>, Failure> =>
      Effect.gen(function*() {
        const before = lines.isTyped ? yield* restarts : 0
        const outcome = yield* run(isBash ? Bash.withStatus(code, status) : code).pipe(
          Effect.catchIf(
            (error) => lines.isTyped && error._tag === "SandboxError" && survivable.has(error.code),
            (error) => Effect.as(Output.line("stderr", describe(error)), undefined)
          )
        )
        if (outcome === undefined || Option.isNone(outcome)) {
          status = outcome === undefined ? 1 : 130
          if (outcome !== undefined) {
            const isFresh = (yield* restarts) > before
            yield* Output.line("stderr", isFresh ? "^C\nIt had to be killed: all variables are lost." : "^C")
          }
          shell = isBash ? yield* Bash.whereabouts(sandbox, contextId) : shell
          return Option.none()
        }
        const played = outcome.value
        if (lines.isTyped && !played.endsLine) {
          // The prompt would wipe out what stands in its line.
          yield* Output.write("stderr", "\n")
        }
        if (lines.isTyped && !isBash && Option.isSome(played.text)) {
          yield* Output.line("stdout", played.text.value)
        }
        status = yield* conclude(played)
        if (!isBash) {
          return Option.as(Option.flatMap(played.error, exitOf), status)
        }
        const now = yield* Bash.whereabouts(sandbox, contextId)
        const isSame = Option.match(now, {
          onNone: () => false,
          onSome: ({ pid }) => Option.exists(shell, (old) => old.pid === pid)
        })
        shell = now
        return isSame ? Option.none() : Option.some(status)
      })

    let code = ""
    for (;;) {
      const [first, further] = prompts()
      const line = yield* lines.next(code === "" ? first : further)
      if (line._tag === "Interrupt") {
        code = ""
        continue
      }
      if (line._tag === "End") {
        if (lines.isTyped) {
          yield* Output.write("stderr", "\n")
        }
        const left = code.trim() === "" ? Option.none() : yield* execute(code)
        return Option.getOrElse(left, () => status)
      }
      code = code === "" ? line.text : `${code}\n${line.text}`
      if (code.trim() === "") {
        code = ""
        continue
      }
      if (yield* isOpen(code)) {
        continue
      }
      const left = yield* execute(code)
      code = ""
      if (Option.isSome(left)) {
        return left.value
      }
    }
  })

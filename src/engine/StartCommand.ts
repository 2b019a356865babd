/**
 * The command that a template runs in the background of each sandbox, from its start to its end.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { StartCommandInfo } from "../SandboxInfo.js"
import { WORKSPACE } from "./Environment.js"
import type { Executions } from "./Executions.js"
import type { LiveSandbox } from "./LiveSandbox.js"

/** How much of the end of its output is kept, in characters. */
const TAIL = 4_096

/** The longest that a timer takes; the sandbox ends before. */
const NO_TIMEOUT = 2_147_483_647

/**
 * What to start, and where.
 */
export interface StartOptions {
  readonly command: string
  readonly userId: string
  readonly sandboxId: string
  readonly live: LiveSandbox
  readonly executions: Executions
}

/**
 * Starts it. It is an execution of the sandbox like others. What is given tells how it is doing.
 */
export const start = (
  { command, executions, live, sandboxId, userId }: StartOptions
): Effect.Effect<() => StartCommandInfo> =>
  Effect.gen(function*() {
    let output = ""
    let info: Omit<StartCommandInfo, "output"> = { status: "running" }

    const ended = (result: Omit<StartCommandInfo, "output">) =>
      Effect.suspend(() => {
        info = result
        return result.status === "failed"
          ? Effect.logWarning("The start command of a sandbox has failed").pipe(
            Effect.annotateLogs({ sandboxId, exitCode: result.exitCode, error: result.error })
          )
          : Effect.void
      })

    const run = Effect.scoped(
      Effect.flatMap(
        executions.run({ userId, sandboxId, kind: "terminal" }, (journal) =>
          live.runCommand(
            { command, cwd: WORKSPACE, env: {}, merge: true },
            { timeoutMs: NO_TIMEOUT, maxOutputSize: Infinity },
            journal
          )),
        ({ stream }) =>
          Stream.runForEach(stream, (event) => {
            switch (event._tag) {
              case "Stdout":
              case "Stderr":
                return Effect.sync(() => {
                  output = (output + event.text).slice(-TAIL)
                })
              case "Ended":
                return ended({ status: event.exitCode === 0 ? "ended" : "failed", exitCode: event.exitCode })
              default:
                return Effect.void
            }
          })
      )
    ).pipe(
      // What ends with its sandbox has not failed: there is nobody left to ask.
      Effect.catchAll((error) =>
        error._tag === "SandboxError" && error.code === "terminated"
          ? Effect.void
          : ended({ status: "failed", error: error.message })
      )
    )
    // Not in a scope: it ends with the agent, and would be interrupted, politely and slowly, before that otherwise.
    yield* Effect.forkDaemon(Effect.interruptible(run))
    return () => ({ ...info, output })
  })

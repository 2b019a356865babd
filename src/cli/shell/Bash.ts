/**
 * What a bash context needs to be asked to look like a shell.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ExecutionError, RequestError } from "../../Errors.js"
import type { Sandbox } from "../../Sandbox.js"
import * as Open from "./Open.js"

/**
 * Where a shell is: which process it is, and in which directory.
 */
export interface Whereabouts {
  readonly pid: string
  readonly cwd: string
}

/** A variable is no longer than this (execve(2)); longer code is taken as whole. */
const MAX_VARIABLE = 131_000

/**
 * Asks the shell itself. None when it has ended just now, and the next command would get a fresh one.
 */
export const whereabouts = (
  sandbox: Sandbox,
  contextId: string
): Effect.Effect<Option.Option<Whereabouts>, RequestError | ExecutionError> =>
  sandbox.runCode("printf '%s %s' \"$$\" \"$PWD\"", { contextId }).pipe(
    Effect.map(({ execution }) => {
      const [, pid, cwd] = /^(\d+) (.*)$/s.exec(execution.logs.stdout.join("")) ?? []
      return pid === undefined || cwd === undefined ? Option.none() : Option.some({ pid, cwd })
    }),
    Effect.catchIf(
      (error) => error._tag === "SandboxError" && error.code === "context_not_found",
      () => Effect.succeedNone
    )
  )

/**
 * Whether a command goes on in the next line. Bash is asked where that is not plain to see.
 */
export const isOpen = (sandbox: Sandbox, code: string): Effect.Effect<boolean, RequestError> =>
  Open.isPlainBash(code) || Buffer.byteLength(code) > MAX_VARIABLE
    ? Effect.succeed(false)
    : Effect.map(
      sandbox.runTerminal(Open.BASH_CHECK, { envs: { CODE: code } }),
      (said) => Open.isOpenBash(code, said)
    )

/**
 * The code with the exit status of the command before it, where it asks for that: the context does not keep it.
 */
export const withStatus = (code: string, status: number): string =>
  status !== 0 && code.includes("$?") ? `(exit ${status}); ${code}` : code

/**
 * The prompt.
 */
export const prompt = (cwd: string): string => `sandbox:${cwd.replace(/^\/workspace(?=\/|$)/, "~")}$ `

/**
 * Ending the process ends the run, not the interpreter and its state.
 */

/**
 * Thrown where code calls `process.exit`.
 */
export class ProcessExit extends Error {
  override readonly name = "ProcessExit"

  constructor(code: unknown) {
    super(
      `process.exit(${code === undefined ? "" : String(code)}) was called: it ended this run, variables are kept`
    )
  }
}

/**
 * Replaces `process.exit`.
 */
export const installProcessExit = (): void => {
  const replacement = (code?: unknown): never => {
    throw new ProcessExit(code ?? process.exitCode)
  }
  process.exit = replacement
  Reflect.set(process, "reallyExit", replacement)
}

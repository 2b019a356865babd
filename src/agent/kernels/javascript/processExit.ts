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
 * Replaces `process.exit` and gives the real one.
 */
export const installProcessExit = (): (code: number) => never => {
  const reallyExit: unknown = Reflect.get(process, "reallyExit")
  const exit = (code: number): never => {
    if (typeof reallyExit === "function") {
      Reflect.apply(reallyExit, process, [code])
    }
    return process.abort()
  }
  const replacement = (code?: unknown): never => {
    throw new ProcessExit(code ?? process.exitCode)
  }
  process.exit = replacement
  Reflect.set(process, "reallyExit", replacement)
  return exit
}

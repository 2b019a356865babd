/**
 * Errors of the operating system, as Node throws them.
 */

/** The name of an error (`ENOENT`), if it is one of the operating system. */
export const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined

/** What it says, without the call and the path, which may be names that only the agent knows. */
export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message.replace(/^[A-Z0-9]+: /, "").replace(/, \w+( .*)?$/s, "") : String(error)

/**
 * An error that no call gave.
 */
export class Errno extends Error {
  constructor(readonly code: string) {
    super(code)
  }
}

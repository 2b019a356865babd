/**
 * The standard input of a process: bytes on their way to it, no more at a time than it has been given credit for.
 */
import * as Effect from "effect/Effect"
import { SandboxError } from "../Errors.js"
import { STDIN_WINDOW } from "./Protocol.js"

const CHUNK_BYTES = 64 * 1024

/**
 * The input of one process.
 */
export interface Stdin {
  /**
   * Passes bytes on, whole calls one after the other. Succeeds when the program's pipe has taken all of them. Fails with
   * `stdin_closed` when nobody will read them. Interrupted, it sends no more; what was on its way arrives.
   */
  readonly write: (bytes: Uint8Array) => Effect.Effect<void, SandboxError>
  /** Says that there is no more, once all before has been taken. It does nothing the second time. */
  readonly close: Effect.Effect<void>
}

/**
 * The same with what the connection hears of it.
 */
export interface StdinPort {
  readonly stdin: Stdin
  /** So many bytes have been taken; false when there were not that many. */
  readonly taken: (bytes: number) => boolean
  /** Nothing is taken any more: whoever waits, and whoever comes later, fails with this. It is made where somebody does. */
  readonly end: (error: () => SandboxError) => void
}

/**
 * That a process does not read its input any more.
 */
export const stdinClosed = (sandboxId: string, reason: string): SandboxError =>
  new SandboxError({ code: "stdin_closed", sandboxId, message: `The input of the process is closed: ${reason}.` })

/**
 * Makes one.
 *
 * @param sandboxId whose process it is, for errors.
 * @param send passes on some bytes, or (without any) that there are no more.
 */
export const makeStdin = (sandboxId: string, send: (bytes: Uint8Array | undefined) => void): StdinPort => {
  const turn = Effect.unsafeMakeSemaphore(1)
  let sent = 0
  let taken = 0
  let failure: (() => SandboxError) | undefined
  let closing = false
  // There is one writer at a time, so at most one that waits.
  let wake: (() => void) | undefined

  const notify = (): void => {
    const waiting = wake
    wake = undefined
    waiting?.()
  }

  // What is looked at and who is woken up are one step: in between, this fiber could give way to the one that takes.
  const until = (condition: () => boolean): Effect.Effect<void, SandboxError> =>
    Effect.async((resume) => {
      const look = (): void => {
        // What was taken just before the end has been taken.
        if (condition()) resume(Effect.void)
        else if (failure !== undefined) resume(failure())
        else wake = look
      }
      look()
      return Effect.sync(() => {
        wake = undefined
      })
    })

  const pass = Effect.fnUntraced(function*(bytes: Uint8Array) {
    if (failure !== undefined) return yield* failure()
    if (closing) return yield* stdinClosed(sandboxId, "closeStdin was called")
    let rest = bytes
    while (rest.length > 0) {
      yield* until(() => sent - taken < STDIN_WINDOW)
      const size = Math.min(CHUNK_BYTES, STDIN_WINDOW - (sent - taken))
      const piece = rest.subarray(0, size)
      rest = rest.subarray(size)
      sent += piece.length
      send(piece)
    }
    const end = sent
    yield* until(() => taken >= end)
  })

  return {
    stdin: {
      write: (bytes) => turn.withPermits(1)(pass(bytes)),
      close: turn.withPermits(1)(Effect.sync(() => {
        if (!closing && failure === undefined) {
          closing = true
          send(undefined)
        }
      }))
    },
    taken: (bytes) => {
      taken += bytes
      notify()
      return taken <= sent
    },
    end: (error) => {
      failure ??= error
      notify()
    }
  }
}

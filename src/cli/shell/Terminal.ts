/**
 * A shell in a terminal of its own inside a sandbox, at the terminal that this program has.
 */
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RequestError } from "../../Errors.js"
import type { TerminalSize } from "../../Process.js"
import type { Sandbox } from "../../Sandbox.js"
import { play } from "../Play.js"

const PROMPT = "sandbox:\\w$ "

/** A terminal that does not know its size has 0 of both. */
const sizeHere = (): TerminalSize => ({
  cols: process.stdout.columns > 0 ? process.stdout.columns : 80,
  rows: process.stdout.rows > 0 ? process.stdout.rows : 24
})

/**
 * What is typed, unchanged, Ctrl+C among it, until the scope closes; more is read once `write` has dealt with it. Not by
 * the iterator of standard input, which cannot be left while it waits for a key.
 */
const forEachKey = <E, R>(write: (keys: Uint8Array) => Effect.Effect<void, E, R>) =>
  Effect.gen(function*() {
    const queue = yield* Queue.unbounded<Uint8Array>()
    const onData = (keys: Uint8Array) => {
      process.stdin.pause()
      Queue.unsafeOffer(queue, keys)
    }
    yield* Effect.acquireRelease(
      Effect.sync(() => {
        process.stdin.setRawMode(true)
        process.stdin.on("data", onData)
      }),
      () =>
        Effect.sync(() => {
          process.stdin.off("data", onData)
          process.stdin.setRawMode(false)
          process.stdin.pause()
        })
    )
    const next = Effect.zipRight(Effect.flatMap(Queue.take(queue), write), Effect.sync(() => process.stdin.resume()))
    return yield* Effect.forever(next)
  })

/** The sizes that the terminal gets. */
const sizes = Effect.gen(function*() {
  const queue = yield* Queue.sliding<TerminalSize>(1)
  const onResize = () => void Queue.unsafeOffer(queue, sizeHere())
  yield* Effect.acquireRelease(
    Effect.sync(() => process.stdout.on("resize", onResize)),
    () => Effect.sync(() => process.stdout.off("resize", onResize))
  )
  return Stream.fromQueue(queue)
})

/**
 * Runs bash until it ends. Gives its exit status.
 */
export const terminal = (sandbox: Sandbox): Effect.Effect<number, RequestError, Scope.Scope> =>
  Effect.gen(function*() {
    const { executionId } = yield* Effect.acquireRelease(
      sandbox.startProcess({
        args: ["bash", "-i"],
        envs: { PS1: PROMPT, TERM: process.env.TERM ?? "xterm-256color" },
        pty: sizeHere(),
        tag: "sandbox shell"
      }),
      (shell) => Effect.ignore(sandbox.cancelExecution(shell.executionId))
    )
    // What comes after the shell has ended is for nobody.
    yield* Effect.forkScoped(Effect.ignore(forEachKey((keys) => sandbox.writeStdin(executionId, keys))))
    yield* Effect.forkScoped(
      Effect.ignore(Stream.runForEach(yield* sizes, (size) => sandbox.resizeTerminal(executionId, size)))
    )
    const { exitCode } = yield* play(sandbox.attach(executionId))
    return exitCode
  })

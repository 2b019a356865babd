/**
 * Runs the program: signals, broken pipes, the exit status.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import { Status } from "./CliError.js"
import * as Output from "./Output.js"
import * as Signals from "./Signals.js"

/** A timer keeps the process alive while the program waits for nothing that Node knows of. */
const LONG = 2_147_483_647

/**
 * Runs the program and ends the process: with 0, with `statusOf` its failure, or with what stands for the signal that
 * ended it. Everything the program had open is closed before, except at a second signal, which does not wait.
 */
export const runMain = <E>(program: Effect.Effect<void, E>, statusOf: (cause: Cause.Cause<E>) => number): void => {
  let interruptedWith: number | undefined
  const keepAlive = setInterval(() => {}, LONG)
  const fiber = Effect.runFork(program)

  const interrupt = (status: number) => {
    if (interruptedWith === undefined) {
      interruptedWith = status
      fiber.unsafeInterruptAsFork(FiberId.none)
    }
  }

  for (const signal of Signals.signals) {
    process.on(signal, () => {
      if (interruptedWith !== undefined) {
        process.exit(Signals.statusOf(signal))
      }
      if (!Signals.offer(signal)) {
        interrupt(Signals.statusOf(signal))
      }
    })
  }

  for (const stream of [process.stdout, process.stderr]) {
    stream.on("error", () => interrupt(Status.brokenPipe))
  }

  fiber.addObserver((exit) => {
    clearInterval(keepAlive)
    const status = Exit.match(exit, {
      onSuccess: () => interruptedWith ?? 0,
      onFailure: (cause) => Cause.isInterruptedOnly(cause) ? interruptedWith ?? Status.software : statusOf(cause)
    })
    Output.flush(() => process.exit(status))
  })
}

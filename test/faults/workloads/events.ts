/**
 * Lets a witness see what happens in a run.
 */
import { Effect, Stream } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { Execution, ExecutionEvent } from "../../../src/Execution.js"
import type { Result } from "../../../src/Result.js"
import type { Witness } from "../Witness.js"

const bytesOf = (event: { readonly text: string; readonly base64?: string | undefined }): Buffer =>
  event.base64 === undefined ? Buffer.from(event.text) : Buffer.from(event.base64, "base64")

const seeResult = (witness: Witness, result: Result): void => witness.see("results", `${result.text ?? ""}\n`)

const see = (witness: Witness) => (event: ExecutionEvent): void => {
  witness.number(event.seq)
  switch (event._tag) {
    case "Stdout":
      return witness.see("stdout", bytesOf(event))
    case "Stderr":
      return witness.see("stderr", bytesOf(event))
    case "Result":
      return seeResult(witness, event.result)
    case "Error":
      return witness.see("error", `${event.error.name}\n`)
    case "Ended":
      return witness.see(
        "end",
        `${event.exitCode ?? "over"}${event.dropped === undefined ? "" : " something dropped"}\n`
      )
    case "Started":
    case "ExecutionCount":
      return
  }
}

/** A stream of events. */
export const seeEvents = <E>(witness: Witness, events: Stream.Stream<ExecutionEvent, E>): Effect.Effect<void, E> =>
  Stream.runForEach(events, (event) => Effect.sync(() => see(witness)(event)))

/** What a call gave at its end, or had to show for when it failed. */
export const seeExecution = (witness: Witness, execution: Execution): void => {
  witness.see("stdout", execution.logs.stdout.join(""))
  witness.see("stderr", execution.logs.stderr.join(""))
  execution.results.forEach((result) => seeResult(witness, result))
}

/** Looks at what an error has to show, too. */
export const orSeeError = <A, E extends AnySandboxSDKError>(witness: Witness, effect: Effect.Effect<A, E>) =>
  Effect.tapError(effect, (error) =>
    Effect.sync(() => {
      if ("execution" in error && error.execution !== undefined) seeExecution(witness, error.execution)
    }))

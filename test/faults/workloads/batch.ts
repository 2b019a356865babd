/**
 * Batches.
 */
import { Effect, Stream } from "effect"
import type { BatchExecutionJob, BatchExecutionResult } from "../../../src/Batch.js"
import type { Channels, Witness } from "../Witness.js"
import { program, type Shape, shown, stderrOf, stdoutOf } from "./programs.js"
import type { Workload } from "./Workload.js"

const JOBS = ["a", "b", "c"]

/** Each job has a mark of its own, and the batch as a whole has one, in the first of them. */
const jobs = (counter: string, mark: string, shape: Shape): ReadonlyArray<BatchExecutionJob> =>
  JOBS.map((id) => ({
    id,
    language: "python",
    code: program.python(counter, id === JOBS[0] ? mark : `${mark}~${id}`, shape)
  }))

const saidAtTheEnd = (shape: Shape): Channels =>
  Object.fromEntries(JOBS.flatMap((id): ReadonlyArray<readonly [string, Buffer]> => [
    [`${id} out`, Buffer.from(stdoutOf(shape))],
    [`${id} err`, Buffer.from(stderrOf)],
    [`${id} value`, Buffer.from(`${shown.python} true\n`)]
  ]))

const saidOnTheWay = (shape: Shape): Channels =>
  Object.fromEntries(JOBS.flatMap((id): ReadonlyArray<readonly [string, Buffer]> => [
    [`${id} stdout`, Buffer.from(stdoutOf(shape))],
    [`${id} stderr`, Buffer.from(stderrOf)]
  ]))

const seeResult = (witness: Witness, { execution, jobId, success }: BatchExecutionResult): void => {
  // A part of it would be the output of a job that failed, which is another matter.
  witness.see(`${jobId} out`, execution?.logs.stdout.join("") ?? "")
  witness.see(`${jobId} err`, execution?.logs.stderr.join("") ?? "")
  if (success) witness.see(`${jobId} value`, `${execution?.text ?? ""} ${success}\n`)
}

/** As a stream. */
export const streamed = (name: string, shape: Shape): Workload => ({
  name,
  isCounted: true,
  said: () => ({ ...saidOnTheWay(shape), ...saidAtTheEnd(shape), end: Buffer.from("3 0\n") }),
  run: ({ counter, sandboxId, sdk }, mark, witness) =>
    Stream.runForEach(sdk.executeBatchStream(sandboxId, jobs(counter, mark, shape)), (event) =>
      Effect.sync(() => {
        witness.number(event.seq)
        if (event._tag === "JobOutput") {
          witness.see(`${event.jobId} ${event.message.error ? "stderr" : "stdout"}`, event.message.line)
        } else if (event._tag === "JobEnded") {
          seeResult(witness, event.result)
        } else if (event._tag === "BatchEnded") {
          witness.see("end", `${event.succeeded} ${event.failed}\n`)
        }
      }))
})

/** As a call. */
export const called = (name: string, shape: Shape): Workload => ({
  name,
  isCounted: true,
  said: () => saidAtTheEnd(shape),
  run: ({ counter, sandboxId, sdk }, mark, witness) =>
    Effect.map(
      sdk.executeBatch(sandboxId, jobs(counter, mark, shape)),
      (results) => results.forEach((result) => seeResult(witness, result))
    )
})

// Many pieces of code in one call: by priority, several at a time, and a failure is a result like any other.
import { Console, Effect, Stream } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const jobs = [
  { id: "sum", code: "sum(range(101))" },
  { id: "broken", code: "[][0]" },
  { id: "urgent", code: "'first of all'", priority: 10 },
  { id: "endless", code: "while True: pass", timeout: 300 },
  { id: "script", code: "[1, 2, 3].map((n) => n * n)", language: "javascript" as const }
]

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python" })

  // One at a time, so that the order by priority can be seen as it happens.
  yield* sandbox.executeBatchStream(jobs).pipe(
    Stream.runForEach((event) =>
      event._tag === "JobStarted"
        ? Console.log(`started ${event.jobId}`)
        : event._tag === "BatchEnded"
        ? Console.log(`${event.succeeded} succeeded, ${event.failed} failed`)
        : Effect.void
    )
  )

  // Two at a time, each job in a context of its own; the results stand in the order of the jobs.
  const results = yield* sandbox.executeBatch(jobs, { concurrency: 2 })
  for (const { error, execution, jobId, success } of results) {
    yield* Console.log(`${jobId}: ${success ? execution?.text : error?._tag}`)
  }
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))

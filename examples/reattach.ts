// A run that goes on when its reader leaves: found again by another, followed by two at once, and stopped.
import { Chunk, Console, Effect, Fiber, Stream } from "effect"
import { type ExecutionEvent, Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const code = `
import time
for n in range(6):
    print("step", n)
    time.sleep(0.1)
`

const linesOf = (events: Iterable<ExecutionEvent>) =>
  [...events].flatMap((event) => event._tag === "Stdout" ? [event.text] : []).join("").trimEnd().split("\n")

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python" })

  // Leaving a stream stops what it runs; this one goes on.
  const seen = yield* sandbox.runCodeStream(code, { detached: true }).pipe(
    Stream.takeUntil((event) => event._tag === "Stdout"),
    Stream.runCollect
  )
  yield* Console.log(`left after: ${linesOf(seen)[0]}`)

  // Whoever comes later, perhaps in another program: what runs in this sandbox?
  const running = (yield* sandbox.listExecutions()).find(({ status }) => status === "running")
  if (running === undefined) return yield* Effect.dieMessage("Nothing runs any more.")
  yield* Console.log(`still there: ${running.kind}, ${running.status}`)

  // One reader goes on where the first one left, another has it all from the beginning.
  const whole = yield* Effect.fork(Stream.runCollect(sandbox.attach(running.id)))
  const rest = yield* Stream.runCollect(sandbox.attach(running.id, { after: Chunk.size(seen) - 1 }))
  yield* Console.log(`from there on, to the end: ${linesOf(rest).at(-1)}`)
  yield* Console.log(`from the beginning: ${linesOf(yield* Fiber.join(whole)).length} steps`)

  // A run that would never end, stopped from outside; its readers are told.
  const endless = yield* Effect.fork(Effect.flip(sandbox.runCode("while True: pass")))
  yield* sandbox.listExecutions().pipe(
    Effect.repeat({ until: (all) => all.some(({ status }) => status === "running") }),
    Effect.flatMap(Effect.forEach(({ id }) => sandbox.cancelExecution(id)))
  )
  const error = yield* Fiber.join(endless)
  yield* Console.log(`stopped: ${error._tag === "SandboxError" ? error.code : error._tag}`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))

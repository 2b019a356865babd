// A program that goes on by itself: written to, read again from the beginning, in a terminal, and paused with its sandbox.
import { Console, Effect, Stream } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "bash" })
  const textOf = (executionId: string) =>
    Stream.runFold(sandbox.attach(executionId), "", (text, event) => event._tag === "Stdout" ? text + event.text : text)

  const sort = yield* sandbox.startProcess({ args: ["sort", "--numeric-sort"], stdin: true, tag: "sorter" })
  yield* Console.log(`runs: ${(yield* sandbox.listProcesses()).map(({ tag }) => tag).join(", ")}`)
  yield* sandbox.writeStdin(sort.executionId, "10\n9\n1\n")
  yield* sandbox.closeStdin(sort.executionId)
  yield* Console.log(`sorted: ${(yield* textOf(sort.executionId)).trimEnd().split("\n").join(" ")}`)

  const shell = yield* sandbox.startProcess({ args: ["bash", "--norc", "-i"], pty: { cols: 100, rows: 30 } })
  yield* sandbox.writeStdin(shell.executionId, "stty size\r")
  yield* sandbox.resizeTerminal(shell.executionId, { cols: 132, rows: 43 })

  const { status } = yield* sandbox.pauseSandbox()
  yield* Console.log(`all of it stands still: ${status}`)
  yield* sandbox.resumeSandbox()

  yield* sandbox.writeStdin(shell.executionId, "stty size; exit\r")
  const shown = yield* textOf(shell.executionId)
  yield* Console.log(`the terminal: ${shown.match(/^\d+ \d+(?=\r)/gm)?.at(-1)}`)
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))

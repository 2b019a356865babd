// Files go in, code works on them, files come out.
import { Console, Effect } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "python" })

  yield* sandbox.writeFiles([
    { path: "input/numbers.csv", content: "n\n1\n2\n3\n" },
    { path: "input/more/numbers.csv", content: "n\n4\n" }
  ])
  yield* sandbox.runCode(`
import csv
with open("input/numbers.csv") as file:
    total = sum(int(row["n"]) for row in csv.DictReader(file))
with open("total.txt", "w") as file:
    file.write(str(total))
`)
  yield* Console.log(`total: ${yield* sandbox.readFile("total.txt")}`)

  const { directory, files } = yield* sandbox.listFiles()
  for (const file of files) {
    yield* Console.log(`${file.isDirectory ? "d" : "-"} ${directory}/${file.name}`)
  }

  yield* sandbox.deleteFile("input")
  yield* sandbox.readFile("input/numbers.csv").pipe(
    Effect.catchTag("SandboxError", (error) => Console.log(`gone: ${error.code}`))
  )
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))

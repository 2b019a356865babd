// Shell commands: the output as text, or as it happens with the exit status at the end.
import { Console, Effect, Stream } from "effect"
import { Sandbox } from "sandbox-sdk"
import { layerLocal } from "sandbox-sdk/local"

const program = Effect.gen(function*() {
  const sandbox = yield* Sandbox.make({ templateId: "bash" })

  const listing = yield* sandbox.runTerminal("mkdir -p src && touch src/a src/b && ls -1 src", { timeoutMs: 5000 })
  yield* Console.log(`files: ${listing.trimEnd().split("\n").join(", ")}`)

  yield* sandbox.runTerminalStream("echo building; sleep 0.2; echo broken >&2; exit 2").pipe(
    Stream.runForEach((event) =>
      event._tag === "Ended"
        ? Console.log(`exit status ${event.exitCode}`)
        : event._tag === "Started"
        ? Effect.void
        : Console.log(`${event._tag}: ${event.text.trimEnd()}`)
    )
  )
})

await Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))

/**
 * `npm run faults`: see `command.ts`, which is run as one file, as the engine is made of texts that only a build has.
 */
import { Effect } from "effect"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { command, programs } from "./Bundles.js"

const main = Effect.scoped(Effect.gen(function*() {
  const program = yield* command
  const given = JSON.stringify(yield* programs)
  return yield* Effect.promise(async () => {
    const child = spawn(process.execPath, [program, given, ...process.argv.slice(2)], { stdio: "inherit" })
    // A terminal tells both; the child ends what it has started, and then this does.
    process.on("SIGINT", () => {})
    process.on("SIGTERM", () => child.kill("SIGTERM"))
    await once(child, "exit")
    return child.exitCode ?? 70
  })
}))

process.exitCode = await Effect.runPromise(main)

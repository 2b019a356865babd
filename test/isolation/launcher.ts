/**
 * An engine's isolation in a program of its own, so that tests can start it as another user, with open descriptors, in a
 * worker thread, and kill it.
 */
import { Effect } from "effect"
import * as Path from "node:path"
import { isMainThread, Worker } from "node:worker_threads"
import * as Bubblewrap from "../../src/isolation/Bubblewrap.js"
import { doctor } from "../../src/isolation/Doctor.js"
import { Isolation } from "../../src/isolation/Isolation.js"
import * as None from "../../src/isolation/None.js"

const [scenario = "", folder = ""] = process.argv.slice(2)

const say = (value: unknown) => Effect.sync(() => console.log(JSON.stringify(value)))

/** Starts the agent of the folder and gives it with what it says first. */
const launched = Effect.gen(function*() {
  const isolation = yield* Isolation
  const workspace = Path.join(folder, `workspace-${process.pid}`)
  yield* isolation.makeWorkspace(workspace)
  const agent = yield* isolation.launch({
    sandboxId: "launched",
    workspace,
    agentDirectory: Path.join(folder, "agent"),
    resources: { memoryMb: 128, cpus: 1, processes: 40, tmpMb: 16, openFiles: 256, fileSizeMb: 16 }
  })
  const said = yield* Effect.async<unknown>((resume) => {
    agent.stream.once("data", (chunk: Buffer) => resume(Effect.succeed(JSON.parse(chunk.toString("utf8")))))
    agent.stream.once(
      "close",
      () => resume(Effect.flatMap(agent.diagnostics, (said) => Effect.die(new Error(`the agent ended: ${said}`))))
    )
  })
  return { agent, said }
})

const start = Effect.map(launched, ({ said }) => said)

/** The same, and stops all of it where it is. */
const freeze = Effect.flatMap(launched, ({ agent, said }) => Effect.as(agent.freezing.freeze, said))

const scenarios: Record<string, Effect.Effect<void, unknown>> = {
  /** Tells what holds. */
  doctor: doctor.pipe(Effect.flatMap(say), Effect.provide(Bubblewrap.layer())),
  /** Tells what the agent says, and goes on until it is killed. */
  hold: start.pipe(
    Effect.flatMap(say),
    Effect.zipRight(Effect.never),
    Effect.scoped,
    Effect.provide(Bubblewrap.layer())
  ),
  /** Tells what the agent says, and ends in order. */
  once: start.pipe(Effect.flatMap(say), Effect.scoped, Effect.provide(Bubblewrap.layer())),
  none: start.pipe(Effect.flatMap(say), Effect.scoped, Effect.provide(None.layer)),
  holdFrozen: freeze.pipe(
    Effect.flatMap(say),
    Effect.zipRight(Effect.never),
    Effect.scoped,
    Effect.provide(Bubblewrap.layer())
  ),
  noneHold: start.pipe(Effect.flatMap(say), Effect.zipRight(Effect.never), Effect.scoped, Effect.provide(None.layer)),
  /** Tries from a thread that is not the main one. */
  worker: isMainThread
    ? Effect.sync(() => void new Worker(process.argv[1] ?? "", { argv: [scenario, folder] }))
    : Effect.flip(start).pipe(Effect.flatMap(say), Effect.scoped, Effect.provide(Bubblewrap.layer()))
}

Effect.runPromise(scenarios[scenario] ?? Effect.die(`no scenario ${scenario}`)).catch((error: unknown) => {
  console.error(error)
  process.exit(1)
})

/**
 * Sandboxes that are stopped where they are, by the kernel's freezer and by signals.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Option, Scope, TestClock } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Bubblewrap from "../../src/isolation/Bubblewrap.js"
import * as Cgroup from "../../src/isolation/Cgroup.js"
import type { Freezing } from "../../src/isolation/Freezing.js"
import { belowAgent, bySignals } from "../../src/isolation/Freezing.js"
import * as None from "../../src/isolation/None.js"
import * as ProcessTree from "../../src/isolation/ProcessTree.js"
import { eventually, isAlive, makeSandbox, processesIn, type Sandbox } from "./support.js"

/** Appends to a file for as long as it runs, from several processes that always start new ones. */
const BUSY = `
import subprocess
script = "while :; do echo x >> beats; sleep 0.002; done"
children = [subprocess.Popen(["sh", "-c", script], start_new_session=True) for _ in range(3)]
`

const beats = ({ workspace }: Sandbox) => () => {
  try {
    return Fs.statSync(Path.join(workspace, "beats")).size
  } catch {
    return 0
  }
}

/** All of a sandbox on this host, its first process first. */
const rootOf = (sandbox: Sandbox) =>
  Effect.map(
    sandbox.evaluate("os.readlink('/proc/self/ns/pid')"),
    (namespace) => Number(processesIn(String(namespace))[0])
  )

const stands = Effect.fnUntraced(function*(sandbox: Sandbox, freezing: Freezing) {
  const count = beats(sandbox)
  yield* sandbox.evaluate("1", BUSY)
  yield* eventually(() => count() > 10)
  yield* freezing.freeze
  const before = count()
  yield* Effect.sleep(300)
  expect(count()).toBe(before)
  yield* freezing.thaw
  yield* eventually(() => count() > before)
  expect(yield* sandbox.evaluate("[child.poll() for child in children]")).toEqual([null, null, null])
})

const layers = { Bubblewrap: Bubblewrap.layer(), None: None.layer }

for (const [name, isolation] of Object.entries(layers)) {
  describe(`a sandbox of ${name} that is frozen`, () => {
    it.scopedLive("does nothing until it is thawed, and then goes on", () =>
      Effect.gen(function*() {
        const sandbox = yield* makeSandbox()
        yield* stands(sandbox, sandbox.freezing)
        yield* stands(sandbox, sandbox.freezing)
      }).pipe(Effect.provide(isolation)))

    it.live("is gone when its scope closes", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const sandbox = yield* Scope.extend(makeSandbox(), scope)
        const namespace = String(yield* sandbox.evaluate("os.readlink('/proc/self/ns/pid')"))
        const pids = yield* sandbox.evaluate("[child.pid for child in children]", BUSY)
        yield* sandbox.freezing.freeze
        yield* Scope.close(scope, Exit.void)
        if (name === "Bubblewrap") expect(processesIn(namespace)).toEqual([])
        else for (const pid of Array.isArray(pids) ? pids : []) expect(isAlive(String(pid))).toBe(false)
      }).pipe(Effect.provide(isolation)))
  })
}

describe("freezing by signals", () => {
  it.scopedLive("holds a whole sandbox, and leaves it running when it is thawed", () =>
    Effect.gen(function*() {
      const sandbox = yield* makeSandbox()
      const freezing = bySignals(ProcessTree.look(yield* rootOf(sandbox)))
      yield* stands(sandbox, freezing)
    }).pipe(Effect.provide(layers.Bubblewrap)))

  it.scopedLive("is not seen by a shell that waits for its job, and what was stopped before stays stopped", () =>
    Effect.gen(function*() {
      const shell = yield* Effect.acquireRelease(
        Effect.sync(() => {
          const child = spawn("python3", ["-c", "import pty; pty.spawn(['bash', '--norc', '-i'])"], {
            stdio: ["pipe", "pipe", "ignore"],
            detached: true
          })
          let text = ""
          child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString("utf8")))
          return { child, pid: child.pid ?? 0, text: () => text }
        }),
        ({ pid }) => ProcessTree.killAll(Effect.map(ProcessTree.family(pid), (all) => all.map((one) => one.pid)))
      )
      shell.child.stdin.write("sleep 1001 & kill -STOP $!; sleep 2; echo status=$? stopped=$(jobs -s | wc -l)\n")
      const states = Effect.map(ProcessTree.family(shell.pid), (all) => all.map(({ state }) => state === "T"))
      yield* Effect.repeat(states, {
        until: (all) => all.length === 4 && all.filter((stopped) => stopped).length === 1
      })
      const freezing = bySignals(ProcessTree.look(shell.pid))
      yield* freezing.freeze
      expect(yield* states).toEqual([true, true, true, true])
      yield* freezing.thaw
      yield* eventually(() => /status=\d+ stopped=\d+/.test(shell.text()))
      expect(shell.text()).toContain("status=0 stopped=1")
    }))

  it.effect("gives up after ten seconds where each look takes long and none of them is whole", () =>
    Effect.gen(function*() {
      const freezing = bySignals(Effect.delay(Effect.succeed({ entries: [], isWhole: false }), "600 millis"))
      const paused = yield* Effect.fork(Effect.flip(freezing.freeze))
      // The last look may have begun a moment before, and what was stopped is looked for once more.
      yield* TestClock.adjust("12 seconds")
      expect(yield* Fiber.poll(paused)).toMatchObject(Option.some(Exit.succeed({ code: "isolation_unavailable" })))
    }))
})

describe("freezing all but the agent", () => {
  it.scopedLive("leaves out what the shell that is the first process has started, which would be woken by it", () =>
    Effect.gen(function*() {
      const { pid = 0 } = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn("sh", [
            "-c",
            "sh -c 'sleep 1004 & sleep 1005 & wait' & agent=$!; trap 'kill -CONT $agent' CHLD; while :; do wait $agent; done"
          ], { stdio: "ignore" })
        ),
        ({ pid = 0 }) => ProcessTree.killAll(Effect.map(ProcessTree.family(pid), (all) => all.map((one) => one.pid)))
      )
      const states = Effect.map(
        ProcessTree.family(pid),
        (all) => all.map(({ state }) => state === "T" ? "stopped" : "runs")
      )
      yield* Effect.repeat(states, { until: (all) => all.length === 4 })
      const freezing = belowAgent(pid, true)
      yield* freezing.freeze
      expect(yield* states).toEqual(["runs", "runs", "stopped", "stopped"])
      yield* freezing.thaw
      expect(yield* states).toEqual(["runs", "runs", "runs", "runs"])
    }))
})

describe("the freezer of a control group", () => {
  it.scopedLive("catches what starts processes as fast as it can", () =>
    Effect.gen(function*() {
      const groups = yield* Cgroup.make
      const group = yield* groups.make("test", { memoryBytes: 1 << 28, processes: 100, cpus: 1 })
      const { freezer } = group
      if (Option.isNone(freezer)) return
      const bomb = yield* Effect.acquireRelease(
        Effect.sync(() =>
          spawn("bash", ["-c", "read; f() { f | f & }; while :; do f; done"], {
            stdio: ["pipe", "ignore", "ignore"],
            detached: true
          })
        ),
        () => group.killAll
      )
      const pid = bomb.pid ?? 0
      yield* group.attach(pid)
      bomb.stdin.write("\n")
      yield* Effect.repeat(group.processes, { until: (all) => all.length > 20 })
      yield* freezer.value.freeze
      const frozen = yield* group.processes
      yield* Effect.sleep(100)
      expect(yield* group.processes).toEqual(frozen)
      yield* freezer.value.thaw
      yield* Effect.repeat(group.processes, { until: (all) => all.join() !== frozen.join() })
    }).pipe(Effect.orDie))
})

describe("the control groups", () => {
  it.scopedLive("get ready to move a process without moving this one", () =>
    Effect.gen(function*() {
      const groups = yield* Cgroup.make
      const own = Effect.sync(() => Fs.readFileSync("/proc/self/cgroup", "utf8"))
      const before = yield* own
      yield* Effect.repeatN(groups.expect, 3)
      const group = yield* groups.make("test", { memoryBytes: 1 << 28, processes: 100, cpus: 1 })
      const { pid = 0 } = yield* Effect.acquireRelease(
        Effect.sync(() => spawn("sleep", ["60"], { stdio: "ignore" })),
        () => group.killAll
      )
      yield* group.attach(pid)
      if (Option.isSome(groups.support.memory)) expect(yield* group.processes).toEqual([pid])
      expect(yield* own).toBe(before)
    }).pipe(Effect.orDie))
})

/**
 * Many sandboxes on one machine, and how costs grow.
 */
import { Effect, Exit, Scope, Stream } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import type { SandboxSDK } from "sandbox-sdk"
import type { Finding, Row } from "../Row.js"
import { Failed, rounds, series, timed } from "../Row.js"
import { exponent, type Point } from "../Statistics.js"
import { local, sandboxOf } from "../Subjects.js"

const failed = (cause: unknown) => new Failed({ message: String(cause), cause })

const KIB = 1024

/** The processes below this one. */
const descendants = (): ReadonlyArray<string> => {
  const parents = new Map<string, string>()
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      // The name in parentheses may have anything in it (proc(5)).
      const [, parent = ""] = readFileSync(`/proc/${pid}/stat`, "utf8").replace(/^.*\) /s, "").split(" ")
      parents.set(pid, parent)
    } catch {
      // It has ended meanwhile.
    }
  }
  const own = new Set([String(process.pid)])
  for (let before = 0; before !== own.size;) {
    before = own.size
    for (const [pid, parent] of parents) if (own.has(parent)) own.add(pid)
  }
  own.delete(String(process.pid))
  return [...own]
}

/** Memory that belongs to these processes alone, in kB (proc(5), smaps_rollup). */
const privateKb = (pids: ReadonlyArray<string>): number =>
  pids.reduce((sum, pid) => {
    try {
      const text = readFileSync(`/proc/${pid}/smaps_rollup`, "utf8")
      return sum + [...text.matchAll(/^Private_\w+:\s+(\d+) kB/gm)].reduce((own, [, kb]) => own + Number(kb), 0)
    } catch {
      return sum
    }
  }, 0)

/**
 * What this process holds, after collections where there are some to ask for (`--expose-gc`): what is finalized, or held
 * weakly, goes with the next one. `external` has the buffers in it.
 */
const engineKb = Effect.gen(function*() {
  for (let round = 0; round < 5; round++) {
    yield* Effect.sync(() => globalThis.gc?.())
    yield* Effect.sleep(200)
  }
  const { external, heapUsed } = process.memoryUsage()
  return (heapUsed + external) / KIB
})

const MANY = 1_000

/** How many sandboxes are created at a time. */
const AT_ONCE = 8

const create = (sdk: typeof SandboxSDK.Service, count: number) =>
  Effect.forEach(
    Array.from({ length: count }),
    () =>
      Effect.map(
        sdk.createSandbox({ templateId: "python", resources: { idleTimeMs: 0 } }),
        ({ sandbox }) => sandbox.id
      ),
    { concurrency: AT_ONCE }
  )

const runs = (sdk: typeof SandboxSDK.Service, ids: ReadonlyArray<string>, count: number) =>
  Effect.forEach(Array.from({ length: count }), (_, turn) => timed(sdk.runCode(ids[turn % ids.length] ?? "", "1+1")))

const curve = (part: string, unit: string, points: ReadonlyArray<Point>): Finding => {
  const value = exponent(points)
  return {
    part,
    unit,
    ours: series(points.slice(-1).map(({ cost }) => cost)),
    value,
    goal: { atMost: 1.1 },
    curve: points
  }
}

/** Makes a curve, each point of it by itself. */
const points = <E, R>(
  sizes: ReadonlyArray<number>,
  cost: (size: number) => Effect.Effect<number, E, R>
): Effect.Effect<ReadonlyArray<Point>, E, R> =>
  Effect.forEach(sizes, (size) => Effect.map(cost(size), (ms) => ({ size, cost: ms })))

const scaled = (sizes: ReadonlyArray<number>, scale: number): ReadonlyArray<number> =>
  scale >= 1 ? sizes : sizes.slice(0, Math.max(3, Math.ceil(sizes.length * scale)))

/**
 * The rows.
 */
export const rows: ReadonlyArray<Row> = [
  {
    id: "memory",
    title: "memory of an idle sandbox that has run code; of the engine for each, beside as many others",
    reference: "-",
    measure: ({ scale }) =>
      Effect.scoped(Effect.gen(function*() {
        const sdk = yield* local()
        const count = Math.max(10, Math.round(100 * scale))
        const more = Effect.gen(function*() {
          yield* runs(sdk, yield* create(sdk, count), count)
          yield* Effect.sleep(1_000)
        })
        // What all share is loaded, compiled and optimized by as many others, which stay.
        yield* more
        const [before, pidsBefore] = [yield* engineKb, new Set(descendants())]
        yield* more
        const own = privateKb(descendants().filter((pid) => !pidsBefore.has(pid))) / KIB / count
        const engine = ((yield* engineKb) - before) / count
        return [
          { part: "private to a sandbox", unit: "MiB", ours: series([own]), value: own, goal: { atMost: 7 } },
          { part: "of the engine, for each", unit: "kB", ours: series([engine]), value: engine, goal: { atMost: 50 } }
        ]
      })).pipe(Effect.mapError(failed))
  },
  {
    id: "density",
    title: `${MANY} live sandboxes: runCode("1+1") in any of them`,
    reference: "with one live sandbox",
    measure: (effort) =>
      Effect.scoped(Effect.gen(function*() {
        const sdk = yield* local()
        const count = rounds(effort, 1_000)
        const [first = ""] = yield* create(sdk, 1)
        yield* runs(sdk, [first], 100)
        const alone = series(yield* runs(sdk, [first], count))
        const ids = yield* create(sdk, Math.max(20, Math.round(MANY * effort.scale)) - 1)
        yield* runs(sdk, ids, ids.length)
        const among = series(yield* runs(sdk, [first, ...ids], count))
        return [{
          part: "",
          unit: "ms",
          ours: among,
          reference: alone,
          value: among.median / alone.median,
          goal: { atMost: 1.5 }
        }]
      })).pipe(Effect.mapError(failed))
  },
  {
    id: "growth",
    title: "how the total cost grows (exponent)",
    reference: "-",
    measure: ({ scale }) =>
      Effect.scoped(Effect.gen(function*() {
        const sandboxes = yield* points(scaled([1, 3, 10, 30, 100, 300, 1_000], scale), (size) =>
          Effect.gen(function*() {
            const scope = yield* Scope.make()
            const sdk = yield* Scope.extend(local(), scope)
            yield* create(sdk, 1)
            const took = yield* timed(create(sdk, size))
            yield* Scope.close(scope, Exit.void)
            return took
          }))
        const sdk = yield* local()
        const id = yield* sandboxOf(sdk, { templateId: "python" })
        const output = yield* points(scaled([1, 4, 16, 64, 256, 1_000], scale), (mb) =>
          timed(Stream.runDrain(sdk.runCodeStream(
            id,
            `import sys\nfor _ in range(${mb}): sys.stdout.write(("x" * 99 + "\\n") * 10_000)`
          ))))
        const files = yield* points(scaled([1, 10, 100, 1_000, 10_000, 100_000], scale), (count) =>
          Effect.zipLeft(
            timed(sdk.writeFiles(
              id,
              Array.from({ length: count }, (_, index) => ({ path: `grow/${index % 100}/${index}`, content: "x" }))
            )),
            sdk.deleteFile(id, "grow")
          ))
        const contexts = yield* points(scaled([1, 3, 10, 30, 100], scale), (count) =>
          Effect.gen(function*() {
            const start = performance.now()
            const made = yield* Effect.forEach(Array.from({ length: count }), () =>
              sdk.createCodeContext(id))
            const took = performance.now() - start
            yield* Effect.forEach(made, (context) =>
              sdk.deleteCodeContext(context.id), { discard: true })
            return took
          }))
        return [
          curve("sandboxes created", "ms", sandboxes),
          curve("MB of output", "ms", output),
          curve("files written", "ms", files),
          curve("contexts created", "ms", contexts)
        ]
      })).pipe(Effect.mapError(failed))
  }
]

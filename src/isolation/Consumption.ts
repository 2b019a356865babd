/**
 * What the processes of a sandbox take of processor and memory: as its control groups count it, and by `/proc` where there
 * are none.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Path from "node:path"
import { SandboxSDKError } from "../Errors.js"
import * as Host from "./Host.js"
import * as ProcessTree from "./ProcessTree.js"

/**
 * What has been taken: processor time since the start, in microseconds; memory at the moment, in bytes. `cache` is what the
 * kernel keeps of files, and is not part of `memory`.
 */
export interface Consumption {
  readonly cpuMicros: number
  readonly memoryBytes: number
  readonly cacheBytes: number
}

/**
 * The folder of a control group.
 */
export interface GroupFolder {
  readonly version: 1 | 2
  readonly path: string
}

/**
 * The groups that count; none where there is none.
 */
export interface Counting {
  readonly memory: Option.Option<GroupFolder>
  readonly cpu: Option.Option<GroupFolder>
}

/**
 * What has been taken so far. Fails with `unsupported` where that cannot be found out.
 */
export type Measure = Effect.Effect<Consumption, SandboxSDKError>

/** In a file of lines like `file 4096` (memory.stat, cpu.stat). */
const field = (text: string, name: string): Option.Option<number> =>
  Option.map(Option.fromNullable(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1]), Number)

const number = (text: string): Option.Option<number> =>
  /^\d+\s*$/.test(text) ? Option.some(Number(text)) : Option.none()

/** Fields of memory.stat; what version 1 counts with the groups below is called `total_…` (memory.rst, cgroup-v2.rst). */
const FILES = { 1: "total_cache", 2: "file" } as const
const SHARED = { 1: "total_shmem", 2: "shmem" } as const
const ALL = { 1: "memory.usage_in_bytes", 2: "memory.current" } as const

const memoryOf = ({ path, version }: GroupFolder) =>
  Effect.all([Host.readText(Path.join(path, ALL[version])), Host.readText(Path.join(path, "memory.stat"))]).pipe(
    Effect.map(([usage, stat]) =>
      Option.all({
        all: Option.flatMap(usage, number),
        files: Option.flatMap(stat, (text) => field(text, FILES[version])),
        // What is in /tmp is memory like any other: nothing can be given up of it.
        shared: Option.orElseSome(Option.flatMap(stat, (text) => field(text, SHARED[version])), () => 0)
      })
    ),
    Effect.map(Option.map(({ all, files, shared }) => {
      const cacheBytes = Math.min(all, Math.max(0, files - shared))
      return { memoryBytes: all - cacheBytes, cacheBytes }
    }))
  )

/** Where version 1 counts processor time elsewhere than it limits it, the file is not there. */
const cpuOf = ({ path, version }: GroupFolder): Effect.Effect<Option.Option<number>> =>
  version === 1
    ? Effect.map(Host.readText(Path.join(path, "cpuacct.usage")), (text) =>
      Option.map(Option.flatMap(text, number), (nanos) => Math.round(nanos / 1_000)))
    : Effect.map(
      Host.readText(Path.join(path, "cpu.stat")),
      Option.flatMap((text) =>
        field(text, "usage_usec")
      )
    )

const kilobytes = (text: string, name: string): Option.Option<number> =>
  Option.map(Option.fromNullable(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(text)?.[1]), (kb) => Number(kb) * 1024)

/** Its share of what it has in memory (proc(5), `smaps_rollup`); all that it has there, where that is not to be seen. */
const memoryOfProcess = (pid: number): Effect.Effect<number> =>
  Effect.gen(function*() {
    const rollup = yield* Host.readText(`/proc/${pid}/smaps_rollup`)
    const share = Option.flatMap(rollup, (text) => kilobytes(text, "Pss"))
    if (Option.isSome(share)) return share.value
    const status = yield* Host.readText(`/proc/${pid}/status`)
    return Option.getOrElse(Option.flatMap(status, (text) => kilobytes(text, "VmRSS")), () => 0)
  })

const orElse = <A>(first: Option.Option<Effect.Effect<Option.Option<A>>>, otherwise: Effect.Effect<A>) =>
  Effect.flatMap(
    Option.getOrElse(first, () => Effect.succeed(Option.none<A>())),
    Option.match({ onNone: () => otherwise, onSome: Effect.succeed })
  )

/**
 * What a process and all that descends from it take.
 */
export const make = (root: number, { cpu, memory }: Counting): Measure =>
  Effect.gen(function*() {
    const cpuMicros = yield* orElse(Option.map(cpu, cpuOf), ProcessTree.cpuMicros(root))
    const used = yield* orElse(
      Option.map(memory, memoryOf),
      Effect.flatMap(ProcessTree.family(root), (entries) =>
        Effect.map(
          Effect.forEach(entries, ({ pid }) => memoryOfProcess(pid)),
          (sizes) => ({
            memoryBytes: sizes.reduce((sum, size) => sum + size, 0),
            cacheBytes: 0
          })
        ))
    )
    return { cpuMicros, ...used }
  })

/**
 * For sandboxes whose processes cannot be seen from here.
 */
export const unsupported: Measure = Effect.suspend(() =>
  new SandboxSDKError({
    code: "unsupported",
    message:
      "What the sandbox uses cannot be measured: its processes are on another machine, or out of this program's sight."
  })
)

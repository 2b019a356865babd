/**
 * Measures what a sandbox uses.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { SandboxSDKError } from "../Errors.js"
import type { Consumption } from "../isolation/Consumption.js"
import { roomOf } from "../isolation/Disk.js"
import type { SandboxMetrics } from "../SandboxMetrics.js"
import { diskUsage } from "./DiskUsage.js"
import type { LiveSandbox } from "./LiveSandbox.js"
import type { Limits } from "./Resources.js"

/** How long is looked at what the processor does: twice as long as the time over which the kernel limits it. */
const WINDOW = Duration.millis(200)

const MIB = 1024 * 1024

const NOTHING: Consumption = { cpuMicros: 0, memoryBytes: 0, cacheBytes: 0 }

// That of the machine, whatever the program goes by: the kernel counts in its time.
const clock = Clock.make()

/**
 * Looks twice. Time that ended processes have taken may not be counted any more: never less than nothing was taken.
 */
const observe = (live: LiveSandbox, cpuCount: number) =>
  Effect.gen(function*() {
    const before = yield* live.consumption
    const begun = clock.unsafeCurrentTimeNanos()
    yield* Effect.withClock(Effect.sleep(WINDOW), clock)
    const now = yield* live.consumption
    const micros = Number(clock.unsafeCurrentTimeNanos() - begun) / 1_000
    const used = Math.max(0, now.cpuMicros - before.cpuMicros) / (micros * cpuCount)
    return { ...now, cpuUsedPercent: Math.round(used * 10_000) / 100 }
  })

/**
 * Measures one; `live` is what is up in it. Fails with `unsupported` where the isolation cannot tell.
 */
export const measure = Effect.fn("Measuring.measure")(function*(
  sandboxId: string,
  workspace: string,
  limits: Limits,
  live: LiveSandbox | undefined
): Effect.fn.Return<SandboxMetrics, SandboxSDKError> {
  const { cacheBytes, cpuMicros, cpuUsedPercent, memoryBytes } = live === undefined
    ? { ...NOTHING, cpuUsedPercent: 0 }
    : yield* observe(live, limits.cpus)
  const disk = yield* diskUsage(workspace)
  return {
    sandboxId,
    timestamp: yield* Clock.currentTimeMillis,
    cpuCount: limits.cpus,
    cpuUsedPercent,
    cpuTimeMicros: cpuMicros,
    memoryUsedBytes: memoryBytes,
    memoryCacheBytes: cacheBytes,
    memoryLimitBytes: limits.memoryMb * MIB,
    diskUsedBytes: disk.bytes,
    diskLimitBytes: roomOf(limits.diskMb).bytes
  }
})

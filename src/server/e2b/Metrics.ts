/**
 * What sandboxes use at the moment. Nothing is kept of what they have used: of a span of time there is the present, if that
 * is in it.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { SandboxMetrics } from "../../SandboxMetrics.js"
import type { Service } from "../../SandboxSDK.js"
import type { Caller } from "./Caller.js"
import { isGone, malformed } from "./Failures.js"
import { json, parameter, query } from "./Requests.js"

/** In seconds since the epoch. */
const Span = Schema.Struct({
  start: Schema.optional(Schema.NumberFromString),
  end: Schema.optional(Schema.NumberFromString)
})

const Many = Schema.Struct({
  sandbox_ids: Schema.Union(
    Schema.String.pipe(Schema.transform(Schema.Array(Schema.String), {
      decode: (text) => text.split(","),
      encode: (ids) => ids.join(",")
    })),
    Schema.Array(Schema.String)
  )
})

/** How many sandboxes may be asked for at once. */
const MOST = 100

/** What is before or behind the present by no more than this is the present: clocks differ, and requests take a while. */
const TOLERANCE_SECONDS = 10

const describe = (metrics: SandboxMetrics) => ({
  timestamp: new Date(metrics.timestamp).toISOString(),
  timestampUnix: Math.floor(metrics.timestamp / 1_000),
  cpuCount: metrics.cpuCount,
  cpuUsedPct: metrics.cpuUsedPercent,
  memUsed: metrics.memoryUsedBytes,
  memTotal: metrics.memoryLimitBytes,
  memCache: metrics.memoryCacheBytes,
  diskUsed: metrics.diskUsedBytes,
  diskTotal: metrics.diskLimitBytes
})

/**
 * The routes of the control plane.
 */
export const routes = (sdk: Service, caller: Caller) => {
  const one = caller.byKey(() =>
    Effect.gen(function*() {
      const { end = Infinity, start = 0 } = yield* query(Span)
      const now = (yield* Clock.currentTimeMillis) / 1_000
      const metrics = yield* sdk.getSandboxMetrics(yield* parameter("id"))
      const isIn = start <= now + TOLERANCE_SECONDS && now <= end + TOLERANCE_SECONDS
      return json(isIn ? [describe(metrics)] : [])
    })
  )

  const many = caller.byKey(() =>
    Effect.gen(function*() {
      const { sandbox_ids: ids } = yield* query(Many)
      if (ids.length > MOST) {
        return yield* malformed("sandbox_ids", `there are ${ids.length}; at most ${MOST} can be asked for at once.`)
      }
      // One that is not there is left out.
      const found = yield* Effect.forEach(
        new Set(ids),
        (id) =>
          sdk.getSandboxMetrics(id).pipe(
            Effect.map((metrics) => Option.some([id, describe(metrics)] as const)),
            Effect.catchIf(isGone, () => Effect.succeedNone)
          ),
        { concurrency: 8 }
      )
      return json({ sandboxes: Object.fromEntries(found.flatMap(Option.toArray)) })
    })
  )

  return HttpRouter.empty.pipe(
    HttpRouter.get("/sandboxes/metrics", many),
    HttpRouter.get("/sandboxes/:id/metrics", one)
  )
}

const MIB = 1024 * 1024

/**
 * The answer of a sandbox itself (`GET /metrics` of envd).
 */
export const ofEnvd = (sdk: Service, id: string) =>
  Effect.map(sdk.getSandboxMetrics(id), (metrics) =>
    json({
      ts: Math.floor(metrics.timestamp / 1_000),
      cpu_count: metrics.cpuCount,
      cpu_used_pct: metrics.cpuUsedPercent,
      mem_total: metrics.memoryLimitBytes,
      mem_used: metrics.memoryUsedBytes,
      mem_cache: metrics.memoryCacheBytes,
      mem_total_mib: Math.floor(metrics.memoryLimitBytes / MIB),
      mem_used_mib: Math.floor(metrics.memoryUsedBytes / MIB),
      disk_used: metrics.diskUsedBytes,
      disk_total: metrics.diskLimitBytes
    }))

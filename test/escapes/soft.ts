/**
 * What the embedded engine only watches on this host.
 */
import { Effect, Option } from "effect"
import * as Bubblewrap from "../../src/isolation/Bubblewrap.js"
import * as Cgroup from "../../src/isolation/Cgroup.js"
import { doctor } from "../../src/isolation/Doctor.js"
import type { Guarantee } from "../../src/isolation/Guarantee.js"
import type { Limit } from "./Attempt.js"

const LIMITS: ReadonlyArray<Limit> = [
  "memory",
  "process-count",
  "processor-time",
  "disk",
  "user-allowances",
  "crash-handler"
]

/** All that the doctor says of this host, for this user. */
export const guarantees = Effect.provide(doctor, Bubblewrap.layer())

/** The limits among them that are soft. */
export const softLimits = (found: ReadonlyArray<Guarantee>): ReadonlyArray<Limit> =>
  LIMITS.filter((limit) => found.some(({ id, soft }) => id === limit && soft === true))

/** Where no group can be frozen, a sandbox is paused by signals. */
const pausing: Effect.Effect<ReadonlyArray<Limit>> = Cgroup.make.pipe(
  Effect.flatMap(({ make }) => make("freezer", { memoryBytes: 1 << 26, processes: 16, cpus: 1 })),
  Effect.map(({ freezer }): ReadonlyArray<Limit> => Option.isSome(freezer) ? [] : ["pausing"]),
  Effect.orElseSucceed((): ReadonlyArray<Limit> => ["pausing"]),
  Effect.scoped
)

/** The limits that are soft here, of those that the doctor tells and of the others. */
export const softHere = (found: ReadonlyArray<Guarantee>): Effect.Effect<ReadonlyArray<Limit>> =>
  Effect.map(pausing, (more) => [...softLimits(found), ...more])

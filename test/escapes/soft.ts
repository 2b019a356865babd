/**
 * What the embedded engine only watches on this host.
 */
import { Effect } from "effect"
import * as Bubblewrap from "../../src/isolation/Bubblewrap.js"
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

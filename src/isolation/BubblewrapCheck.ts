import * as Effect from "effect/Effect"
import type { SandboxError } from "../Errors.js"
import type { Guarantee } from "./Guarantee.js"
import type { Support } from "./Cgroup.js"
export const inspect = (_: { launch: unknown, support: Support, temporaryDirectory: string }): Effect.Effect<ReadonlyArray<Guarantee>> => Effect.succeed([])
export const check = (inspect: Effect.Effect<ReadonlyArray<Guarantee>>, _key: string): Effect.Effect<ReadonlyArray<Guarantee>, SandboxError> => inspect

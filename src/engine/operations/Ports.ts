/**
 * Operations on ports.
 */
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import { CurrentUser } from "../../CurrentUser.js"
import { requireId } from "../../internal/arguments.js"
import type { PortOperations } from "../../internal/groups.js"
import { decodeWaitForPort, isNotYet, requirePort, withinPortTimeout } from "../../internal/ports.js"
import type { Ports } from "../Ports.js"
import { type Parts, runningSandbox } from "./Parts.js"

/**
 * Makes the operations.
 */
export const portOperations = ({ ports, registry }: Parts & { readonly ports: Ports }): PortOperations => {
  const address = Effect.fnUntraced(function*(sandboxId: string, port: number) {
    const userId = yield* CurrentUser
    const dial = Effect.gen(function*() {
      const { live, used } = yield* registry.reach(userId, sandboxId)
      yield* used
      return yield* live.dial(port)
    })
    return yield* ports.open({ sandboxId, port, dial }, registry.get(userId, sandboxId))
  })

  const decode = Effect.fnUntraced(function*(operation: string, id: unknown, port: unknown) {
    const known = yield* requireId(operation, id)
    return { id: known, port: yield* requirePort(operation, port) }
  })

  return {
    getPort: Effect.fn("SandboxSDK.getPort")(function*(...input) {
      const { id, port } = yield* decode("getPort", ...input)
      return yield* address(id, port)
    }),
    getHost: Effect.fn("SandboxSDK.getHost")(function*(...input) {
      const { id, port } = yield* decode("getHost", ...input)
      const { host } = yield* address(id, port)
      return host
    }),
    waitForPort: Effect.fn("SandboxSDK.waitForPort")(function*(idInput, portInput, input) {
      const { id, port } = yield* decode("waitForPort", idInput, portInput)
      const { intervalMs, timeoutMs } = yield* decodeWaitForPort(input)
      const { live, used } = yield* runningSandbox(registry, "waitForPort", id)
      yield* Effect.zipRight(used, live.dial(port)).pipe(
        Effect.scoped,
        Effect.retry({ while: isNotYet, schedule: Schedule.spaced(intervalMs) }),
        withinPortTimeout(port, timeoutMs)
      )
      return yield* address(id, port)
    }),
    closePort: Effect.fn("SandboxSDK.closePort")(function*(...input) {
      const { id, port } = yield* decode("closePort", ...input)
      yield* registry.get(yield* CurrentUser, id)
      yield* ports.close(id, port)
    })
  }
}

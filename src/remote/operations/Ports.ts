/**
 * Operations on ports.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { PortAnswer } from "../../api/Ports.js"
import { requireId } from "../../internal/arguments.js"
import type { PortOperations } from "../../internal/groups.js"
import { addressAt, decodeWaitForPort, requirePort } from "../../internal/ports.js"
import type { PortAddress } from "../../Port.js"
import type { Client } from "../Client.js"
import { tooSlow } from "../Failures.js"
import * as Segment from "../Segment.js"

/**
 * Makes the operations.
 */
export const portOperations = ({ metrics, peer, request }: Client): PortOperations => {
  /** The server may not know by which name it is reached from here. */
  const seenFromHere = ({ path, port, sandboxId, token, ...found }: PortAnswer): PortAddress => {
    const known = { sandboxId, port, token }
    return path === undefined
      ? { ...found, ...known }
      : addressAt(`${peer.url.replace(/\/+$/, "")}${path}`.replace(/~[^/]*\/$/, ""), known)
  }

  const decode = Effect.fnUntraced(function*(operation: string, id: unknown, port: unknown) {
    const known = yield* Effect.flatMap(requireId(operation, id), Segment.sandbox)
    return { id: known, port: yield* requirePort(operation, port) }
  })

  const address = (operation: string) =>
    Effect.fnUntraced(function*(...input: [id: string, port: number]) {
      const path = yield* decode(operation, ...input)
      const found = yield* request({ operation, effect: "none" }, (api) => api.ports.address({ path }))
      return seenFromHere(found)
    })

  return {
    getPort: Effect.fn("SandboxSDK.getPort")(address("getPort"), metrics.track("getPort")),
    getHost: Effect.fn("SandboxSDK.getHost")(
      (...input) => Effect.map(address("getHost")(...input), ({ host }) => host),
      metrics.track("getHost")
    ),
    waitForPort: Effect.fn("SandboxSDK.waitForPort")(function*(idInput, portInput, input) {
      const path = yield* decode("waitForPort", idInput, portInput)
      const payload = yield* decodeWaitForPort(input)
      const found = yield* request(
        {
          operation: "waitForPort",
          effect: "none",
          // The server keeps the time that was asked for; beyond it, the time of any request.
          limitTime: (wait) =>
            Effect.timeoutFail(wait, {
              duration: Duration.millis(payload.timeoutMs + peer.timeout),
              onTimeout: () => tooSlow(peer)
            })
        },
        // That the time is over is an answer, and no reason to ask again.
        (api) =>
          api.ports.wait({ path, payload }).pipe(
            Effect.map(Either.right),
            Effect.catchTag("TimeoutError", (error) => Effect.succeed(Either.left(error)))
          )
      )
      return seenFromHere(yield* found)
    }, metrics.track("waitForPort")),
    closePort: Effect.fn("SandboxSDK.closePort")(function*(...input) {
      const path = yield* decode("closePort", ...input)
      yield* request({ operation: "closePort", effect: "repeatable" }, (api) => api.ports.close({ path }))
    }, metrics.track("closePort"))
  }
}

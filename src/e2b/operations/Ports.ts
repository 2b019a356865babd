/**
 * Operations on ports: each has a name below the domain of the service. Where one URL serves all sandboxes, none has.
 */
import * as Effect from "effect/Effect"
import { requireId } from "../../internal/arguments.js"
import type { PortOperations } from "../../internal/groups.js"
import { addressAt, requirePort } from "../../internal/ports.js"
import type { Client } from "../Client.js"
import { unsupported } from "../Failures.js"
import { none } from "./Unsupported.js"

/**
 * Makes the operations.
 */
export const portOperations = (client: Client): PortOperations => {
  const { metrics } = client

  const address = (operation: string) =>
    Effect.fnUntraced(function*(id: string, port: number) {
      const sandboxId = yield* requireId(operation, id)
      const known = yield* requirePort(operation, port)
      const domain = yield* client.domainOf(operation, sandboxId)
      return domain === undefined
        ? yield* unsupported(
          operation,
          operation,
          "with a sandboxUrl the ports of sandboxes have no addresses; they have below a domain."
        )
        : addressAt(`https://${known}-${sandboxId}.${domain}/`, { sandboxId, port: known, token: undefined })
    })

  return {
    getPort: Effect.fn("SandboxSDK.getPort")(address("getPort"), metrics.track("getPort")),
    getHost: Effect.fn("SandboxSDK.getHost")(
      (id: string, port: number) => Effect.map(address("getHost")(id, port), ({ host }) => host),
      metrics.track("getHost")
    ),
    waitForPort: none("waitForPort"),
    closePort: none("closePort")
  }
}

/**
 * Servers of this machine for sandboxes to reach.
 */
import { Effect } from "effect"
import type * as Http from "node:http"
import type * as Net from "node:net"

interface Listens extends Net.Server {
  readonly closeAllConnections?: Http.Server["closeAllConnections"]
}

/** Listens at a free port of the loopback until the scope closes. */
export const listening = <S extends Listens>(make: () => S) =>
  Effect.acquireRelease(
    Effect.async<{ readonly server: S; readonly port: number }>((resume) => {
      const server = make()
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        if (typeof address === "object" && address !== null) {
          resume(Effect.succeed({ server, port: address.port }))
        }
      })
    }),
    ({ server }) =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections?.()
      })
  )

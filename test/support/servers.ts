/**
 * Servers of this machine for sandboxes to reach.
 */
import { Effect } from "effect"
import type * as Http from "node:http"
import * as Net from "node:net"

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

/** Listens likewise, and reads and forgets what it is sent; `open` are the connections at the moment. */
export const holding = Effect.suspend(() => {
  const open = new Set<Net.Socket>()
  const server = listening(() =>
    Net.createServer((socket) => {
      open.add(socket)
      socket.on("close", () => open.delete(socket)).on("error", () => {}).resume()
    })
  )
  return Effect.map(server, ({ port }) => ({ port, open }))
})

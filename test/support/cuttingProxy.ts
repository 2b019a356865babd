/**
 * A proxy between a client and a server whose connections end as it is told.
 */
import { Effect } from "effect"
import * as Net from "node:net"

/**
 * What becomes of a connection: `after` so many bytes of answers it is closed, reset, or nothing is passed on any more; or
 * it is answered in place of the server (`status`).
 */
export type Plan =
  | { readonly after: number; readonly how: "close" | "reset" | "stall" }
  | { readonly status: 502 | 503 }
  | undefined

export interface CuttingProxy {
  readonly url: string
  /** How many connections there have been. */
  readonly connections: () => number
  /** How many bytes of answers have passed. */
  readonly passed: () => number
  /** Refuses connections from now on, and ends those that there are; or takes them again. */
  readonly setUp: (isUp: boolean) => void
}

/**
 * Makes one. `planOf` is asked for each connection, from 0 on; a connection that is silent for `idleMs` is closed.
 */
export const cuttingProxy = (
  target: string,
  planOf: (connection: number) => Plan,
  { idleMs = 0 }: { readonly idleMs?: number } = {}
) =>
  Effect.acquireRelease(
    Effect.async<CuttingProxy & { readonly close: () => void }>((resume) => {
      const { hostname, port } = new URL(target)
      const sockets = new Set<Net.Socket>()
      let connections = 0
      let passed = 0
      let isUp = true

      const server = Net.createServer((client) => {
        const plan = planOf(connections)
        connections += 1
        if (!isUp) {
          client.resetAndDestroy()
          return
        }
        sockets.add(client)
        client.setNoDelay(true).on("error", () => {}).on("close", () => sockets.delete(client))
        if (plan !== undefined && "status" in plan) {
          client.once("data", () =>
            client.end(
              `HTTP/1.1 ${plan.status} X\r\ncontent-type: text/html\r\nconnection: close\r\ncontent-length: 5\r\n\r\n<html`
            ))
          return
        }
        const upstream = Net.connect({ host: hostname, port: Number(port) })
        sockets.add(upstream)
        upstream.setNoDelay(true).on("error", () => client.destroy()).on("close", () => {
          sockets.delete(upstream)
          client.end()
        })
        client.on("close", () => upstream.destroy())
        if (idleMs > 0) {
          upstream.setTimeout(idleMs, () => client.destroy())
        }
        let left = plan?.after ?? Infinity
        client.on("data", (bytes) => left > 0 && upstream.write(bytes))
        upstream.on("data", (bytes: Buffer) => {
          const piece = bytes.subarray(0, Math.max(0, left))
          left -= bytes.length
          passed += piece.length
          if (piece.length > 0 && !client.write(piece)) {
            upstream.pause()
            client.once("drain", () => upstream.resume())
          }
          if (left <= 0 && plan !== undefined && "how" in plan) {
            if (plan.how === "close") {
              client.end()
            } else if (plan.how === "reset") {
              client.resetAndDestroy()
            } else {
              upstream.pause()
            }
          }
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const address = server.address()
        const listening = typeof address === "object" && address !== null ? address.port : 0
        const end = () => sockets.forEach((socket) => socket.destroy())
        resume(Effect.succeed({
          url: `http://127.0.0.1:${listening}`,
          connections: () => connections,
          passed: () => passed,
          setUp: (up) => {
            isUp = up
            if (!up) {
              end()
            }
          },
          close: () => {
            end()
            server.close()
          }
        }))
      })
    }),
    ({ close }) => Effect.sync(close)
  )

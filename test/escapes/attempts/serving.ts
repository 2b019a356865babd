/**
 * Servers in sandboxes, and clients that do not heed the rules of HTTP.
 */
import { Effect } from "effect"
import { Buffer } from "node:buffer"
import { connect } from "node:net"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { PortAddress } from "../../../src/Port.js"
import type { Arena } from "../Arena.js"
import { starting } from "./running.js"

/** The first line of what comes in on a connection; then `code` answers it, with `client` and `head`. */
const server = (port: number, code: string): string => `
import threading
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", ${port}))
listener.listen(64)
def answer(client):
    head = b""
    while b"\\r\\n\\r\\n" not in head:
        piece = client.recv(65536)
        if not piece:
            return
        head += piece
${code.trim().split("\n").map((line) => `    ${line}`).join("\n")}
def guarded(client):
    try:
        answer(client)
    except OSError:
        pass
    client.close()
while True:
    threading.Thread(target=guarded, args=(listener.accept()[0],), daemon=True).start()
`

/** Starts a server of its own kind in the sandbox, and gives its address when it listens. */
export const serving = (arena: Arena, port: number, code: string): Effect.Effect<PortAddress, AnySandboxSDKError> =>
  Effect.zipRight(
    starting(arena, `server${port}`, server(port, code)),
    arena.sdk.waitForPort(arena.sandboxId, port, { timeoutMs: 20_000 })
  )

const PATIENCE_MS = 3_000

/** Writes bytes to whatever has this URL, piece by piece, and gives all that comes back. */
export const raw = (url: string, pieces: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.async<string>((resume) => {
    const { hostname, port } = new URL(url)
    const socket = connect({ host: hostname, port: Number(port) })
    const chunks: Array<Buffer> = []
    const end = () => {
      socket.destroy()
      resume(Effect.sync(() => Buffer.concat(chunks).toString("latin1")))
    }
    socket.setTimeout(PATIENCE_MS, end)
    socket.on("error", end)
    socket.on("close", end)
    socket.on("data", (chunk) => chunks.push(chunk))
    socket.on(
      "connect",
      () => pieces.forEach((piece, index) => setTimeout(() => socket.write(piece, "latin1"), index * 50))
    )
  })

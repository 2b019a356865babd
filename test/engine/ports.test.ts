/**
 * Servers in a sandbox that do what no server does. Whoever asks is told so, or the answer breaks off; and the next request
 * is answered as if nothing had been.
 */
import { expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Net from "node:net"
import { layerLocal } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"

/** Answers as the path says, byte by byte. */
const HOSTILE = `
import socket, threading

ANSWERS = {
    "/none": b"",
    "/garbage": b"\\x00\\xff" * 5000,
    "/almost": b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nContent-Length: 6\\r\\n\\r\\nhello",
    "/both": b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n0\\r\\n\\r\\n",
    "/control": b"HTTP/1.1 200 OK\\r\\nX: a\\x01b\\r\\nContent-Length: 0\\r\\n\\r\\n",
    "/second": b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\nfirstHTTP/1.1 200 OK\\r\\nContent-Length: 6\\r\\n\\r\\nsecond",
    "/unasked": b"HTTP/1.1 101 Switching Protocols\\r\\nUpgrade: websocket\\r\\nConnection: Upgrade\\r\\n\\r\\n",
    "/chunks": b"HTTP/1.1 200 OK\\r\\nTransfer-Encoding: chunked\\r\\n\\r\\n5\\r\\nhello\\r\\nzz\\r\\n",
    "/headers": b"HTTP/1.1 200 OK\\r\\n" + b"X: y\\r\\n" * 100000,
    "/early": b"HTTP/1.1 100 Continue\\r\\n\\r\\n" * 1000 + b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok",
    "/good": b"HTTP/1.1 200 OK\\r\\nContent-Length: 4\\r\\n\\r\\ngood"
}

def serve(client):
    try:
        head = b""
        while b"\\r\\n\\r\\n" not in head: head += client.recv(65536)
        client.sendall(ANSWERS[head.split()[1].decode()])
    except OSError: pass
    client.close()

server = socket.create_server(("127.0.0.1", 8000), backlog=100)
while True: threading.Thread(target=serve, args=server.accept()[:1]).start()
`

const answerOf = (url: URL) =>
  Effect.promise(async (signal) => {
    const response = await fetch(url, { signal, redirect: "manual" }).catch(() => undefined)
    if (response === undefined) return "broken off"
    const text = await response.text().catch(() => "broken off")
    return response.status === 502 ? "502" : `${response.status} ${text}`
  })

it.scopedLive("outlives every server in a sandbox that does not speak HTTP", () =>
  Effect.gen(function*() {
    const sandbox = yield* Sandbox.make({ templateId: "python" })
    yield* sandbox.writeFile("server.py", HOSTILE)
    yield* sandbox.runTerminal("nohup python3 server.py > server.log 2>&1 &")
    const { url } = yield* sandbox.waitForPort(8000)
    for (
      const [path, expected] of [
        ["none", "502"],
        ["garbage", "502"],
        ["almost", "502"],
        ["both", "502"],
        ["control", "502"],
        ["second", "200 first"],
        ["unasked", "502"],
        ["chunks", "200 broken off"],
        ["headers", "502"],
        ["early", "200 ok"]
      ] as const
    ) {
      expect([path, yield* answerOf(new URL(path, url))]).toEqual([path, expected])
      expect(yield* answerOf(new URL("good", url))).toBe("200 good")
    }
    // Nor does a client that leaves in the middle of its request, again and again, hold anything.
    yield* Effect.forEach(Array.from({ length: 300 }), () =>
      Effect.async<void>((resume) => {
        const { host, hostname, pathname, port } = new URL("good", url)
        const client = Net.connect(Number(port), hostname, () => {
          client.write(`POST ${pathname} HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 1000\r\n\r\npart`, () => {
            client.destroy()
          })
        })
        client.on("error", () => {})
        client.on("close", () => resume(Effect.void))
      }), { concurrency: 20 })
    expect(yield* answerOf(new URL("good", url))).toBe("200 good")
  }).pipe(Effect.provide(layerLocal())), 60_000)

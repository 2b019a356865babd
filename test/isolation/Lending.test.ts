/**
 * What is opened of what an agent has open: the stand-in for it lends whatever somebody would who wants the engine to open
 * more than the sandbox may.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import * as Bubblewrap from "../../src/isolation/Bubblewrap.js"
import { isRoot, makeSandbox } from "./support.js"

/** A sandbox, and what opens the descriptor that a Python expression gives. */
const lending = Effect.gen(function*() {
  const sandbox = yield* makeSandbox()
  const open = (access: "read" | "write" | "direct", expression: string, code = "") =>
    Effect.gen(function*() {
      const descriptor = Number(yield* sandbox.evaluate(expression, code))
      return yield* sandbox.lending?.(descriptor, access) ?? Effect.die("it lends nothing")
    })
  return { sandbox, open }
})

/** How many files this process has open that are like those of a workspace. */
const held = (workspace: string): number => {
  const { dev, uid } = Fs.statSync(workspace)
  return Fs.readdirSync("/proc/self/fd").filter((fd) => {
    const stats = Fs.statSync(`/proc/self/fd/${fd}`, { throwIfNoEntry: false })
    return stats?.isFile() === true && stats.dev === dev && stats.uid === uid
  }).length
}

/** Each with the descriptor that is lent. */
const HOSTILE: Record<string, string> = {
  "a folder": "os.open('/workspace', os.O_RDONLY)",
  "a FIFO": "os.open('/workspace/fifo', os.O_PATH)",
  "a FIFO that somebody else has open": "os.open('/workspace/fifo', os.O_RDWR)",
  "a link": "os.open('/workspace/link', os.O_PATH | os.O_NOFOLLOW)",
  "a device": "os.open('/dev/null', os.O_RDWR)",
  "a socket": "socket.socket().detach()",
  "its own stream": "3",
  "memory": "os.memfd_create('m')",
  "a file of the temporary folder": "os.open('/tmp/f', os.O_RDWR | os.O_CREAT)",
  "a program of the host": "os.open(os.path.realpath('/usr/bin/env'), os.O_PATH)",
  "its own program": "os.open('/opt/sandbox/agent.py', os.O_RDONLY)",
  "its memory": "os.open('/proc/self/mem', os.O_RDWR)",
  "a switch of the kernel": "os.open('/proc/sys/kernel/core_pattern', os.O_PATH)",
  "nothing": "1000"
}

describe("What an agent lends", () => {
  it.scopedLive("is opened, as the file that it is and no other", () =>
    Effect.gen(function*() {
      const { open, sandbox } = yield* lending
      const before = held(sandbox.workspace)
      yield* Effect.scoped(Effect.gen(function*() {
        // Without a name, as a file is on its way in.
        const file = yield* open("write", "fd", "fd = os.open('/workspace', os.O_TMPFILE | os.O_RDWR, 0o600)")
        yield* Effect.promise(() => file.write("from outside"))
        expect(yield* sandbox.evaluate("os.pread(fd, 100, 0).decode()")).toBe("from outside")
        const again = yield* open("read", "fd")
        expect(yield* Effect.promise(() => again.readFile("utf8"))).toBe("from outside")
        expect((yield* Effect.promise(() => again.stat())).uid).toBe(Fs.statSync(sandbox.workspace).uid)
        expect(held(sandbox.workspace)).toBe(before + 2)
      }))
      expect(held(sandbox.workspace)).toBe(before)
      // What is open stays what it is, whatever its name leads to by now.
      const kept = yield* open(
        "read",
        "fd",
        "open('/workspace/f', 'w').write('mine')\nfd = os.open('/workspace/f', os.O_RDONLY)\n" +
          "os.unlink('/workspace/f')\nos.symlink('/etc/passwd', '/workspace/f')"
      )
      expect(yield* Effect.promise(() => kept.readFile("utf8"))).toBe("mine")
    }).pipe(Effect.provide(Bubblewrap.layer())))

  it.scopedLive("is not opened when it is anything but a file of the workspace", () =>
    Effect.gen(function*() {
      const { open, sandbox } = yield* lending
      const before = held(sandbox.workspace)
      yield* sandbox.evaluate("0", "os.mkfifo('/workspace/fifo')\nos.symlink('/etc/passwd', '/workspace/link')")
      for (const [what, descriptor] of Object.entries(HOSTILE)) {
        for (const access of ["read", "write", "direct"] as const) {
          const refused = yield* Effect.flip(Effect.scoped(open(access, descriptor)))
          expect(refused, what).toHaveProperty("reason")
        }
      }
      expect(held(sandbox.workspace)).toBe(before)
    }).pipe(Effect.provide(Bubblewrap.layer())))

  it.scopedLive.runIf(isRoot)("is not opened when it belongs to somebody else", () =>
    Effect.gen(function*() {
      const { open, sandbox } = yield* lending
      const path = Path.join(sandbox.workspace, "root")
      Fs.writeFileSync(path, "secret", { mode: 0o600 })
      expect(yield* Effect.flip(Effect.scoped(open("read", "os.open('/workspace/root', os.O_PATH)")))).toEqual({
        reason: "it is no file of the workspace"
      })
      execFileSync("chown", [`${Fs.statSync(sandbox.workspace).uid}`, path])
      const file = yield* open("read", "os.open('/workspace/root', os.O_PATH)")
      expect(yield* Effect.promise(() => file.readFile("utf8"))).toBe("secret")
    }).pipe(Effect.provide(Bubblewrap.layer())))

  it.scopedLive("is not opened any more when the agent has ended", () =>
    Effect.gen(function*() {
      const { open, sandbox } = yield* lending
      yield* open("read", "fd", "open('/workspace/f', 'w').write('x')\nfd = os.open('/workspace/f', os.O_RDONLY)")
      sandbox.stream.write(`${JSON.stringify(["os._exit(0)", "0"])}\n`)
      yield* sandbox.exited
      expect(yield* Effect.flip(Effect.scoped(sandbox.lending?.(5, "read") ?? Effect.void))).toHaveProperty("reason")
    }).pipe(Effect.provide(Bubblewrap.layer())))
})

/**
 * The disk of a sandbox on the host: what stays, what goes, and what is told of it. File systems need root.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Logger, Stream } from "effect"
import { execFileSync, spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { layerLocal } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually, failsWith } from "../conformance/support.js"

const MIB = 1024 * 1024

const bytes = (mib: number) => new Uint8Array(mib * MIB).fill(7)

const isRoot = process.geteuid?.() === 0

/** A folder that goes with the scope, for engines one after the other. */
const makeData = Effect.acquireRelease(
  Effect.sync(() => {
    const path = Fs.mkdtempSync(Path.join(Os.tmpdir(), "disk-test-"))
    Fs.chmodSync(path, 0o755)
    return path
  }),
  (path) =>
    Effect.sync(() => {
      for (const mount of mountsBelow(path)) execFileSync("umount", ["-l", mount])
      Fs.rmSync(path, { recursive: true, force: true })
    })
)

const mountsBelow = (folder: string): ReadonlyArray<string> =>
  Fs.readFileSync("/proc/self/mounts", "utf8").split("\n").flatMap((line) => {
    const path = line.split(" ")[1] ?? ""
    return path.startsWith(`${folder}/`) ? [path] : []
  })

/** The files that loop devices have open, which are below a folder. */
const loopsBelow = (folder: string): ReadonlyArray<string> =>
  execFileSync("losetup", ["--list", "--noheadings", "--output", "BACK-FILE"], { encoding: "utf8" })
    .split("\n").filter((path) => path.startsWith(`${folder}/`))

const workspaceOf = (data: string, { id }: { readonly id: string }) => Path.join(data, "sandboxes", id, "workspace")

/** An engine over the folder, for as long as the effect takes. */
const engine = <A, E>(data: string, effect: Effect.Effect<A, E, SandboxSDK>) =>
  Effect.provide(effect, layerLocal({ dataDirectory: data }))

const create = (resources: { readonly diskMb?: number } = {}) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const { sandbox } = yield* sdk.createSandbox({ templateId: "python", resources })
    return sandbox
  })

const storage = Effect.map(Effect.flatMap(SandboxSDK, (sdk) => sdk.getUsage()), ({ storageBytes }) => storageBytes)

describe.runIf(isRoot)("the disk of a sandbox", () => {
  it.scopedLive("keeps its files from stop to start and from engine to engine, and is measured always", () =>
    Effect.gen(function*() {
      const data = yield* makeData
      const sandbox = yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const made = yield* create({ diskMb: 64 })
          expect(mountsBelow(data)).toEqual([workspaceOf(data, made)])
          expect(yield* storage).toBe(0)
          yield* sdk.writeFile(made.id, "d/f", bytes(10))
          expect((yield* sdk.listFiles(made.id)).files.map(({ name }) => name)).toEqual(["d"])
          const used = yield* storage
          expect(used).toBeGreaterThanOrEqual(10 * MIB)
          expect(used).toBeLessThan(10 * MIB + 65_536)
          yield* sdk.stopSandbox(made.id)
          expect(mountsBelow(data)).toEqual([])
          expect(yield* storage).toBe(used)
          expect(yield* sdk.runTerminal(made.id, "stat -c '%U %a %s' . d/f")).toBe("user 700 4096\nuser 644 10485760\n")
          return made
        })
      )
      expect(mountsBelow(data)).toEqual([])
      expect(loopsBelow(data)).toEqual([])
      yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          expect(yield* storage).toBeGreaterThanOrEqual(10 * MIB)
          expect((yield* sdk.statFile(sandbox.id, "d/f")).size).toBe(10 * MIB)
          yield* failsWith(sdk.writeFile(sandbox.id, "g", bytes(60)), { code: "disk_full" })
          yield* sdk.deleteSandbox(sandbox.id)
          expect(Fs.readdirSync(Path.join(data, "sandboxes"))).toEqual([])
          expect(loopsBelow(data)).toEqual([])
        })
      )
    }))

  it.scopedLive("is the same for each of its size, in order, and belongs to its own user", () =>
    Effect.gen(function*() {
      const data = yield* makeData
      const made = yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const all = yield* Effect.replicateEffect(create({ diskMb: 64 }), 3)
          const seen = yield* Effect.forEach(all, ({ id }) =>
            Effect.gen(function*() {
              yield* sdk.writeFile(id, "f", bytes(1))
              return yield* sdk.runTerminal(id, "stat -c '%U %a' . f; ls -a; df --output=size,itotal,used,iused .")
            }))
          expect(seen[0]).toMatch(/^user 700\nuser 644\n\.\n\.\.\nf\n/)
          expect(new Set(seen).size).toBe(1)
          return all
        })
      )
      // What another program of this host starts at the moment may have a copy of the mount.
      yield* eventually(Effect.sync(() => loopsBelow(data).length === 0))
      for (const sandbox of made) {
        execFileSync("e2fsck", ["-f", "-n", `${workspaceOf(data, sandbox)}.img`], { stdio: "pipe" })
      }
      const users = new Set(made.map((sandbox) => Fs.statSync(workspaceOf(data, sandbox)).uid))
      expect(users.size).toBe(3)
    }))

  it.scopedLive("is out of reach for the others on this host", () =>
    Effect.gen(function*() {
      const data = yield* makeData
      yield* engine(
        data,
        Effect.gen(function*() {
          const sandbox = yield* create()
          const workspace = workspaceOf(data, sandbox)
          for (const path of [workspace, `${workspace}.img`]) {
            expect(() => execFileSync("cat", [path], { uid: 65534, gid: 65534, stdio: "pipe" })).toThrow(
              /Permission denied/
            )
          }
          expect(Fs.readFileSync("/proc/self/mounts", "utf8")).toMatch(
            new RegExp(`${workspace} ext4 rw,nosuid,nodev,`)
          )
        })
      )
    }))

  it.scopedLive("gives the room of deleted files back when the sandbox is stopped", () =>
    Effect.gen(function*() {
      const data = yield* makeData
      yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const sandbox = yield* create()
          const taken = () => Fs.statSync(`${workspaceOf(data, sandbox)}.img`).blocks * 512
          yield* sdk.runTerminal(sandbox.id, "head -c 200M /dev/zero > big; sync; rm big; sync; echo kept > f")
          expect(taken()).toBeGreaterThan(200 * MIB)
          yield* sdk.stopSandbox(sandbox.id)
          expect(taken()).toBeLessThan(20 * MIB)
          expect(yield* sdk.readFile(sandbox.id, "f")).toBe("kept\n")
        })
      )
    }))

  it.scopedLive("is put in order when the host went down with it", () =>
    Effect.gen(function*() {
      const data = yield* makeData
      const sandbox = yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const made = yield* create({ diskMb: 64 })
          const image = `${workspaceOf(data, made)}.img`
          yield* sdk.runTerminal(made.id, "mkdir d; echo kept > d/f; sync; rm -r d; mkdir d; echo kept > d/g; sync d/g")
          // As it is on the host's disk while it is in use.
          Fs.copyFileSync(image, `${image}.crashed`)
          yield* sdk.stopSandbox(made.id)
          Fs.renameSync(`${image}.crashed`, image)
          return made
        })
      )
      yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          expect(yield* sdk.readFile(sandbox.id, "d/g")).toBe("kept\n")
          yield* sdk.stopSandbox(sandbox.id)
          yield* eventually(Effect.sync(() => loopsBelow(data).length === 0))
          execFileSync("e2fsck", ["-f", "-n", `${workspaceOf(data, sandbox)}.img`], { stdio: "pipe" })
        })
      )
    }))

  it.scopedLive("is not put in order while somebody else on this host has it mounted, and keeps what is written", () => {
    const told: Array<unknown> = []
    const listener = Logger.replace(Logger.defaultLogger, Logger.make(({ message }) => void told.push(message)))
    return Effect.gen(function*() {
      const data = yield* makeData
      const sandbox = yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const made = yield* create({ diskMb: 64 })
          yield* sdk.runTerminal(made.id, "seq 1000000 > a")
          // As a container that is started at this moment: it has a copy of every mount.
          const holder = yield* Effect.acquireRelease(
            Effect.sync(() => spawn("unshare", ["--mount", "--propagation", "private", "sleep", "1000"])),
            (child) => Effect.sync(() => child.kill("SIGKILL"))
          )
          yield* eventually(
            Effect.sync(() => Fs.readlinkSync(`/proc/${holder.pid}/ns/mnt`) !== Fs.readlinkSync("/proc/self/ns/mnt"))
          )
          yield* sdk.stopSandbox(made.id)
          yield* sdk.runTerminal(made.id, "seq 1000000 > b; rm a; seq 1000000 > c")
          holder.kill("SIGKILL")
          yield* sdk.runTerminal(made.id, "cmp b c && seq 10 > d")
          yield* sdk.stopSandbox(made.id)
          return made
        }).pipe(Effect.scoped)
      )
      yield* eventually(Effect.sync(() => loopsBelow(data).length === 0))
      execFileSync("e2fsck", ["-f", "-n", `${workspaceOf(data, sandbox)}.img`], { stdio: "pipe" })
      const read = Effect.flatMap(
        SandboxSDK,
        (sdk) => sdk.runTerminal(sandbox.id, "ls; seq 1000000 | cmp - b && wc -l < d")
      )
      expect(yield* engine(data, read)).toBe("b\nc\nd\n10\n")
      expect(told).toEqual([])
    }).pipe(Effect.provide(listener))
  })

  it.scopedLive("that a killed engine has left mounted is unmounted by the next", () =>
    Effect.gen(function*() {
      const data = yield* makeData
      const sandbox = yield* engine(data, create())
      const workspace = workspaceOf(data, sandbox)
      execFileSync("mount", ["-o", "loop", `${workspace}.img`, workspace])
      yield* engine(
        data,
        Effect.gen(function*() {
          expect(mountsBelow(data)).toEqual([])
          const sdk = yield* SandboxSDK
          expect(yield* sdk.runTerminal(sandbox.id, "echo on > f; cat f")).toBe("on\n")
        })
      )
      expect(loopsBelow(data)).toEqual([])
    }))

  it.scopedLive("is one for each of many", () =>
    Effect.gen(function*() {
      const data = yield* makeData
      yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const made = yield* Effect.replicateEffect(create({ diskMb: 8 }), 40, { concurrency: 8 })
          expect(mountsBelow(data)).toHaveLength(40)
          yield* Effect.forEach(made, ({ id }) => sdk.writeFile(id, "f", id), { concurrency: 8 })
          yield* Effect.forEach(made, ({ id }) => sdk.stopSandbox(id), { concurrency: 8 })
          expect(mountsBelow(data)).toEqual([])
          const [first, last] = [made[0]?.id ?? "", made[39]?.id ?? ""]
          expect([yield* sdk.readFile(first, "f"), yield* sdk.readFile(last, "f")]).toEqual([first, last])
        })
      )
      expect(loopsBelow(data)).toEqual([])
    }), 120_000)
})

describe("a workspace that the kernel does not limit", () => {
  /** A sandbox without isolation, or, where that is to be tried behind walls, one of an engine that had no disks yet. */
  const plain = Effect.gen(function*() {
    const data = yield* makeData
    const sandbox = yield* engine(data, create({ diskMb: 16 }))
    const workspace = workspaceOf(data, sandbox)
    Fs.rmSync(`${workspace}.img`, { force: true })
    Fs.writeFileSync(`${workspace}/old`, "old")
    Fs.chownSync(`${workspace}/old`, Fs.statSync(workspace).uid, Fs.statSync(workspace).gid)
    return { data, sandbox }
  })

  it.scopedLive("is the folder of an older engine, and works on", () =>
    Effect.gen(function*() {
      const { data, sandbox } = yield* plain
      yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          expect(yield* sdk.readFile(sandbox.id, "old")).toBe("old")
          expect(yield* sdk.runTerminal(sandbox.id, "echo new >> old; cat old")).toBe("oldnew\n")
          expect(yield* storage).toBe(4096)
          yield* sdk.deleteSandbox(sandbox.id)
        })
      )
      expect(Fs.readdirSync(Path.join(data, "sandboxes"))).toEqual([])
    }))

  it.scopedLive("refuses what is written through the API beyond the limit, before it is there", () =>
    Effect.gen(function*() {
      const { data, sandbox: { id } } = yield* plain
      yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          yield* sdk.writeFile(id, "one", bytes(10))
          const error = yield* failsWith(sdk.writeFile(id, "two", bytes(10)), {
            _tag: "SandboxError",
            code: "disk_full",
            sandboxId: id
          })
          expect(error.message).toContain("resources.diskMb")
          yield* failsWith(sdk.writeFileStream(id, "two", Stream.repeatValue(bytes(1))), { code: "disk_full" })
          expect((yield* sdk.listFiles(id)).files.map(({ name }) => name)).toEqual(["old", "one"])
          yield* sdk.deleteFile(id, "one")
          yield* sdk.writeFile(id, "two", bytes(10))
          yield* failsWith(
            Effect.forEach(Array.from({ length: 1100 }), (_, n) => sdk.makeDirectory(id, `d${n}`), {
              concurrency: 16,
              discard: true
            }),
            { code: "disk_full" }
          )
        })
      )
    }))

  it.scopedLive("interrupts the code that fills it, and lets it delete", () =>
    Effect.gen(function*() {
      const { data, sandbox: { id } } = yield* plain
      yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          // Slow enough to be seen before it has filled the disk of this machine.
          const fill = "x = 1\nimport time\nwith open('big', 'ab') as file:\n" +
            "    while True: file.write(bytes(1 << 20)); file.flush(); time.sleep(0.05)"
          const error = yield* failsWith(sdk.runCode(id, fill), {
            _tag: "SandboxError",
            code: "disk_full",
            sandboxId: id
          })
          expect(error.message).toContain("resources.diskMb")
          // The interpreter has kept its variables.
          expect((yield* sdk.runCode(id, "x")).execution.text).toBe("1")
          yield* failsWith(sdk.writeFile(id, "more", "x"), { code: "disk_full" })
          // What runs and does not write is left alone.
          yield* sdk.runCode(id, "import time; time.sleep(2.5)")
          yield* failsWith(sdk.runCode(id, fill), { code: "disk_full" })
          yield* sdk.runCode(id, "import os; os.unlink('big')")
          yield* sdk.writeFile(id, "more", "x")
          yield* sdk.runCode(id, "import time; time.sleep(1.5)")
        })
      )
    }), 60_000)

  it.scopedLive(
    "stops a sandbox in which something goes on filling it in the background",
    () =>
      Effect.gen(function*() {
        const { data, sandbox: { id } } = yield* plain
        yield* engine(
          data,
          Effect.gen(function*() {
            const sdk = yield* SandboxSDK
            const watching = yield* Effect.fork(
              failsWith(Stream.runDrain(sdk.watchFiles(id)), { code: "disk_full", sandboxId: id })
            )
            yield* sdk.runTerminal(
              id,
              "(while sleep 0.05; do head -c 1M /dev/zero >> big; done) > /dev/null 2>&1 &"
            )
            yield* eventually(Effect.map(sdk.getSandboxStatus(id), (status) => status === "stopped"))
            yield* Fiber.join(watching)
            // It comes back, and its files can be deleted.
            yield* sdk.deleteFile(id, "big")
            yield* sdk.writeFile(id, "more", "x")
          })
        )
      }),
    60_000
  )

  it.scopedLive("is that of a sandbox without isolation", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python", resources: { diskMb: 8 } })
      yield* failsWith(sandbox.writeFile("big", bytes(9)), { code: "disk_full" })
      yield* sandbox.writeFile("small", bytes(7))
    }).pipe(Effect.provide(layerLocal({ isolation: "none" }))))
})

describe.runIf(isRoot)("the disk of the host, when it is nearly full,", () => {
  it.scopedLive("has what sandboxes have written, and stops those that write on", () =>
    Effect.gen(function*() {
      const data = yield* makeData
      yield* Effect.acquireRelease(
        Effect.sync(() => execFileSync("mount", ["-t", "tmpfs", "-o", "size=64m,mode=0755", "tmpfs", data])),
        () => Effect.sync(() => execFileSync("umount", ["-l", data]))
      )
      yield* engine(
        data,
        Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const [{ id: quiet }, { id: loud }] = yield* Effect.all([create(), create()])
          yield* sdk.runTerminal(quiet, "head -c 1M /dev/zero | tr '\\0' q > f")
          const waiting = yield* Effect.fork(sdk.runTerminal(quiet, "until [ -e go ]; do sleep 0.05; done"))
          const { bavail, bsize } = Fs.statfsSync(data)
          Fs.writeFileSync(`${data}/ballast`, new Uint8Array(bavail * bsize - 2 * MIB))
          const writing = "x = 1\nimport os, time\nwith open('big', 'ab') as file:\n" +
            "    while True:\n        file.write(bytes(1 << 14)); file.flush(); os.fsync(file.fileno()); time.sleep(0.5)"
          const error = yield* failsWith(sdk.runCode(loud, writing), { code: "disk_full", sandboxId: loud })
          expect(error.message).toContain("The disk of the machine")
          yield* failsWith(sdk.writeFile(quiet, "more", "x"), { code: "disk_full", sandboxId: quiet })
          yield* failsWith(sdk.createSandbox({ templateId: "bash" }), { code: "disk_full" })
          expect((yield* sdk.runCode(loud, "os.unlink('big'); x")).execution.text).toBe("1")
          Fs.rmSync(`${data}/ballast`)
          yield* sdk.writeFile(quiet, "go", "")
          yield* Fiber.join(waiting)
          yield* sdk.stopSandbox(quiet)
          expect(yield* sdk.readFile(quiet, "f")).toBe("q".repeat(MIB))
        })
      )
    }), 60_000)
})

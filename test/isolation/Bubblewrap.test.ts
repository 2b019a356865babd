import { expect, layer } from "@effect/vitest"
import { Effect, Exit } from "effect"
import * as Fs from "node:fs"
import { createServer } from "node:net"
import type { ListenOptions } from "node:net"
import * as Path from "node:path"
import * as Bubblewrap from "../../src/isolation/Bubblewrap.js"
import { Isolation } from "../../src/isolation/Isolation.js"
import {
  engineGroups,
  eventually,
  isRoot,
  makeFolder,
  makeSandbox,
  processesIn,
  RESOURCES,
  writeAgent
} from "./support.js"

const listening = (options: ListenOptions) =>
  Effect.acquireRelease(
    Effect.async<{ readonly port: number }>((resume) => {
      const server = createServer((socket) => socket.end("reached"))
      server.listen(options, () => {
        const address = server.address()
        resume(Effect.succeed({ port: typeof address === "object" && address !== null ? address.port : 0 }))
      })
    }),
    () => Effect.void
  )

layer(Bubblewrap.layer(), { excludeTestServices: true })("Bubblewrap", (it) => {
  it.scoped("gives code a user, a home and a root of its own", () =>
    Effect.gen(function*() {
      const { evaluate } = yield* makeSandbox()
      expect(yield* evaluate("[os.getuid(), os.getgid(), os.getcwd(), socket.gethostname()]"))
        .toEqual([1000, 1000, "/workspace", "sandbox"])
      expect(yield* evaluate("__import__('pwd').getpwuid(os.getuid()).pw_name")).toBe("user")
      expect(yield* evaluate("sorted(os.listdir('/'))")).not.toContain("root")
      expect(yield* evaluate("dict(os.environ)")).toEqual({
        HOME: "/workspace",
        LANG: "C.UTF-8",
        PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        PWD: "/workspace"
      })
    }))

  it.scoped("keeps files written to /workspace, and nothing else", () =>
    Effect.gen(function*() {
      const { evaluate, workspace } = yield* makeSandbox()
      yield* evaluate("1", "open('/workspace/kept','w').write('yes'); open('/tmp/gone','w').write('no')")
      expect(Fs.readFileSync(Path.join(workspace, "kept"), "utf8")).toBe("yes")
      expect(Fs.statSync(Path.join(workspace, "kept")).uid).not.toBe(0)
    }))

  it.scoped("hides the host's files, also those that everybody may read", () =>
    Effect.gen(function*() {
      const folder = yield* makeFolder
      const secret = Path.join(folder, "secret")
      Fs.writeFileSync(secret, "s3cret", { mode: 0o644 })
      const { evaluate } = yield* makeSandbox()
      const paths = [
        secret,
        "/etc/shadow",
        "/etc/hostname",
        "/root",
        "/home/root",
        "/var",
        "/sys",
        `/proc/1/root${secret}`
      ]
      expect(yield* evaluate(`[os.path.exists(path) for path in ${JSON.stringify(paths)}]`))
        .toEqual(paths.map(() => false))
      // It leads to the second place of the workspace, and shows nothing.
      expect(yield* evaluate("os.access('/home', os.R_OK)")).toBe(false)
      // A link out of the workspace leads nowhere, for it is followed inside.
      yield* evaluate("1", `os.symlink(${JSON.stringify(secret)}, '/workspace/link')`)
      expect(yield* evaluate("os.path.exists('/workspace/link')")).toBe(false)
    }))

  it.scoped("lets nothing of the system be changed", () =>
    Effect.gen(function*() {
      const { evaluate } = yield* makeSandbox()
      const attempt = `def attempt(path):
    try:
        open(path, "w").close()
        return "written"
    except OSError as error:
        return error.errno`
      const paths = ["/x", "/etc/x", "/usr/x", "/usr/bin/x", "/dev/x", "/run/x", "/opt/sandbox/agent.py", "/etc/passwd"]
      expect(yield* evaluate(`[attempt(path) for path in ${JSON.stringify(paths)}]`, attempt))
        .not.toContain("written")
      expect(yield* evaluate("attempt('/proc/sys/kernel/core_pattern')")).not.toBe("written")
    }))

  it.scoped("cuts off the network, the host's loopback and its abstract sockets", () =>
    Effect.gen(function*() {
      const { port } = yield* listening({ host: "127.0.0.1", port: 0 })
      // As long as a name can be: a shorter one Node fills up with zeros, and it is then another one.
      const name = "isolation-test".padEnd(107, "-")
      yield* listening({ path: `\0${name}` })
      const { evaluate } = yield* makeSandbox()
      const attempt = `def attempt(family, address):
    try:
        with socket.socket(family) as s:
            s.settimeout(2)
            s.connect(address)
            return "connected"
    except OSError as error:
        return "refused"`
      expect(yield* evaluate(`attempt(socket.AF_INET, ("127.0.0.1", ${port}))`, attempt)).toBe("refused")
      expect(yield* evaluate(`attempt(socket.AF_UNIX, '\\0' + ${JSON.stringify(name)})`)).toBe("refused")
      expect(yield* evaluate("attempt(socket.AF_INET, ('169.254.169.254', 80))")).toBe("refused")
      expect(yield* evaluate("[name for _, name in socket.if_nameindex()]")).toEqual(["lo"])
      // Its own loopback works.
      const own = "server = socket.create_server(('127.0.0.1', 0))"
      expect(yield* evaluate("attempt(socket.AF_INET, server.getsockname())", own)).toBe("connected")
    }))

  it.scoped("shows no other process, no capability and a filter", () =>
    Effect.gen(function*() {
      const { evaluate } = yield* makeSandbox()
      expect(yield* evaluate("[name for name in os.listdir('/proc') if name.isdigit()]")).toEqual(["1"])
      const status = String(yield* evaluate("open('/proc/self/status').read()"))
      expect(status).toMatch(/CapEff:\t0+\n/)
      expect(status).toMatch(/CapBnd:\t0+\n/)
      expect(status).toContain("NoNewPrivs:\t1")
      expect(status).toContain("Seccomp:\t2")
      expect(yield* evaluate("open('/proc/1/cmdline').read().endswith('\\0-I\\0-S\\0/opt/sandbox/agent.py\\0')")).toBe(
        true
      )
      expect(yield* evaluate("'isolation-test' in open('/proc/1/cmdline').read()")).toBe(false)
    }))

  it.scoped("is in its control groups before it is in a namespace of them, so that it sees no names of the host's", () =>
    Effect.gen(function*() {
      const { evaluate } = yield* makeSandbox()
      expect(yield* evaluate("{line.rsplit(':', 1)[1] for line in open('/proc/1/cgroup').read().split()} == {'/'}"))
        .toBe(true)
    }))

  it.scoped("cannot be ended or frozen from inside", () =>
    Effect.gen(function*() {
      const { evaluate } = yield* makeSandbox()
      const kill = "subprocess.getstatusoutput('kill -STOP 1; kill -KILL 1; kill -ABRT 1; kill -KILL -1')[0] != 0"
      yield* evaluate("1", kill)
      expect(yield* evaluate("os.getpid()")).toBe(1)
    }))

  it.scoped("lets programs run that use threads, processes, terminals, locks and local sockets", () =>
    Effect.gen(function*() {
      const { evaluate } = yield* makeSandbox({ memoryMb: 512, processes: 100 })
      const runs = (command: string) => evaluate(`subprocess.getoutput(${JSON.stringify(command)})`)
      const worker = "new (require('worker_threads').Worker)('console.log(40 + 2)', { eval: true })"
      expect(yield* runs(`node -e "${worker}"`)).toBe("42")
      expect(yield* runs("python3 -c 'import multiprocessing as m; print(m.Pool(2).map(abs, [-1, -2]))'")).toBe(
        "[1, 2]"
      )
      expect(yield* runs("script -qc 'test -t 1 && echo terminal' /dev/null")).toContain("terminal")
      expect(yield* runs("echo a | sort | (cat; date > /dev/null) 2>&1")).toBe("a")
      const sockets = "import asyncio; print(asyncio.run(asyncio.sleep(0, 'slept')))"
      expect(yield* runs(`python3 -c "${sockets}"`)).toBe("slept")
      expect(yield* runs("node -p 'Object.keys(os.networkInterfaces())'")).toContain("lo")
    }))

  it.scoped("stops a fork bomb and answers afterwards", () =>
    Effect.gen(function*() {
      const { evaluate } = yield* makeSandbox({ processes: 24 })
      const bomb = `forked = 0
try:
    while forked < 500:
        if os.fork() == 0:
            signal.pause()
        forked += 1
except OSError as error:
    stopped = error.errno`
      if (isRoot) {
        expect(yield* evaluate("stopped", bomb)).toBe(11)
        expect(yield* evaluate("forked")).toBeLessThanOrEqual(25)
        expect(yield* evaluate("1 + 1")).toBe(2)
      }
    }))

  it.scoped("kills what takes too much memory, counts it, and goes on", () =>
    Effect.gen(function*() {
      const sandbox = yield* makeSandbox({ memoryMb: 96 })
      if (!sandbox.memoryLimited) return
      expect(yield* sandbox.outOfMemoryKills).toBe(0)
      const hog = `hog = subprocess.run([sys.executable, "-c", "x = b'x' * (200 * 2**20)"])`
      expect(yield* sandbox.evaluate("hog.returncode", hog)).toBe(-9)
      expect(yield* sandbox.outOfMemoryKills).toBeGreaterThan(0)
      expect(yield* sandbox.evaluate("1 + 1")).toBe(2)
    }))

  it.scoped("limits each folder in memory", () =>
    Effect.gen(function*() {
      const { evaluate } = yield* makeSandbox({ tmpMb: 4 })
      const fill = `def fill(path):
    written = 0
    try:
        with open(path, "wb", buffering=0) as file:
            while written < 100 * 2**20:
                written += file.write(bytes(2**20))
    except OSError as error:
        return [written, error.errno]
    finally:
        os.unlink(path)`
      expect(yield* evaluate("fill('/tmp/x')", fill)).toEqual([4 * 2 ** 20, 28])
      expect(yield* evaluate("fill('/dev/shm/x')")).toEqual([16 * 2 ** 20, 28])
      expect(yield* evaluate("fill('/run/sandbox/x')")).toEqual([2 ** 20, 28])
    }))

  it.effect("leaves no process and no control group when its scope closes", () =>
    Effect.gen(function*() {
      const before = engineGroups().flatMap((group) => Fs.readdirSync(group).filter((name) => name.startsWith("test-")))
      const namespace = yield* Effect.scoped(Effect.gen(function*() {
        const { evaluate } = yield* makeSandbox()
        const breed = `for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        for number in (1, 2, 15):
            signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            while True:
                signal.pause()
        os._exit(0)`
        const namespace = String(yield* evaluate("os.readlink('/proc/self/ns/pid')", breed))
        yield* eventually(() => processesIn(namespace).length >= 6)
        return namespace
      }))
      expect(processesIn(namespace)).toEqual([])
      const after = engineGroups().flatMap((group) => Fs.readdirSync(group).filter((name) => name.startsWith("test-")))
      expect(after).toEqual(before)
    }))

  it.effect("leaves no process when bubblewrap itself is killed", () =>
    Effect.gen(function*() {
      const namespace = yield* Effect.scoped(Effect.gen(function*() {
        const { evaluate, exited } = yield* makeSandbox()
        const namespace = String(yield* evaluate("os.readlink('/proc/self/ns/pid')"))
        const first = processesIn(namespace)[0]
        const parent = /PPid:\t(\d+)/.exec(Fs.readFileSync(`/proc/${first}/status`, "utf8"))?.[1]
        process.kill(Number(parent), "SIGKILL")
        expect(yield* exited).toEqual({ exitCode: null, signal: "SIGKILL" })
        return namespace
      }))
      expect(processesIn(namespace)).toEqual([])
    }))

  it.scoped("tells how an agent ended, and what it said last", () =>
    Effect.gen(function*() {
      const isolation = yield* Isolation
      const folder = yield* makeFolder
      const start = (name: string, source: string) =>
        Effect.gen(function*() {
          const agentDirectory = writeAgent(Path.join(folder, name), source)
          const workspace = Path.join(folder, name, "workspace")
          Fs.chmodSync(Path.join(folder, name), 0o711)
          yield* isolation.makeWorkspace(workspace)
          return yield* isolation.launch({ sandboxId: name, workspace, agentDirectory, resources: RESOURCES })
        })
      const raising = yield* start(
        "raising",
        "import sys; sys.stderr.write('x' * 100000); raise ValueError('last words')"
      )
      expect(yield* raising.exited).toEqual({ exitCode: 1, signal: null })
      yield* eventually(() => Effect.runSync(raising.diagnostics).endsWith("ValueError: last words\n"))
      expect((yield* raising.diagnostics).length).toBeLessThanOrEqual(8192)
      const crashing = yield* start("crashing", "import ctypes; ctypes.string_at(0)")
      expect(yield* crashing.exited).toEqual({ exitCode: null, signal: "SIGSEGV" })
    }))

  it.scoped("refuses a workspace whose owner no sandbox may be", () =>
    Effect.gen(function*() {
      const isolation = yield* Isolation
      const folder = yield* makeFolder
      const workspace = Path.join(folder, "made-by-hand")
      Fs.mkdirSync(workspace)
      if (!isRoot) return
      const exit = yield* Effect.exit(isolation.launch({
        sandboxId: "refused",
        workspace,
        agentDirectory: writeAgent(folder),
        resources: RESOURCES
      }))
      expect(exit).toSatisfy(Exit.isFailure)
      expect(String(exit)).toContain("belongs to user 0")
    }))

  it.scoped("names the folder that the sandbox's user cannot pass through", () =>
    Effect.gen(function*() {
      const isolation = yield* Isolation
      const folder = yield* makeFolder
      if (!isRoot) return
      Fs.chmodSync(folder, 0o700)
      const error = yield* Effect.flip(isolation.makeWorkspace(Path.join(folder, "workspace")))
      expect(error.code).toBe("start_failed")
      expect(error.message).toContain(`chmod o+x ${folder}`)
    }))

  it.scoped("runs many at a time, each apart from the others", () =>
    Effect.gen(function*() {
      const sandboxes = yield* Effect.all(Array.from({ length: 6 }, () => makeSandbox()), { concurrency: "unbounded" })
      const users = sandboxes.map(({ workspace }) => Fs.statSync(workspace).uid)
      if (isRoot) expect(new Set(users).size).toBe(6)
      const answers = yield* Effect.all(
        sandboxes.map(({ evaluate }, index) =>
          evaluate(
            "(os.listdir('/workspace'), len(os.listdir('/tmp')))",
            `open('/workspace/${index}','w').close(); open('/tmp/${index}','w').close()`
          )
        ),
        { concurrency: "unbounded" }
      )
      expect(answers).toEqual(sandboxes.map((_, index) => [[String(index)], 1]))
    }))
})

/**
 * The engine as a program of its own: as another user, with open descriptors, in a worker thread, and killed.
 */
import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import * as Bubblewrap from "../../src/isolation/Bubblewrap.js"
import { Guarantee } from "../../src/isolation/Guarantee.js"
import { Isolation } from "../../src/isolation/Isolation.js"
import * as None from "../../src/isolation/None.js"
import {
  bundleLauncher,
  engineGroups,
  eventually,
  isAlive,
  isRoot,
  processesIn,
  runLauncher,
  writeAgent
} from "./support.js"

const NOBODY = 65534

/** Leaves a process that is deaf to signals and out of its session, then tells of itself. */
const BREEDING = `
import ctypes, json, os, signal, sys, time
ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)
ready, told = os.pipe()
if os.fork() == 0:
    os.setsid()
    for number in (1, 2, 15):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        os.write(told, str(os.getpid()).encode())
        while True:
            time.sleep(3600)
    os._exit(0)
os.wait()
descendant = int(os.read(ready, 20))
files = {name: os.readlink("/proc/self/fd/" + name) for name in os.listdir("/proc/self/fd") if os.path.lexists("/proc/self/fd/" + name)}
print("noise", file=sys.stderr)
os.write(3, json.dumps({
    "namespace": os.readlink("/proc/self/ns/pid"),
    "descendant": descendant,
    "files": files,
    "environment": dict(os.environ),
    "cwd": os.getcwd(),
}).encode() + b"\\n")
os.read(3, 1)
`

const Said = Schema.Struct({
  namespace: Schema.String,
  descendant: Schema.Number,
  files: Schema.Record({ key: Schema.String, value: Schema.String }),
  environment: Schema.Record({ key: Schema.String, value: Schema.String }),
  cwd: Schema.String
})

let folder = ""
let launcher = ""

beforeAll(async () => {
  folder = Fs.mkdtempSync(Path.join(Os.tmpdir(), "isolation-host-"))
  // Any user may put a workspace there.
  Fs.chmodSync(folder, 0o1777)
  writeAgent(folder, BREEDING)
  launcher = await bundleLauncher(folder)
})
afterAll(() => Fs.rmSync(folder, { recursive: true, force: true }))

const start = (scenario: string, options?: Parameters<typeof runLauncher>[2], agent = folder) =>
  runLauncher(launcher, [scenario, agent], options)

const reported = <A, I>(launched: ReturnType<typeof runLauncher>, schema: Schema.Schema<A, I>) =>
  Effect.flatMap(Effect.promise(() => launched.said), Schema.decodeUnknown(schema))

/** What the agent of a launcher says. */
const said = (launched: ReturnType<typeof runLauncher>) => reported(launched, Said)

describe("an engine on this host", () => {
  it.live("gives all its guarantees as this user", () =>
    Effect.gen(function*() {
      const launched = start("doctor")
      const guarantees = yield* reported(launched, Schema.Array(Guarantee))
      expect(guarantees.filter(({ holds }) => !holds)).toEqual([])
      expect(guarantees.length).toBeGreaterThan(15)
      expect(yield* Effect.promise(() => launched.ended)).toBe(0)
    }))

  it.live.skipIf(!isRoot)(
    "gives all its guarantees as an ordinary user, and calls soft what is",
    () =>
      Effect.gen(function*() {
        const launched = start("doctor", { uid: NOBODY })
        const guarantees = yield* reported(launched, Schema.Array(Guarantee))
        expect(guarantees.filter(({ holds }) => !holds)).toEqual([])
        // A handler of crashes is a matter of the host, not of the user.
        const soft = guarantees.filter(({ id, soft }) => soft === true && id !== "crash-handler")
        expect(soft.map(({ id }) => id)).toEqual([
          "memory",
          "process-count",
          "processor-time",
          "disk",
          "user-allowances"
        ])
        expect(soft.every(({ detail, fix }) => detail !== undefined && fix !== undefined)).toBe(true)
        expect(yield* Effect.promise(() => launched.ended)).toBe(0)
      })
  )

  it.live("passes none of its open files and none of its environment on", () =>
    Effect.gen(function*() {
      const secret = Fs.openSync("/etc/passwd", "r")
      const extra: Array<number | "ignore"> = Array.from({ length: 198 }, () => "ignore")
      extra[20 - 3] = secret
      extra[200 - 3] = secret
      const { environment, files } = yield* said(start("once", { extra, env: { ENGINE_SECRET: "s3cret" } }))
      Fs.closeSync(secret)
      expect(files["20"]).toBe("/dev/null")
      expect(files["200"]).toBe("/dev/null")
      expect(Object.values(files)).not.toContain("/etc/passwd")
      expect(environment).not.toHaveProperty("ENGINE_SECRET")
    }))

  for (const uid of isRoot ? [undefined, NOBODY] : [undefined]) {
    for (const [scenario, what] of [["hold", ""], ["holdFrozen", " while a sandbox is paused"]] as const) {
      it.live(`leaves no process when it is killed${what}${uid === undefined ? "" : `, as user ${uid}`}`, () =>
        Effect.gen(function*() {
          const launched = start(scenario, uid === undefined ? {} : { uid })
          const { namespace } = yield* said(launched)
          expect(processesIn(namespace).length).toBeGreaterThanOrEqual(2)
          launched.kill()
          yield* eventually(() => processesIn(namespace).length === 0)
        }))
    }
  }

  it.live("has its control groups removed by the next engine", () =>
    Effect.gen(function*() {
      const launched = start("hold")
      const { namespace } = yield* said(launched)
      const groups = () =>
        engineGroups().filter((path) => Path.basename(path).startsWith(`sandbox-sdk-${launched.pid}-`))
      const made = groups().length
      // The groups of an engine that lives are left alone.
      yield* reap
      expect(groups().length).toBe(made)
      launched.kill()
      yield* eventually(() => processesIn(namespace).length === 0)
      expect(groups().length).toBe(made)
      yield* reap
      expect(groups()).toEqual([])
    }))

  it.live("says why it cannot start sandboxes from a worker thread", () =>
    Effect.gen(function*() {
      const error = yield* Effect.promise(() => start("worker").said)
      expect(error).toMatchObject({ _tag: "SandboxError", code: "isolation_unavailable" })
      expect(JSON.stringify(error)).toContain("main thread")
    }))

  for (const uid of isRoot ? [undefined, NOBODY] : [undefined]) {
    it.live(`without isolation still ends all that was started${uid === undefined ? "" : `, as user ${uid}`}`, () =>
      Effect.gen(function*() {
        const launched = start("none", uid === undefined ? {} : { uid })
        const { cwd, descendant, environment } = yield* said(launched)
        expect(yield* Effect.promise(() => launched.ended)).toBe(0)
        expect(isAlive(String(descendant))).toBe(false)
        expect(environment["SANDBOX_WORKSPACE"]).toBe(cwd)
        expect(environment["SANDBOX_HOME"]).toBe(Path.join(folder, "agent"))
        expect(Fs.existsSync(environment["SANDBOX_RUN"] ?? "/")).toBe(false)
        expect(launched.printed().match(/level=WARN.*Isolation is/g)).toHaveLength(1)
      }))
  }

  const others = isRoot ? { uid: NOBODY } : {}

  it.live("without isolation and control groups still ends what an agent that crashed has left", () =>
    Effect.gen(function*() {
      const crashing = Fs.mkdtempSync(Path.join(folder, "crashing-"))
      Fs.chmodSync(crashing, 0o1777)
      writeAgent(crashing, `${BREEDING.trimEnd().slice(0, BREEDING.trimEnd().lastIndexOf("\n"))}\nos.abort()\n`)
      const launched = start("none", others, crashing)
      const { descendant } = yield* said(launched)
      expect(yield* Effect.promise(() => launched.ended)).toBe(0)
      expect(isAlive(String(descendant))).toBe(false)
    }))

  it.live("without isolation has what it left ended by the next engine", () =>
    Effect.gen(function*() {
      const launched = start("noneHold", others)
      const { descendant } = yield* said(launched)
      launched.kill()
      yield* Effect.promise(() => launched.ended)
      expect(isAlive(String(descendant))).toBe(true)
      yield* Effect.flatMap(Isolation, (isolation) => isolation.reap).pipe(Effect.provide(None.layer))
      expect(isAlive(String(descendant))).toBe(false)
    }))
})

const reap = Effect.flatMap(Isolation, (isolation) => isolation.reap).pipe(Effect.provide(Bubblewrap.layer()))

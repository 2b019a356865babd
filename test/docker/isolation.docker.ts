import { describe, expect, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule } from "effect"
import { spawn } from "node:child_process"
import * as Fs from "node:fs"
import * as Os from "node:os"
import * as Path from "node:path"
import { Docker, doctor, layerLocal } from "../../src/local.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { TemplateConfig } from "../../src/Template.js"
import { failsWith } from "../conformance/support.js"
import { bytes, endings } from "./containers.js"
import { containersOf, docker, dockerAt } from "./docker.js"
import { copyImage, IMAGES } from "./images.js"

const base = { name: "in an image", language: "python" as const, version: "3" }

/** A sandbox of a template with an image. */
const inImage = (dockerImage: string, config: Partial<TemplateConfig> = {}) =>
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const template = yield* sdk.createTemplate({ ...base, ...config, dockerImage })
    const { sandbox } = yield* sdk.createSandbox({ templateId: template.id, initialEnvVars: { OWN: "mine" } })
    return { sdk, id: sandbox.id, templateId: template.id }
  })

const inDocker = layerLocal({ isolation: "docker", docker: { image: IMAGES.full } })

describe("an image", () => {
  it.live("without Python and Node, even without a C library, has commands and files, and says what is missing", () =>
    Effect.gen(function*() {
      const { id, sdk } = yield* inImage(IMAGES.busybox)
      yield* sdk.writeFile(id, "a/b.txt", "from outside")
      expect(yield* sdk.runTerminal(id, "cat a/b.txt; echo; echo $GREETING $OWN $PATH $SHELL; echo out > c")).toBe(
        "from outside\nhello mine /workspace/.local/bin:/bin /bin/sh\n"
      )
      expect(yield* sdk.readFile(id, "c")).toBe("out\n")
      const missing = { _tag: "SandboxError", code: "language_unavailable" }
      expect((yield* failsWith(sdk.runCode(id, "1"), missing)).message).toMatch(/no interpreter for python/)
      const node = yield* failsWith(sdk.runCode(id, "1", { language: "javascript" }), missing)
      expect(node.message).toMatch(/no node/)
      expect((yield* failsWith(sdk.runCode(id, "1", { language: "bash" }), missing)).message).toMatch(/no bash/)
      // The Python that runs the agent there is nobody's.
      expect(yield* sdk.runTerminal(id, "python3 -c 1 2> /dev/null || echo none")).toBe("none\n")
    }).pipe(Effect.provide(layerLocal())))

  it.live("with Node and no Python has the whole of JavaScript and TypeScript, beside sandboxes of the machine", () =>
    Effect.gen(function*() {
      const { id, sdk } = yield* inImage(IMAGES.node, { language: "javascript", version: "20" })
      const { execution } = yield* sdk.runCode(
        id,
        "import * as os from 'node:os'\nconst a = await 6; [a * 7, os.hostname()]"
      )
      expect(execution.text).toBe("[ 42, 'sandbox' ]")
      expect((yield* sdk.runCode(id, "a + 1")).execution.text).toBe("7")
      expect((yield* sdk.runCode(id, "const b: number = 2; b", { language: "typescript" })).execution.text).toBe("2")
      yield* failsWith(sdk.runCode(id, "1", { language: "python" }), { code: "language_unavailable" })
      // What the image declares as a volume is no place on the host's disk.
      expect(
        yield* sdk.runTerminal(
          id,
          "stat -f -c '%T %s' /var/data; dd if=/dev/zero of=/var/data/x bs=1M count=9 2>&1 | tail -1"
        )
      )
        .toMatch(/^tmpfs [\s\S]*\n1048576 bytes|No space/)
      const { sandbox } = yield* sdk.createSandbox({ templateId: "python" })
      expect((yield* sdk.runCode(sandbox.id, "import os; os.getuid()")).execution.text).toBe("1000")
    }).pipe(Effect.provide(layerLocal())))

  it.live("for another machine, one that is nowhere, and one without the wanted version are refused, and say why", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const refused = (dockerImage: string, version = "3") =>
        Effect.map(
          failsWith(sdk.createTemplate({ ...base, version, dockerImage }), {
            _tag: "SandboxError",
            code: "template_unavailable"
          }),
          ({ message }) => message
        )
      expect(yield* refused(IMAGES.foreign)).toMatch(/is for linux on (arm64|amd64), and Docker .* runs linux on/)
      expect(yield* refused("localhost:9/nowhere")).toMatch(/There is no image "localhost:9\/nowhere"/)
      expect(yield* refused("0123456789ab")).toMatch(/no image with the id/)
      expect(yield* refused(IMAGES.full, "2.7")).toMatch(/has no python 2\.7; it has 3\./)
    }).pipe(Effect.provide(layerLocal())))

  it.live("is pulled when it is not there, and its progress is told", () =>
    Effect.gen(function*() {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => Fs.mkdtempSync(Path.join(Os.tmpdir(), "registry-"))),
        (path) => Effect.sync(() => Fs.rmSync(path, { recursive: true, force: true }))
      )
      const settings = Path.join(folder, "config.yml")
      const port = 5000 + (process.pid % 1000)
      Fs.writeFileSync(
        settings,
        `version: 0.1\nstorage: {filesystem: {rootdirectory: ${folder}/data}}\nhttp: {addr: "127.0.0.1:${port}"}\n`
      )
      yield* Effect.acquireRelease(
        Effect.sync(() => spawn("docker-registry", ["serve", settings], { stdio: "ignore" })),
        (child) => Effect.sync(() => child.kill("SIGKILL"))
      )
      const name = `127.0.0.1:${port}/pulled`
      yield* docker("tag", IMAGES.busybox, name)
      yield* Effect.retry(
        Effect.sandbox(docker("push", name)),
        Schedule.intersect(Schedule.spaced(200), Schedule.recurs(20))
      ).pipe(
        Effect.orDie
      )
      yield* docker("rmi", name, IMAGES.busybox)
      const lines: Array<string> = []
      const logger = Logger.make(({ message }) => void lines.push(String(message)))
      yield* Effect.gen(function*() {
        const { id, sdk } = yield* inImage(name)
        expect(yield* sdk.runTerminal(id, "echo pulled")).toBe("pulled\n")
      }).pipe(Effect.provide(Layer.merge(layerLocal(), Logger.replace(Logger.defaultLogger, logger))))
      expect(lines.join("\n")).toMatch(/is not here and is pulled/)
      expect(lines.join("\n")).toMatch(/1 of 1 layers/)
      yield* docker("tag", name, IMAGES.busybox)
      yield* docker("rmi", name)
    }).pipe(Effect.scoped))
})

describe("a container", () => {
  it.live("has the walls that were meant, as the engine sees it, and goes with its sandbox", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const resources = { memoryMb: 128, cpus: 0.5, processes: 40, openFiles: 300 }
      const { sandbox } = yield* sdk.createSandbox({ templateId: "bash", resources })
      const [name = ""] = yield* containersOf(sandbox.id)
      const found: unknown = JSON.parse(yield* docker("inspect", name, "--format", "{{json .HostConfig}}"))
      expect(found).toMatchObject({
        NetworkMode: "none",
        ReadonlyRootfs: true,
        Privileged: false,
        AutoRemove: true,
        CapAdd: null,
        CapDrop: ["ALL"],
        Memory: 128 << 20,
        MemorySwap: 128 << 20,
        NanoCpus: 5e8,
        PidsLimit: 41,
        IpcMode: "private",
        LogConfig: { Type: "none" },
        SecurityOpt: ["no-new-privileges", expect.stringMatching(/^seccomp=\{/)]
      })
      yield* sdk.stopSandbox(sandbox.id)
      expect(yield* containersOf(sandbox.id)).toEqual([])
      expect(yield* sdk.runTerminal(sandbox.id, "echo again")).toBe("again\n")
      yield* sdk.deleteSandbox(sandbox.id)
      expect(yield* containersOf(sandbox.id)).toEqual([])
    }).pipe(Effect.provide(inDocker)))

  it.live("that is removed behind the engine's back is told of, and its sandbox starts again", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { sandbox } = yield* sdk.createSandbox({ templateId: "bash" })
      yield* sdk.writeFile(sandbox.id, "kept", "kept")
      const [name = ""] = yield* containersOf(sandbox.id)
      yield* docker("rm", "--force", name)
      yield* failsWith(sdk.runTerminal(sandbox.id, "echo"), { code: "terminated" })
      yield* sdk.startSandbox(sandbox.id)
      expect(yield* sdk.readFile(sandbox.id, "kept")).toBe("kept")
    }).pipe(Effect.provide(inDocker)))

  bytes(inDocker)
})

/** An engine that sees other files than this program, as one on another machine does; its address. */
const elsewhere = Effect.gen(function*() {
  const port = 6000 + (process.pid % 1000)
  const address = `tcp://127.0.0.1:${port}`
  // The disks of other sandboxes must not stay mounted there.
  const script = `awk '$5 ~ "^${Os.tmpdir()}/" {print $5}' /proc/self/mountinfo | xargs -r umount -l; ` +
    "mount -t tmpfs none /tmp && mount -t tmpfs none /run && mkdir /tmp/data && exec dockerd --bridge none " +
    `--iptables=false --ip6tables=false --data-root /tmp/data --pidfile /tmp/pid --host ${address} --tls=false`
  yield* Effect.acquireRelease(
    Effect.sync(() =>
      spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", script], { stdio: "ignore" })
    ),
    (child) =>
      Effect.async<void>((resume) => {
        child.once("exit", () => resume(Effect.void))
        child.kill("SIGTERM")
      })
  )
  const there = dockerAt(address)
  yield* Effect.retry(
    Effect.sandbox(there("version")),
    Schedule.intersect(Schedule.spaced(200), Schedule.recurs(100))
  ).pipe(Effect.orDie)
  yield* Effect.promise(() => copyImage(IMAGES.busybox, address))
  return address
})

describe("a host", () => {
  it.live("without an engine of containers starts sandboxes of the machine all the same, and says what to do", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      yield* sdk.createSandbox({ templateId: "bash" })
      const error = yield* failsWith(sdk.createTemplate({ ...base, dockerImage: IMAGES.busybox }), {
        code: "isolation_unavailable"
      })
      expect(error.message).toMatch(/There is no Docker Engine at unix:\/\/\/nowhere\/docker\.sock\. To help: /)
    }).pipe(Effect.provide(layerLocal({ docker: { address: "unix:///nowhere/docker.sock" } }))))

  it.live("without one starts no sandbox with isolation docker", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      yield* failsWith(sdk.createSandbox({ templateId: "python" }), { code: "isolation_unavailable" })
    }).pipe(
      Effect.provide(layerLocal({ isolation: "docker", docker: { address: "unix:///nowhere/docker.sock" } }))
    ))

  it.scopedLive("is not served by an engine on another machine, and says what to do", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const error = yield* failsWith(sdk.createSandbox({ templateId: "bash" }), { code: "isolation_unavailable" })
      expect(error.message).toMatch(/Docker at tcp:\/\/127\.0\.0\.1:\d+ is on another machine.* does not see the files/)
      expect(error.message).toMatch(/run this SDK there \(sandbox serve\)/)
    }).pipe(
      Effect.provide(Layer.unwrapScoped(Effect.map(elsewhere, (address) =>
        layerLocal({ isolation: "docker", docker: { address, image: IMAGES.busybox } }))))
    ))

  it.live("is not served by an engine that is reached by SSH, and says what to do", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const error = yield* failsWith(sdk.createSandbox({ templateId: "bash" }), { code: "isolation_unavailable" })
      expect(error.message).toMatch(
        /at ssh:\/\/me@example\.org is on another machine.*run this SDK there \(sandbox serve\)/
      )
    }).pipe(Effect.provide(layerLocal({ isolation: "docker", docker: { address: "ssh://me@example.org" } }))))

  it.live("is told what a container guarantees", () =>
    Effect.gen(function*() {
      const found = yield* doctor
      expect(found.filter(({ holds }) => !holds)).toEqual([])
      expect(found.map(({ id }) => id)).toContain("memory")
    }).pipe(Effect.provide(Docker.layer({ image: IMAGES.node }))))
})

describe("an engine whose process", () => {
  endings()

  it.live("is gone has what it left behind removed by the next one, and nobody else's", () =>
    Effect.gen(function*() {
      const make = (owner: string) =>
        docker("create", "--label", `sandbox-sdk.owner=${owner}`, IMAGES.busybox, "sleep", "1000")
      const namespace = Fs.readlinkSync("/proc/self/ns/pid").replace(/\D/g, "")
      const dead = yield* make(`sandbox-sdk-${process.pid}-1-${namespace}`)
      const elsewhere = yield* make(`sandbox-sdk-${process.pid}-1-1`)
      yield* Effect.flatMap(SandboxSDK, (sdk) => sdk.getTemplates()).pipe(Effect.provide(inDocker))
      const left = yield* docker("ps", "--all", "--quiet", "--no-trunc")
      expect(left).not.toContain(dead)
      expect(left).toContain(elsewhere)
      yield* docker("rm", elsewhere)
    }))
})

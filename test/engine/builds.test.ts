/**
 * What only the engine promises of builds: real package managers, sharing, hostile trees, what is left behind.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { CurrentUser } from "../../src/CurrentUser.js"
import { layerLocal } from "../../src/local.js"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import { eventually, failsWith } from "../conformance/support.js"
import { NODE_PACKAGE, packageIndex, PYTHON_PACKAGE } from "../support/packageIndex.js"

const makeFolder = Effect.acquireRelease(
  Effect.promise(async () => {
    const path = await Fs.mkdtemp(Path.join(Os.tmpdir(), "builds-"))
    await Fs.chmod(path, 0o755)
    return path
  }),
  (path) => Effect.promise(() => Fs.rm(path, { recursive: true, force: true }))
)

const names = (path: string) => Effect.promise(() => Fs.readdir(path))

const bash = (installCommand: string) => ({ name: "Built", language: "bash" as const, version: "5", installCommand })

const output = (templateId: string, command: string) =>
  Effect.scoped(Effect.flatMap(Sandbox.make({ templateId }), (sandbox) => sandbox.runTerminal(command)))

describe("packages", () => {
  it.scopedLive(
    "are installed by pip and npm from where the operator lets builds go, and found without a network",
    () =>
      Effect.gen(function*() {
        const index = yield* packageIndex
        const use = Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const defaultEnvVars = index.env
          const python = yield* sdk.createTemplate({
            name: "Python",
            language: "python",
            version: "3",
            dependencies: [`${PYTHON_PACKAGE}==1.0`],
            defaultEnvVars
          })
          expect(python.build?.status).toBe("ready")
          yield* Effect.scoped(Effect.gen(function*() {
            const sandbox = yield* Sandbox.make({ templateId: python.id })
            const { execution } = yield* sandbox.runCode(`import ${PYTHON_PACKAGE} as g\ng.greet('Ada')`)
            expect(execution.text).toBe("'hello Ada from the wheel'")
            expect(yield* sandbox.runTerminal(`${PYTHON_PACKAGE}-hello`)).toBe("hello from the script of the wheel\n")
            expect(yield* sandbox.runTerminal(`python3 -c "import ${PYTHON_PACKAGE} as g; print(g.greet('B'))"`)).toBe(
              "hello B from the wheel\n"
            )
          }))

          const node = yield* sdk.createTemplate({
            name: "Node",
            language: "typescript",
            version: "20",
            dependencies: [`${NODE_PACKAGE}@^1.0.0`],
            defaultEnvVars
          })
          yield* Effect.scoped(Effect.gen(function*() {
            const sandbox = yield* Sandbox.make({ templateId: node.id })
            const typed = yield* sandbox.runCode(
              `import { greet } from "${NODE_PACKAGE}"\nconst s: string = greet("Bo")\ns`
            )
            expect(typed.execution.text).toBe("'hello Bo from the tarball'")
            const required = yield* sandbox.runCode(`require("${NODE_PACKAGE}").greet("Cy")`, {
              language: "javascript"
            })
            expect(required.execution.text).toBe("'hello Cy from the tarball'")
            yield* sandbox.writeFile("deep/down/x.mjs", `import g from "${NODE_PACKAGE}"; console.log(g.greet("Di"))`)
            expect(yield* sandbox.runTerminal("node deep/down/x.mjs")).toBe("hello Di from the tarball\n")
            expect(yield* sandbox.runTerminal(NODE_PACKAGE)).toBe("hello from the tool\n")
          }))

          // What an install command installs is found as well.
          const both = yield* sdk.createTemplate({
            ...bash(`pip install ${PYTHON_PACKAGE} && npm install ${NODE_PACKAGE}`),
            defaultEnvVars
          })
          const said = yield* output(both.id, `${PYTHON_PACKAGE}-hello; ${NODE_PACKAGE}`)
          expect(said).toBe("hello from the script of the wheel\nhello from the tool\n")
          const asked = index.requests.get(`/npm/${NODE_PACKAGE}`)
          yield* Effect.forEach([1, 2, 3], () => output(node.id, "true"), { concurrency: 3 })
          expect(index.requests.get(`/npm/${NODE_PACKAGE}`)).toBe(asked)
        })
        yield* Effect.provide(use, layerLocal({ network: "any", buildNetwork: { allow: [index.address] } }))
      }),
    120_000
  )

  it.scopedLive(
    "cannot be reached where the operator does not allow it, which the failure tells",
    () =>
      Effect.gen(function*() {
        const index = yield* packageIndex
        const create = Effect.flatMap(SandboxSDK, (sdk) =>
          sdk.createTemplate({
            ...bash(`echo trying; curl --silent --show-error --fail ${index.env.npm_config_registry}`),
            defaultEnvVars: index.env
          }))
        for (
          const options of [
            { network: "any", buildNetwork: "none" },
            { network: "none", buildNetwork: { allow: [index.address] } },
            { network: "any" }
          ] as const
        ) {
          const error = yield* failsWith(Effect.provide(create, layerLocal(options)), { code: "build_failed" })
          expect(error.message).toContain("trying")
        }
        expect(index.requests.size).toBe(0)
      }),
    60_000
  )
})

describe("builds", () => {
  it.scopedLive(
    "are made once for who asks for the same at the same time, and never shared between users",
    () =>
      Effect.gen(function*() {
        const folder = yield* makeFolder
        const use = Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const config = bash("echo $RANDOM > random; sleep 0.5")
          const made = yield* Effect.forEach([1, 2, 3, 4], () => sdk.createTemplate(config), { concurrency: 4 })
          expect(new Set(made.map(({ build }) => build?.id)).size).toBe(1)
          expect(yield* names(Path.join(folder, "builds"))).toHaveLength(1)
          const other = yield* Effect.provideService(sdk.createTemplate(config), CurrentUser, "somebody else")
          expect(other.build?.id).not.toBe(made[0]?.build?.id)
          yield* failsWith(sdk.getTemplateBuilds(other.id), { code: "template_not_found" })
          // One of several that wait leaves: the build goes on for the others.
          const slow = bash("sleep 0.7; echo slow")
          const [first, second] = yield* Effect.all([
            Effect.fork(sdk.createTemplate(slow)),
            Effect.fork(sdk.createTemplate(slow))
          ])
          yield* Effect.sleep("300 millis")
          yield* Fiber.interrupt(first)
          expect((yield* Fiber.join(second)).build?.status).toBe("ready")
        })
        yield* Effect.provide(use, layerLocal({ dataDirectory: folder }))
      }),
    60_000
  )

  it.scopedLive(
    "are removed with the last that needs them, and survive the engine until then",
    () =>
      Effect.gen(function*() {
        const folder = yield* makeFolder
        const engine = <A, E>(use: Effect.Effect<A, E, SandboxSDK>) =>
          Effect.provide(use, layerLocal({ dataDirectory: folder }))
        const builds = names(Path.join(folder, "builds"))
        const [id, sandboxId] = yield* engine(Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const template = yield* sdk.createTemplate(bash("echo kept > kept; echo told"))
          const { sandbox } = yield* sdk.createSandbox({ templateId: template.id })
          return [template.id, sandbox.id] as const
        }))
        expect(yield* builds).toHaveLength(1)
        yield* engine(Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const { build } = yield* sdk.getTemplate(id)
          expect(build).toMatchObject({ status: "ready" })
          const events = [...yield* Stream.runCollect(sdk.streamTemplateBuild(id))]
          expect(events.find(({ _tag }) => _tag === "BuildOutput")).toMatchObject({ text: "told\n" })
          expect(yield* sdk.runTerminal(sandboxId, "cat $TEMPLATE_DIR/kept")).toBe("kept\n")
          expect(yield* output(id, "cat $TEMPLATE_DIR/kept")).toBe("kept\n")
          // Nothing is built anew.
          expect((yield* sdk.createTemplate(bash("echo kept > kept; echo told"))).build?.id).toBe(build?.id)
          for (const { id } of (yield* sdk.getTemplates(1, 100)).templates.filter(({ isPublic }) => !isPublic)) {
            yield* sdk.deleteTemplate(id)
          }
          expect(yield* builds).toHaveLength(1)
        }))
        yield* engine(Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          expect(yield* sdk.runTerminal(sandboxId, "cat $TEMPLATE_DIR/kept")).toBe("kept\n")
          yield* sdk.deleteSandbox(sandboxId)
          expect(yield* builds).toEqual([])
        }))
      }),
    60_000
  )

  it.scopedLive(
    "that an engine has not brought to their end have failed, and nothing is left of them",
    () =>
      Effect.gen(function*() {
        const folder = yield* makeFolder
        const engine = <A, E>(use: Effect.Effect<A, E, SandboxSDK>) =>
          Effect.provide(use, layerLocal({ dataDirectory: folder }))
        const id = yield* engine(Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const { id } = yield* sdk.createTemplate(bash("echo begun; sleep 1000"), { wait: false })
          yield* Stream.runDrain(Stream.takeUntil(sdk.streamTemplateBuild(id), ({ _tag }) => _tag === "BuildOutput"))
          return id
        }))
        expect(yield* names(Path.join(folder, "builds"))).toEqual([])
        // As a killed engine leaves one.
        const half = Path.join(folder, "builds", "bld_aaaaaaaaaaaaaaaaaaaa")
        yield* Effect.promise(() => Fs.mkdir(Path.join(half, "workspace"), { recursive: true }))
        yield* engine(Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const { build } = yield* sdk.getTemplate(id)
          expect(build).toMatchObject({ status: "failed", error: { code: "build_failed" } })
          expect(build?.error?.message).toContain("The engine ended before")
          yield* failsWith(sdk.createSandbox({ templateId: id }), { code: "build_failed" })
          expect(yield* names(Path.join(folder, "builds"))).toEqual([])
        }))
      }),
    60_000
  )

  it.scopedLive(
    "leave plain files that nobody inside owns, whatever they were made into",
    () =>
      Effect.gen(function*() {
        const folder = yield* makeFolder
        const use = Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const template = yield* sdk.createTemplate(bash(`
          mkfifo pipe; python3 -c "import socket; socket.socket(socket.AF_UNIX).bind('socket')"
          ln -s /etc/shadow shadow; ln -s / root; ln -s ../../../../.. up; ln -s nowhere dangling
          echo one > one; ln one two; truncate -s 900M sparse; mkdir -p closed/inner; echo in > closed/inner/file
          chmod 4755 one; chmod 000 closed; echo odd > $'new\\nline'; printf x > "$(printf '\\377')"; mkdir -m 1777 open
        `))
          const layer = Path.join(folder, "builds", template.build?.id ?? "", "layer")
          const found = execFileSync("find", [layer, "-mindepth", "1", "-printf", "%y %m %U %n\\n"], {
            encoding: "utf8"
          })
          const kinds = new Set(found.trim().split("\n").map((line) => line.split(" ")[0]))
          expect([...kinds].sort()).toEqual(["d", "f", "l"])
          const modes = found.trim().split("\n").flatMap((line) => line.startsWith("l") ? [] : [line.split(" ")[1]])
          expect([...new Set(modes)].sort()).toEqual(["644", "755"])
          expect(new Set(found.trim().split("\n").map((line) => line.split(" ")[2]))).toEqual(
            new Set([String(process.getuid?.())])
          )
          expect(template.build?.sizeBytes).toBeLessThan(1_000_000)
          const said = yield* output(
            template.id,
            "cd $TEMPLATE_DIR; cat closed/inner/file $'new\\nline'; stat -c %s sparse; stat -c %h one; cat shadow || ls up"
          )
          expect(said).toContain("in\nodd\n943718400\n2\n")
          expect(said).not.toContain("root:")
        })
        yield* Effect.provide(use, layerLocal({ dataDirectory: folder }))
      }),
    60_000
  )

  it.scopedLive(
    "are bounded: a log that is too long is cut and says so, a layer that is too large fails",
    () =>
      Effect.gen(function*() {
        const use = Effect.gen(function*() {
          const sdk = yield* SandboxSDK
          const loud = yield* sdk.createTemplate(bash("head -c 6000000 /dev/zero | tr '\\0' x; echo; echo the end"))
          const events = [...yield* Stream.runCollect(sdk.streamTemplateBuild(loud.id))]
          const kept = events.reduce((sum, event) => event._tag === "BuildOutput" ? sum + event.text.length : sum, 0)
          const last = events.at(-1)
          expect(kept).toBeLessThan(4_200_000)
          expect(last?._tag === "BuildEnded" ? kept + (last.dropped ?? 0) : 0).toBe(6_000_009)
          const error = yield* failsWith(
            sdk.createTemplate({
              ...bash("set -e; head -c 100M /dev/urandom > big; sleep 5"),
              resources: { diskMb: 16 }
            }),
            { code: "build_failed" }
          )
          expect(error.message).toMatch(/full|space|status/i)
        })
        yield* Effect.provide(use, layerLocal())
      }),
    60_000
  )

  it.scopedLive("are closed with their template while commands run that do not heed it", () =>
    Effect.gen(function*() {
      const mark = `build-${Math.random().toString(36).slice(2)}`
      const running = Effect.sync(() =>
        execFileSync("ps", ["-eo", "args"], { encoding: "utf8" }).split("\n").some((line) =>
          line.includes(`${mark} 1000`)
        )
      )
      const use = Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const { id } = yield* sdk.createTemplate(
          bash(
            `trap '' INT TERM; (setsid bash -c 'exec -a ${mark} sleep 1000' &); bash -c 'exec -a ${mark} sleep 1000'`
          ),
          { wait: false }
        )
        yield* eventually(running)
        yield* sdk.deleteTemplate(id)
        expect(yield* running).toBe(false)
      })
      yield* Effect.provide(use, layerLocal())
    }), 60_000)
})

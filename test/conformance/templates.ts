import { expect } from "@effect/vitest"
import { Effect, Fiber, Option, Stream } from "effect"
import { Sandbox } from "../../src/Sandbox.js"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { Part } from "./support.js"
import { eventually, failsWith } from "./support.js"

export const templates: Part = (it) => {
  it.effect("lists a template for each interpreter, in pages", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      yield* sdk.getTemplate("python")
      const all = yield* sdk.getTemplates()
      expect(all).toMatchObject({ page: 1, pageSize: 10, total: all.templates.length })
      const ids = all.templates.map(({ id }) => id)
      expect(ids).toEqual(expect.arrayContaining([expect.stringMatching(/^python-3\.\d+$/), "bash"]))
      const second = yield* sdk.getTemplates(2, 1)
      expect(second).toMatchObject({ page: 2, pageSize: 1, total: all.total, templates: [{ id: ids[1] }] })
      expect((yield* sdk.getTemplates(1000, 10)).templates).toEqual([])
    }))

  it.effect("finds a template by id and by alias", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const python = yield* sdk.getTemplate("python")
      expect(python.config.language).toBe("python")
      expect(yield* sdk.getTemplate(python.id)).toEqual(python)
      expect((yield* sdk.getTemplate("typescript")).config.language).toBe("typescript")
      expect((yield* sdk.getTemplate("javascript")).config.language).toBe("javascript")
    }))

  it.effect("says that a template does not exist, or what its interpreter needs", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      yield* failsWith(sdk.getTemplate("cobol"), {
        _tag: "SandboxError",
        code: "template_not_found",
        field: "templateId"
      })
      yield* failsWith(sdk.getTemplate("python-2.4"), { _tag: "SandboxError", code: "template_unavailable" })
      const error = yield* failsWith(sdk.createSandbox({ templateId: "cobol" }), { code: "template_not_found" })
      expect(error.message).toContain("bash")
    }))

  it.scoped("makes, uses and deletes a template of one's own", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const { version } = (yield* sdk.getTemplate("python")).config
      const config = {
        name: "Custom Python",
        language: "python" as const,
        version: version.split(".").slice(0, 2).join("."),
        defaultEnvVars: { GREETING: "hello" },
        timeoutMs: 5000,
        maxInstances: 1
      }
      const template = yield* sdk.createTemplate(config)
      expect(template).toMatchObject({ config, isPublic: false })
      expect(yield* sdk.getTemplate(template.id)).toEqual(template)
      const { templates } = yield* sdk.getTemplates(1, 100)
      expect(templates.map(({ id }) => id)).toContain(template.id)
      const sandbox = yield* Sandbox.make({ templateId: template.id })
      const { execution } = yield* sandbox.runCode("import os; os.environ['GREETING']")
      expect(execution.text).toBe("'hello'")
      yield* failsWith(sdk.createSandbox({ templateId: template.id }), { _tag: "SandboxError", code: "quota_exceeded" })
      yield* sdk.deleteTemplate(template.id)
      yield* sdk.deleteTemplate(template.id)
      yield* failsWith(sdk.getTemplate(template.id), { _tag: "SandboxError", code: "template_not_found" })
      expect((yield* sandbox.runCode("1")).execution.text).toBe("1")
    }))

  it.effect("tells of each template of the machine which languages and versions it runs, and its limits", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      yield* sdk.getTemplate("python")
      const { templates } = yield* sdk.getTemplates(1, 100)
      for (const { config, isPublic, languages = [], limits } of templates.filter(({ isPublic }) => isPublic)) {
        expect(isPublic).toBe(true)
        expect(languages[0]).toEqual({ language: config.language, version: config.version })
        expect(languages.map(({ language }) => language)).toEqual(expect.arrayContaining(["python", "bash"]))
        expect(limits).toMatchObject({ memoryMb: 1024, cpus: 1, diskMb: 4096, idleTimeMs: 3_600_000 })
      }
      const own = yield* sdk.createTemplate({
        name: "Small",
        language: "bash",
        version: "5",
        resources: { memoryMb: 128, runTimeMs: 0 }
      })
      expect(own.limits).toMatchObject({ memoryMb: 128, tmpMb: 32, runTimeMs: 0 })
      expect(own.build).toBeUndefined()
      yield* sdk.deleteTemplate(own.id)
    }))

  it.scoped("installs once what a template asks for, tells how, and shares it read-only", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const config = {
        name: "Installed",
        language: "bash" as const,
        version: "5",
        installCommand: "mkdir bin; printf '#!/bin/sh\\necho installed' > bin/greet; chmod 711 bin/greet; " +
          "head -c 16 /dev/urandom | od -An -tx1 > random; echo to the log; echo and here >&2"
      }
      const template = yield* sdk.createTemplate(config)
      yield* Effect.addFinalizer(() => Effect.ignore(sdk.deleteTemplate(template.id)))
      expect(template.build).toMatchObject({ status: "ready" })
      expect(template.build?.endedAt).toBeGreaterThanOrEqual(template.build?.startedAt ?? Infinity)
      expect(yield* sdk.getTemplateBuilds(template.id)).toEqual([template.build])
      const events = [...yield* Stream.runCollect(sdk.streamTemplateBuild(template.id))]
      expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index))
      expect(events[0]).toMatchObject({ _tag: "BuildStarted", buildId: template.build?.id })
      expect(events[1]).toMatchObject({ _tag: "BuildStep", command: config.installCommand })
      const said = (wanted: string) =>
        events.flatMap((event) => event._tag === "BuildOutput" && event.stream === wanted ? [event.text] : []).join("")
      expect([said("stdout"), said("stderr")]).toEqual(["to the log\n", "and here\n"])
      expect(events.at(-1)).toMatchObject({ _tag: "BuildEnded", status: "ready" })
      const after = [...yield* Stream.runCollect(sdk.streamTemplateBuild(template.id, { after: 1 }))]
      expect(after).toEqual(events.slice(2))

      const [one, two] = yield* Effect.all([
        Sandbox.make({ templateId: template.id }),
        Sandbox.make({ templateId: template.id })
      ])
      expect(yield* one.runTerminal("greet")).toBe("installed\n")
      const random = yield* one.runTerminal("cat $TEMPLATE_DIR/random")
      expect(yield* two.runTerminal("cat $TEMPLATE_DIR/random")).toBe(random)
      expect(yield* one.runTerminal("echo x > $TEMPLATE_DIR/random || echo no")).toContain("no")
      // The same again, by the same user, is the same.
      const again = yield* sdk.createTemplate({ ...config, name: "Again" })
      expect(again.build?.id).toBe(template.build?.id)
      yield* sdk.deleteTemplate(again.id)
      // What it has installed stays for those that were made from it.
      yield* sdk.deleteTemplate(template.id)
      yield* two.stopSandbox()
      expect(yield* two.runTerminal("greet")).toBe("installed\n")
    }))

  it.effect("fails with the end of the log when it cannot be installed, and leaves no template", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const before = (yield* sdk.getTemplates(1, 100)).total
      const error = yield* failsWith(
        sdk.createTemplate({
          name: "Broken",
          language: "bash",
          version: "5",
          installCommand: "echo the reason is this >&2; exit 3"
        }),
        { _tag: "SandboxError", code: "build_failed", field: "installCommand" }
      )
      expect(error.message).toContain("status 3")
      expect(error.message).toContain("the reason is this")
      expect((yield* sdk.getTemplates(1, 100)).total).toBe(before)
    }))

  it.effect("does not wait when it is told so: sandboxes wait, or fail as the build does, and it ends with its template", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const base = { language: "bash" as const, version: "5" }
      const slow = yield* sdk.createTemplate(
        { ...base, name: "Slow", installCommand: "sleep 1; echo done > done" },
        { wait: false }
      )
      expect(slow.build?.status).toBe("building")
      yield* Effect.scoped(Effect.gen(function*() {
        const sandbox = yield* Sandbox.make({ templateId: slow.id })
        expect(yield* sandbox.runTerminal("cat $TEMPLATE_DIR/done")).toBe("done\n")
      }))
      expect((yield* sdk.getTemplate(slow.id)).build?.status).toBe("ready")
      yield* sdk.deleteTemplate(slow.id)

      const broken = yield* sdk.createTemplate(
        { ...base, name: "Broken", installCommand: "echo first; sleep 0.3; exit 4" },
        { wait: false }
      )
      const events = [...yield* Stream.runCollect(sdk.streamTemplateBuild(broken.id))]
      expect(events.at(-1)).toMatchObject({ _tag: "BuildEnded", status: "failed", error: { code: "build_failed" } })
      const error = yield* failsWith(sdk.createSandbox({ templateId: broken.id }), { code: "build_failed" })
      expect(error.message).toContain("first")
      expect((yield* sdk.getTemplateBuilds(broken.id))[0]).toMatchObject({ status: "failed" })
      yield* sdk.deleteTemplate(broken.id)

      const endless = yield* sdk.createTemplate(
        { ...base, name: "Endless", installCommand: "sleep 1000" },
        { wait: false }
      )
      const waiting = yield* Effect.fork(
        failsWith(sdk.createSandbox({ templateId: endless.id }), { code: "build_failed" })
      )
      yield* Effect.sleep("300 millis")
      yield* sdk.deleteTemplate(endless.id)
      yield* Fiber.join(waiting)
      yield* failsWith(Stream.runDrain(sdk.streamTemplateBuild(endless.id)), { code: "template_not_found" })
    }))

  it.effect("ends the build of who does not wait for it any more", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const find = (name: string) =>
        Effect.map(
          sdk.getTemplates(1, 100),
          ({ templates }) => templates.find(({ config }) => config.name === name)
        )
      const config = { name: "Left", language: "bash" as const, version: "5", installCommand: "sleep 1000" }
      const fiber = yield* Effect.fork(sdk.createTemplate(config))
      yield* eventually(Effect.map(find("Left"), (template) => template?.build?.status === "building"))
      yield* Fiber.interrupt(fiber)
      yield* eventually(Effect.map(find("Left"), (template) => template === undefined))
    }))

  it.effect("refuses what is no package by its place, and says what bash has instead", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const base = { name: "x", version: "3" }
      for (const bad of ["--index-url=http://evil", "-r/etc/passwd", "a; touch x", "../x", "", "$(id)", "a\nb"]) {
        yield* failsWith(sdk.createTemplate({ ...base, language: "python", dependencies: ["fine", bad] }), {
          _tag: "SandboxSDKError",
          code: "invalid_argument",
          field: "dependencies.1"
        })
        yield* failsWith(sdk.createTemplate({ ...base, language: "typescript", version: "20", dependencies: [bad] }), {
          code: "invalid_argument",
          field: "dependencies.0"
        })
      }
      yield* failsWith(sdk.createTemplate({ ...base, language: "bash", version: "5", dependencies: ["curl"] }), {
        _tag: "SandboxSDKError",
        code: "unsupported",
        field: "dependencies"
      })
      const own = yield* sdk.createTemplate({ ...base, language: "bash", version: "5" })
      expect(yield* sdk.getTemplateBuilds(own.id)).toEqual([])
      yield* failsWith(Stream.runDrain(sdk.streamTemplateBuild(own.id)), { code: "build_not_found" })
      yield* failsWith(sdk.getTemplateBuilds("tpl_nobody"), { code: "template_not_found" })
      yield* sdk.deleteTemplate(own.id)
    }))

  it.scoped("runs the start command of a template in the background, and tells how it is doing", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const base = { name: "Starts", language: "bash" as const, version: "5" }
      const template = yield* sdk.createTemplate({
        ...base,
        defaultEnvVars: { GREETING: "hello" },
        startCommand: "echo $GREETING; while :; do date > beat; sleep 0.05; done"
      })
      const sandbox = yield* Sandbox.make({ templateId: template.id })
      yield* eventually(Effect.map(Effect.option(sandbox.readFile("beat")), Option.isSome))
      const { startCommand, status } = yield* sandbox.getSandbox()
      expect(startCommand).toEqual({ status: "running", output: "hello\n" })
      expect(status).toBe("ready")
      expect((yield* sandbox.stopSandbox()).startCommand).toBeUndefined()
      yield* sandbox.deleteFile("beat")
      yield* eventually(Effect.map(Effect.option(sandbox.readFile("beat")), Option.isSome))

      const failing = yield* sdk.createTemplate({ ...base, startCommand: "echo it is broken >&2; exit 5" })
      const other = yield* Sandbox.make({ templateId: failing.id })
      const info = Effect.map(other.getSandbox(), ({ startCommand }) => startCommand)
      yield* eventually(Effect.map(info, (found) => found?.status !== "running"))
      expect(yield* info).toEqual({ status: "failed", exitCode: 5, output: "it is broken\n" })
      expect(yield* other.runTerminal("echo ok")).toBe("ok\n")
      yield* sdk.deleteTemplate(template.id)
      yield* sdk.deleteTemplate(failing.id)
    }))

  it.effect("refuses templates that it cannot make, and to delete those of the machine", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
      const base = { name: "x", language: "python" as const, version: "3" }
      yield* failsWith(sdk.createTemplate({ ...base, version: "2.4" }), { code: "template_unavailable" })
      const { id } = yield* sdk.getTemplate("python")
      yield* failsWith(sdk.deleteTemplate(id), { _tag: "SandboxSDKError", code: "forbidden" })
    }))
}

import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { SandboxSDK } from "../../src/SandboxSDK.js"
import type { Part } from "./support.js"
import { failsWith } from "./support.js"

export const templates: Part = (it) => {
  it.effect("lists a template for each interpreter, in pages", () =>
    Effect.gen(function*() {
      const sdk = yield* SandboxSDK
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
      yield* failsWith(sdk.getTemplate("cobol"), { _tag: "SandboxError", code: "template_not_found", field: "templateId" })
      yield* failsWith(sdk.getTemplate("python-2.4"), { _tag: "SandboxError", code: "template_unavailable" })
      const error = yield* failsWith(sdk.createSandbox({ templateId: "cobol" }), { code: "template_not_found" })
      expect(error.message).toContain("bash")
    }))
}

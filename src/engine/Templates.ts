/**
 * The templates that a machine offers by itself: one for each interpreter that its sandboxes find inside.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { Language } from "../CodeContext.js"
import { SandboxError } from "../Errors.js"
import type { Runtime, Runtimes } from "../isolation/Runtimes.js"
import type { SandboxTemplate, TemplatePage } from "../Template.js"

/**
 * Which page is asked for: pages count from 1.
 */
export const PageOptions = Schema.Struct({
  page: Schema.Int.pipe(Schema.between(1, 1_000_000)),
  pageSize: Schema.Int.pipe(Schema.between(1, 100))
})

/**
 * The templates of an engine.
 */
export interface Templates {
  readonly page: (page: number, pageSize: number) => Effect.Effect<TemplatePage>
  /**
   * By id (`python-3.11`) or alias (`python`). Fails with `template_unavailable` when the id names a language whose
   * interpreter is not here, and with `template_not_found` otherwise.
   */
  readonly get: (id: string) => Effect.Effect<SandboxTemplate, SandboxError>
}

const DEFAULT_TIMEOUT_MS = 60_000

interface Family {
  readonly language: Language
  readonly name: string
  readonly runtime: keyof Runtimes
  /** How much of a version is part of the id. */
  readonly parts: number
  readonly id: string
  readonly install: string
}

const families: ReadonlyArray<Family> = [
  { language: "python", name: "Python", runtime: "python", parts: 2, id: "python", install: "python3" },
  { language: "javascript", name: "Node.js", runtime: "node", parts: 1, id: "node", install: "nodejs" },
  { language: "bash", name: "Bash", runtime: "bash", parts: 0, id: "bash", install: "bash" }
]

const aliases: Readonly<Record<string, { readonly family: string; readonly language: Language }>> = {
  python: { family: "python", language: "python" },
  javascript: { family: "node", language: "javascript" },
  typescript: { family: "node", language: "typescript" },
  node: { family: "node", language: "javascript" }
}

const templateOf = (family: Family, runtime: Runtime, now: number): SandboxTemplate => ({
  id: [family.id, runtime.version.split(".").slice(0, family.parts).join(".")].filter((part) => part !== "").join("-"),
  config: {
    name: `${family.name} ${runtime.version}`,
    language: family.language,
    version: runtime.version,
    timeoutMs: DEFAULT_TIMEOUT_MS
  },
  createdAt: now,
  updatedAt: now,
  isPublic: true
})

/**
 * Lists what the interpreters allow.
 */
export const make = (runtimes: Effect.Effect<Runtimes>): Effect.Effect<Templates> =>
  Effect.gen(function*() {
    const startedAt = yield* Clock.currentTimeMillis

    const all = Effect.map(runtimes, (found) =>
      families.flatMap((family) => found[family.runtime].map((runtime) => templateOf(family, runtime, startedAt))))

    const missing = (id: string, listed: ReadonlyArray<SandboxTemplate>): SandboxError => {
      const alias = aliases[id]
      const family = families.find((family) =>
        family.id === (alias?.family ?? id) || (family.parts > 0 && id.startsWith(`${family.id}-`))
      )
      const here = listed.length === 0
        ? "This machine has no interpreter that a sandbox could use."
        : `This machine has: ${listed.map((template) => template.id).join(", ")}.`
      return family === undefined
        ? new SandboxError({
          code: "template_not_found",
          message: `There is no template "${id}". ${here}`,
          field: "templateId"
        })
        : new SandboxError({
          code: "template_unavailable",
          message: `The template "${id}" needs an interpreter that is not on this machine (Debian: ` +
            `apt-get install ${family.install}). ${here}`,
          field: "templateId"
        })
    }

    return {
      page: (page, pageSize) =>
        Effect.map(all, (templates) => ({
          templates: templates.slice((page - 1) * pageSize, page * pageSize),
          total: templates.length,
          page,
          pageSize
        })),
      get: Effect.fnUntraced(function*(id) {
        const templates = yield* all
        const exact = templates.find((template) => template.id === id)
        if (exact !== undefined) {
          return exact
        }
        const alias = aliases[id]
        const newest = alias && templates.find((template) => template.id.startsWith(`${alias.family}-`))
        return newest === undefined
          ? yield* missing(id, templates)
          : { ...newest, config: { ...newest.config, language: alias?.language ?? newest.config.language } }
      })
    }
  })

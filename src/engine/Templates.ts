/**
 * Templates: one for each interpreter that sandboxes of this machine find inside, and those that users have made.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Language } from "../CodeContext.js"
import { SandboxError, SandboxSDKError } from "../Errors.js"
import type { Runtime, Runtimes } from "../isolation/Runtimes.js"
import type { SandboxTemplate, TemplateConfig, TemplatePage } from "../Template.js"
import { makeId } from "./Ids.js"
import { makeOwned } from "./Owned.js"
import type { TemplateStore } from "./TemplateStore.js"

/**
 * The templates of an engine. A user sees those of the machine and the own ones.
 */
export interface Templates {
  /** Those of the machine first. */
  readonly page: (userId: string, page: number, pageSize: number) => Effect.Effect<TemplatePage>
  /**
   * By id (`python-3.11`) or alias (`python`). Fails with `template_unavailable` when the id names a language whose
   * interpreter is not here, and with `template_not_found` otherwise.
   */
  readonly get: (userId: string, id: string) => Effect.Effect<SandboxTemplate, SandboxError>
  /** Fails with `unsupported` for what this engine cannot build, and with `template_unavailable`. */
  readonly create: (
    userId: string,
    config: TemplateConfig
  ) => Effect.Effect<SandboxTemplate, SandboxError | SandboxSDKError>
  /** Fails with `forbidden` for a template of the machine. One that is not there is removed already. */
  readonly remove: (userId: string, id: string) => Effect.Effect<void, SandboxError | SandboxSDKError>
}

const DEFAULT_TIMEOUT_MS = 60_000

interface Family {
  readonly id: string
  readonly language: Language
  readonly name: string
  readonly runtime: keyof Runtimes
  /** How much of a version is part of the id. */
  readonly parts: number
  readonly debianPackage: string
}

const families: ReadonlyArray<Family> = [
  { id: "python", language: "python", name: "Python", runtime: "python", parts: 2, debianPackage: "python3" },
  { id: "node", language: "javascript", name: "Node.js", runtime: "node", parts: 1, debianPackage: "nodejs" },
  { id: "bash", language: "bash", name: "Bash", runtime: "bash", parts: 0, debianPackage: "bash" }
]

/** Names without a version: the newest is meant. */
const aliases: Readonly<Record<string, { readonly family: string; readonly language: Language }>> = {
  python: { family: "python", language: "python" },
  javascript: { family: "node", language: "javascript" },
  typescript: { family: "node", language: "typescript" },
  node: { family: "node", language: "javascript" },
  bash: { family: "bash", language: "bash" }
}

const builtIn = (family: Family, runtime: Runtime, now: number): SandboxTemplate => ({
  id: [family.id, ...runtime.version.split(".").slice(0, family.parts)].join(".").replace(".", "-"),
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

/** What a template can say and this engine cannot do. */
const unsupported = ["dependencies", "installCommand", "startCommand"] as const

const isPrefix = (wanted: string, version: string): boolean => version === wanted || version.startsWith(`${wanted}.`)

/**
 * Refuses another version than the image has. One that has none at all is taken: commands and files work there, and a run of
 * code says what is missing.
 */
const requireInImage = (config: TemplateConfig, found: ReadonlyArray<Runtime>): Effect.Effect<void, SandboxError> =>
  found.length === 0 || found.some(({ version }) => isPrefix(config.version, version)) ? Effect.void : Effect.fail(
    new SandboxError({
      code: "template_unavailable",
      field: "config.version",
      message: `The image "${config.dockerImage ?? ""}" has no ${config.language} ${config.version}; it has ` +
        `${found.map(({ version }) => version).join(", ")}.`
    })
  )

/**
 * Makes the templates of an engine.
 */
export const make = Effect.fn("Templates.make")(function*(
  runtimes: Effect.Effect<Runtimes>,
  store: TemplateStore,
  /** What there is in an image of containers, which is fetched and tried for that. */
  ofImage: (image: string) => Effect.Effect<Runtimes, SandboxError>
): Effect.fn.Return<Templates, SandboxError> {
  const startedAt = yield* Clock.currentTimeMillis
  const own = makeOwned<SandboxTemplate>()
  for (const template of yield* store.load) {
    own.set(template.authorId ?? "", template.id, template)
  }

  const ofMachine = Effect.map(
    runtimes,
    (found) => families.flatMap((family) => found[family.runtime].map((runtime) => builtIn(family, runtime, startedAt)))
  )

  const visible = (userId: string) => Effect.map(ofMachine, (templates) => [...templates, ...own.of(userId)])

  const whatIsHere = (templates: ReadonlyArray<SandboxTemplate>): string =>
    templates.length === 0
      ? "This machine has no interpreter that a sandbox could use."
      : `This machine has: ${templates.map((template) => template.id).join(", ")}.`

  const missing = (id: string, templates: ReadonlyArray<SandboxTemplate>): SandboxError => {
    const family = families.find((family) =>
      family.id === aliases[id]?.family || (family.parts > 0 && id.startsWith(`${family.id}-`))
    )
    return family === undefined
      ? new SandboxError({
        code: "template_not_found",
        field: "templateId",
        message: `There is no template "${id}". ${whatIsHere(templates)}`
      })
      : unavailable(`The template "${id}"`, family.debianPackage, templates)
  }

  const unavailable = (what: string, debianPackage: string, templates: ReadonlyArray<SandboxTemplate>) =>
    new SandboxError({
      code: "template_unavailable",
      field: "templateId",
      message: `${what} needs an interpreter that is not on this machine (Debian: apt-get install ${debianPackage}). ` +
        whatIsHere(templates)
    })

  const get: Templates["get"] = Effect.fnUntraced(function*(userId, id) {
    const templates = yield* visible(userId)
    const exact = templates.find((template) => template.id === id)
    if (exact !== undefined) {
      return exact
    }
    const alias = Object.hasOwn(aliases, id) ? aliases[id] : undefined
    const newest = alias && templates.find((template) => template.id.startsWith(`${alias.family}-`))
    return newest === undefined || alias === undefined
      ? yield* missing(id, templates)
      : { ...newest, config: { ...newest.config, language: alias.language } }
  })

  const requireHere = Effect.fnUntraced(function*(config: TemplateConfig, family: Family | undefined) {
    const templates = yield* ofMachine
    const runtime = templates.find((template) =>
      template.config.language === family?.language && isPrefix(config.version, template.config.version)
    )
    if (runtime === undefined) {
      const what = `The template "${config.name}" (${config.language} ${config.version})`
      return yield* unavailable(what, family?.debianPackage ?? config.language, templates)
    }
  })

  const create: Templates["create"] = Effect.fnUntraced(function*(userId, config) {
    const impossible = unsupported.find((field) => config[field] !== undefined)
    if (impossible !== undefined) {
      return yield* new SandboxSDKError({
        code: "unsupported",
        field: `config.${impossible}`,
        message: `createTemplate: this engine cannot build templates with ${impossible}; leave it out.`
      })
    }
    const family = families.find((family) => family.id === aliases[config.language]?.family)
    if (config.dockerImage === undefined) {
      yield* requireHere(config, family)
    } else {
      const found = yield* ofImage(config.dockerImage)
      yield* requireInImage(config, family === undefined ? [] : found[family.runtime])
    }
    const now = yield* Clock.currentTimeMillis
    const template: SandboxTemplate = {
      id: yield* makeId("tpl"),
      config,
      createdAt: now,
      updatedAt: now,
      isPublic: false,
      authorId: userId
    }
    yield* store.save(template)
    own.set(userId, template.id, template)
    return template
  })

  const remove: Templates["remove"] = Effect.fnUntraced(function*(userId, id) {
    const template = (yield* visible(userId)).find((template) => template.id === id)
    if (template?.isPublic === true) {
      return yield* new SandboxSDKError({
        code: "forbidden",
        field: "id",
        message: `deleteTemplate: "${id}" is a template of this machine and cannot be deleted.`
      })
    }
    if (template !== undefined) {
      yield* store.remove(template.id)
      own.delete(userId, template.id)
    }
  })

  return {
    page: (userId, page, pageSize) =>
      Effect.map(visible(userId), (templates) => ({
        templates: templates.slice((page - 1) * pageSize, page * pageSize),
        total: templates.length,
        page,
        pageSize
      })),
    get,
    create,
    remove
  }
})

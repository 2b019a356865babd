/**
 * Templates: one for each interpreter that sandboxes of this machine find inside, and those that users have made.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type { Language } from "../CodeContext.js"
import { SandboxError, SandboxSDKError } from "../Errors.js"
import { choose, type Runtime, type Runtimes } from "../isolation/Runtimes.js"
import type { SandboxTemplate, TemplateConfig, TemplateLanguage, TemplatePage } from "../Template.js"
import type { Builds } from "./Builds.js"
import { makeId } from "./Ids.js"
import { makeOwned } from "./Owned.js"
import * as Resources from "./Resources.js"
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
  /**
   * Its build has begun when this succeeds. Fails with `template_unavailable`, and with `isolation_unavailable` where
   * there are no containers for its image.
   */
  readonly create: (
    userId: string,
    config: TemplateConfig
  ) => Effect.Effect<SandboxTemplate, SandboxError>
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

const languages: ReadonlyArray<{ readonly language: Language; readonly runtime: keyof Runtimes }> = [
  { language: "python", runtime: "python" },
  { language: "javascript", runtime: "node" },
  { language: "typescript", runtime: "node" },
  { language: "bash", runtime: "bash" }
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

const isPrefix = (wanted: string, version: string): boolean => version === wanted || version.startsWith(`${wanted}.`)

/** What is there of every language, the newest of each: all that sandboxes run, whichever template they are made from. */
const allLanguages = (found: Runtimes): ReadonlyArray<TemplateLanguage> =>
  languages.flatMap(({ language, runtime }) => {
    const newest = found[runtime][0]
    return newest === undefined ? [] : [{ language, version: newest.version }]
  })

/** The languages of a template, its own first, in the version that it is for. */
const languagesOf = ({ language, version }: TemplateConfig, found: Runtimes): ReadonlyArray<TemplateLanguage> => {
  const runtime = languages.find((one) => one.language === language)?.runtime
  const own = runtime && choose(found[runtime], version)
  return [
    ...(own === undefined ? [] : [{ language, version: own.version }]),
    ...allLanguages(found).flatMap((one) =>
      one.language === language ? [] : [
        // One Node runs both.
        runtime === "node" && own !== undefined && (one.language === "javascript" || one.language === "typescript")
          ? { language: one.language, version: own.version }
          : one
      ]
    )
  ]
}

/** Whether it installs anything. */
const isBuilt = ({ dependencies = [], installCommand }: TemplateConfig): boolean =>
  dependencies.length > 0 || installCommand !== undefined

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
  builds: Builds,
  /** What there is in an image of containers, which is fetched and tried for that. */
  ofImage: (image: string) => Effect.Effect<Runtimes, SandboxError>
): Effect.fn.Return<Templates, SandboxError> {
  const startedAt = yield* Clock.currentTimeMillis
  const own = makeOwned<SandboxTemplate>()
  for (const template of yield* store.load) {
    own.set(template.authorId ?? "", template.id, template)
    if (template.build !== undefined) builds.hold(template.build.id)
  }

  /** As it is now: with the state of its build, and what this machine adds to it. */
  const describe = (template: SandboxTemplate, found: Runtimes): SandboxTemplate => ({
    ...template,
    // An image is not fetched to be told of: what was in it is remembered.
    languages: template.config.dockerImage === undefined
      ? languagesOf(template.config, found)
      : template.languages ?? languagesOf(template.config, found),
    limits: Resources.describe(Resources.resolve(template.config.resources)),
    ...(template.build === undefined ? {} : { build: builds.describe(template.build.id) })
  })

  let known: { readonly found: Runtimes; readonly templates: ReadonlyArray<SandboxTemplate> } | undefined

  /** Those of the machine. They are the same each time: every sandbox keeps the one that it was made from. */
  const builtInWith = (found: Runtimes): ReadonlyArray<SandboxTemplate> => {
    if (known?.found !== found) {
      const templates = families.flatMap((family) =>
        found[family.runtime].map((runtime) => describe(builtIn(family, runtime, startedAt), found))
      )
      known = { found, templates }
    }
    return known.templates
  }

  const ofMachine = Effect.map(runtimes, builtInWith)

  const visible = (userId: string) =>
    Effect.map(
      runtimes,
      (found) => [...builtInWith(found), ...own.of(userId).map((template) => describe(template, found))]
    )

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
    const found = yield* runtimes
    const templates = builtInWith(found)
    const exact = templates.find((template) => template.id === id)
    if (exact !== undefined) {
      return exact
    }
    const mine = own.get(userId, id)
    if (mine !== undefined) {
      return describe(mine, found)
    }
    const alias = Object.hasOwn(aliases, id) ? aliases[id] : undefined
    const newest = alias && templates.find((template) => template.id.startsWith(`${alias.family}-`))
    if (newest === undefined || alias === undefined) {
      return yield* missing(id, [...templates, ...own.of(userId)])
    }
    return newest.config.language === alias.language
      ? newest
      : describe({ ...newest, config: { ...newest.config, language: alias.language } }, found)
  })

  const create: Templates["create"] = Effect.fnUntraced(function*(userId, config) {
    const found = yield* config.dockerImage === undefined ? runtimes : ofImage(config.dockerImage)
    const family = families.find((family) => family.id === aliases[config.language]?.family)
    const runtime = family && choose(found[family.runtime], config.version)
    if (config.dockerImage !== undefined) {
      yield* requireInImage(config, family === undefined ? [] : found[family.runtime])
    } else if (runtime === undefined) {
      const what = `The template "${config.name}" (${config.language} ${config.version})`
      return yield* unavailable(what, family?.debianPackage ?? config.language, yield* ofMachine)
    }
    if (runtime === undefined && (config.dependencies ?? []).length > 0) {
      return yield* new SandboxError({
        code: "template_unavailable",
        field: "dependencies",
        message: `The image "${config.dockerImage ?? ""}" has no ${config.language}, and dependencies need one.`
      })
    }
    const now = yield* Clock.currentTimeMillis
    const id = yield* makeId("tpl")
    return yield* Effect.uninterruptible(Effect.gen(function*() {
      const buildId = isBuilt(config) ? yield* builds.begin(userId, { config, runtime }) : undefined
      const template: SandboxTemplate = {
        id,
        config,
        createdAt: now,
        updatedAt: now,
        isPublic: false,
        authorId: userId,
        ...(config.dockerImage === undefined ? {} : { languages: languagesOf(config, found) }),
        ...(buildId === undefined ? {} : { build: builds.describe(buildId) })
      }
      yield* store.save(template).pipe(
        Effect.onError(() => buildId === undefined ? Effect.void : builds.release(buildId))
      )
      own.set(userId, id, template)
      return describe(template, found)
    }))
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
    if (template !== undefined && own.get(userId, template.id) !== undefined) {
      own.delete(userId, template.id)
      yield* store.remove(template.id)
      if (template.build !== undefined) yield* builds.release(template.build.id)
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

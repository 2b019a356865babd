/**
 * Templates: what a sandbox starts from.
 */
import * as Schema from "effect/Schema"
import { Language } from "./CodeContext.js"
import { EnvVars } from "./EnvVars.js"
import { Millis } from "./Millis.js"
import { Resources } from "./Resources.js"
import { TemplateBuild } from "./TemplateBuild.js"

const Command = Schema.String.pipe(
  Schema.filter((text) => text.trim() !== "" && !text.includes("\0"), {
    description: "a shell command",
    jsonSchema: { minLength: 1 }
  })
)

/**
 * How a template is made. `version` is a version of the language, or the beginning of one (`3.11`).
 *
 * - `dependencies`: packages that every sandbox finds installed. For Python as pip takes them (`numpy`,
 *   `requests>=2.31,<3`), for JavaScript and TypeScript as npm does (`lodash`, `@types/node@20`).
 * - `installCommand`: a shell command that is run after them, once, in the folder `$TEMPLATE_DIR`. What it leaves there
 *   every sandbox has, read-only, with `bin` on its search path; `pip install` and `npm install` install there.
 * - `startCommand`: a shell command that is run in the background of each sandbox whenever it starts, and ends with it.
 * - `defaultEnvVars`: environment variables of everything that runs in its sandboxes, and of the build.
 * - `resources`: what a sandbox may use, where `createSandbox` does not say.
 * - `timeoutMs`: how long a run of code may take, in milliseconds, where the call does not say.
 * - `maxInstances`: how many sandboxes of it a user may have at a time.
 *
 * @category models
 */
export const TemplateConfig = Schema.Struct({
  name: Schema.String,
  language: Language,
  version: Schema.String,
  dockerImage: Schema.optional(Schema.String),
  framework: Schema.optional(Schema.String),
  dependencies: Schema.optional(Schema.Array(Schema.String)),
  installCommand: Schema.optional(Command),
  startCommand: Schema.optional(Command),
  defaultEnvVars: Schema.optional(EnvVars),
  resources: Schema.optional(Resources),
  timeoutMs: Schema.optional(Millis),
  maxInstances: Schema.optional(
    Schema.Int.pipe(Schema.between(1, 1_000_000, { description: "a whole number from 1 to 1000000" }))
  )
})

/**
 * @category models
 */
export type TemplateConfig = typeof TemplateConfig.Type

/**
 * A language that sandboxes of a template run, and the version of its interpreter.
 *
 * @category models
 */
export const TemplateLanguage = Schema.Struct({
  language: Language,
  version: Schema.String
})

/**
 * @category models
 */
export type TemplateLanguage = typeof TemplateLanguage.Type

/**
 * A template. Times are milliseconds since the epoch. `languages` is what its sandboxes run, its own language first, and
 * `limits` what each may use where `createSandbox` does not say. `build` is there when something had to be installed.
 *
 * @category models
 */
export const SandboxTemplate = Schema.Struct({
  id: Schema.String,
  config: TemplateConfig,
  languages: Schema.optional(Schema.Array(TemplateLanguage)),
  limits: Schema.optional(Resources),
  build: Schema.optional(TemplateBuild),
  createdAt: Schema.Finite,
  updatedAt: Schema.Finite,
  isPublic: Schema.Boolean,
  authorId: Schema.optional(Schema.String)
})

/**
 * @category models
 */
export type SandboxTemplate = typeof SandboxTemplate.Type

/**
 * One page of templates; `total` counts all of them, `page` counts from 1.
 *
 * @category models
 */
export const TemplatePage = Schema.Struct({
  templates: Schema.Array(SandboxTemplate),
  total: Schema.Finite,
  page: Schema.Finite,
  pageSize: Schema.Finite
})

/**
 * @category models
 */
export type TemplatePage = typeof TemplatePage.Type

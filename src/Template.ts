/**
 * Templates: what a sandbox starts from.
 */
import * as Schema from "effect/Schema"
import { Language } from "./CodeContext.js"
import { Resources } from "./Resources.js"

/**
 * How a template is made. `timeoutMs` is how long a run of code may take, in milliseconds, where the call does not say;
 * `resources` is what a sandbox may use, where `createSandbox` does not say.
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
  installCommand: Schema.optional(Schema.String),
  startCommand: Schema.optional(Schema.String),
  defaultEnvVars: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
  resources: Schema.optional(Resources),
  timeoutMs: Schema.optional(Schema.Finite),
  maxInstances: Schema.optional(Schema.Finite)
})

/**
 * @category models
 */
export type TemplateConfig = typeof TemplateConfig.Type

/**
 * A template. Times are milliseconds since the epoch.
 *
 * @category models
 */
export const SandboxTemplate = Schema.Struct({
  id: Schema.String,
  config: TemplateConfig,
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

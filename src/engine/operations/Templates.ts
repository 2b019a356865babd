/**
 * Operations on templates.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { CurrentUser } from "../../CurrentUser.js"
import { SandboxError } from "../../Errors.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import { createAndWait } from "../../internal/builds.js"
import { checkDependencies } from "../../internal/dependencies.js"
import type { TemplateOperations } from "../../internal/groups.js"
import { CreateTemplateOptions, GetTemplatesOptions, StreamTemplateBuildOptions } from "../../Options.js"
import { TemplateConfig } from "../../Template.js"
import * as Resources from "../Resources.js"
import type { Parts } from "./Parts.js"

const decodePage = decodeArguments(GetTemplatesOptions, "getTemplates")
const decodeConfig = decodeArguments(TemplateConfig, "createTemplate", "config")
const decodeCreate = decodeArguments(CreateTemplateOptions, "createTemplate")
const decodeStream = decodeArguments(StreamTemplateBuildOptions, "streamTemplateBuild")

/**
 * Makes the operations.
 */
export const templateOperations = ({ builds, templates }: Parts): TemplateOperations => ({
  getTemplates: Effect.fn("SandboxSDK.getTemplates")(function*(page = 1, pageSize = 10) {
    const wanted = yield* decodePage({ page, pageSize })
    return yield* templates.page(yield* CurrentUser, wanted.page, wanted.pageSize)
  }),
  getTemplate: Effect.fn("SandboxSDK.getTemplate")(function*(id) {
    const known = yield* requireId("getTemplate", id)
    return yield* templates.get(yield* CurrentUser, known)
  }),
  createTemplate: Effect.fn("SandboxSDK.createTemplate")(function*(input, options) {
    const config = yield* decodeConfig(input)
    const { wait = true } = yield* decodeCreate(options)
    yield* checkDependencies(config)
    yield* Resources.check("createTemplate", config.resources)
    const userId = yield* CurrentUser
    const remove = (id: string) => Effect.ignore(templates.remove(userId, id))
    return yield* wait
      ? createAndWait({
        create: templates.create(userId, config),
        ended: ({ id }) => builds.ready(id),
        get: (id) => templates.get(userId, id),
        remove
      })
      : templates.create(userId, config)
  }),
  getTemplateBuilds: Effect.fn("SandboxSDK.getTemplateBuilds")(function*(id) {
    const known = yield* requireId("getTemplateBuilds", id)
    const { build } = yield* templates.get(yield* CurrentUser, known)
    return build === undefined ? [] : [build]
  }),
  streamTemplateBuild: (id, options) =>
    Stream.unwrap(Effect.gen(function*() {
      const { after } = yield* decodeStream(options)
      const known = yield* requireId("streamTemplateBuild", id)
      const { build } = yield* templates.get(yield* CurrentUser, known)
      return build === undefined
        ? Stream.fail(
          new SandboxError({
            code: "build_not_found",
            field: "id",
            message: `The template "${known}" has nothing to install, and so no build.`
          })
        )
        : builds.follow(build.id, after)
    })).pipe(Stream.withSpan("SandboxSDK.streamTemplateBuild")),
  deleteTemplate: Effect.fn("SandboxSDK.deleteTemplate")(function*(id) {
    const known = yield* requireId("deleteTemplate", id)
    yield* templates.remove(yield* CurrentUser, known)
  })
})

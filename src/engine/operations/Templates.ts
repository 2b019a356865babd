/**
 * Operations on templates.
 */
import * as Effect from "effect/Effect"
import { CurrentUser } from "../../CurrentUser.js"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { TemplateOperations } from "../../internal/groups.js"
import { GetTemplatesOptions } from "../../Options.js"
import { TemplateConfig } from "../../Template.js"
import * as Resources from "../Resources.js"
import type { Parts } from "./Parts.js"

const decodePage = decodeArguments(GetTemplatesOptions, "getTemplates")
const decodeConfig = decodeArguments(TemplateConfig, "createTemplate", "config")

/**
 * Makes the operations.
 */
export const templateOperations = ({ templates }: Parts): TemplateOperations => ({
  getTemplates: Effect.fn("SandboxSDK.getTemplates")(function*(page = 1, pageSize = 10) {
    const wanted = yield* decodePage({ page, pageSize })
    return yield* templates.page(yield* CurrentUser, wanted.page, wanted.pageSize)
  }),
  getTemplate: Effect.fn("SandboxSDK.getTemplate")(function*(id) {
    const known = yield* requireId("getTemplate", id)
    return yield* templates.get(yield* CurrentUser, known)
  }),
  createTemplate: Effect.fn("SandboxSDK.createTemplate")(function*(input) {
    const config = yield* decodeConfig(input)
    yield* Resources.check("createTemplate", config.resources)
    return yield* templates.create(yield* CurrentUser, config)
  }),
  deleteTemplate: Effect.fn("SandboxSDK.deleteTemplate")(function*(id) {
    const known = yield* requireId("deleteTemplate", id)
    yield* templates.remove(yield* CurrentUser, known)
  })
})

/**
 * Operations on templates.
 */
import * as Effect from "effect/Effect"
import { decodeArguments, requireId } from "../../internal/arguments.js"
import type { TemplateOperations } from "../../internal/groups.js"
import { GetTemplatesOptions } from "../../Options.js"
import { TemplateConfig } from "../../Template.js"
import type { Client } from "../Client.js"
import * as Segment from "../Segment.js"

const decodePage = decodeArguments(GetTemplatesOptions, "getTemplates")
const decodeConfig = decodeArguments(TemplateConfig, "createTemplate", "config")

/**
 * Makes the operations.
 */
export const templateOperations = ({ metrics, request }: Client): TemplateOperations => ({
  getTemplates: Effect.fn("SandboxSDK.getTemplates")(function*(page = 1, pageSize = 10) {
    const urlParams = yield* decodePage({ page, pageSize })
    return yield* request(
      { operation: "getTemplates", effect: "none" },
      (api) => api.templates.list({ urlParams })
    )
  }, metrics.track("getTemplates")),
  getTemplate: Effect.fn("SandboxSDK.getTemplate")(function*(input) {
    const id = yield* Effect.flatMap(requireId("getTemplate", input), Segment.template)
    return yield* request(
      { operation: "getTemplate", effect: "none" },
      (api) => api.templates.get({ path: { id } })
    )
  }, metrics.track("getTemplate")),
  createTemplate: Effect.fn("SandboxSDK.createTemplate")(function*(input) {
    const payload = yield* decodeConfig(input)
    return yield* request(
      { operation: "createTemplate", effect: "once" },
      (api) => api.templates.create({ payload })
    )
  }, metrics.track("createTemplate")),
  deleteTemplate: Effect.fn("SandboxSDK.deleteTemplate")(function*(input) {
    const known = yield* requireId("deleteTemplate", input)
    const id = yield* Effect.option(Segment.template(known))
    if (id._tag === "Some") {
      yield* request(
        { operation: "deleteTemplate", effect: "repeatable" },
        (api) => api.templates.remove({ path: { id: id.value } })
      )
    }
  }, metrics.track("deleteTemplate"))
})

/**
 * Routes of templates.
 */
import * as HttpApiEndpoint from "@effect/platform/HttpApiEndpoint"
import * as HttpApiGroup from "@effect/platform/HttpApiGroup"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { GetTemplatesOptions } from "../Options.js"
import { SandboxTemplate, TemplateConfig, TemplatePage } from "../Template.js"
import * as Query from "./Query.js"
import { Authorization } from "./Security.js"
import { Done } from "./Wire.js"

const templateId = HttpApiSchema.param("id", Schema.String)

/**
 * @category groups
 */
export class Templates extends HttpApiGroup.make("templates")
  .add(
    HttpApiEndpoint.get("list", "/api/templates")
      .setUrlParams(Schema.Struct({
        page: Schema.optional(Query.number(GetTemplatesOptions.fields.page, 1, 1_000_000)),
        pageSize: Schema.optional(Query.number(GetTemplatesOptions.fields.pageSize, 1, 100))
      }))
      .addSuccess(TemplatePage)
      .annotate(OpenApi.Description, "A page of the templates; pages count from 1 and have 10 by default.")
  )
  .add(
    HttpApiEndpoint.get("get")`/api/templates/${templateId}`
      .addSuccess(SandboxTemplate)
      .annotate(OpenApi.Description, "One template, by its id or an alias.")
  )
  .add(
    HttpApiEndpoint.post("create", "/api/templates")
      .setPayload(TemplateConfig)
      .addSuccess(SandboxTemplate)
      .annotate(OpenApi.Description, "Makes a template of one's own.")
  )
  .add(
    HttpApiEndpoint.del("remove")`/api/templates/${templateId}`
      .addSuccess(Done)
      .annotate(OpenApi.Description, "Removes a template of one's own; sandboxes that were made from it stay.")
  )
  .annotate(OpenApi.Description, "Templates: what sandboxes start from.")
  .middleware(Authorization)
{}

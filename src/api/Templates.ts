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
import { TemplateBuild } from "../TemplateBuild.js"
import * as Query from "./Query.js"
import { Authorization } from "./Security.js"
import { NDJSON, streamsRecords } from "./Streams.js"
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
      .setUrlParams(Schema.Struct({ wait: Schema.optional(Query.boolean) }))
      .setPayload(TemplateConfig)
      .addSuccess(SandboxTemplate)
      .annotate(
        OpenApi.Description,
        "Makes a template of one's own. It can be used when this is answered, and there is none when its build fails or " +
          "who asked leaves early; with `wait=false` it is answered at once, and the build goes on."
      )
  )
  .add(
    HttpApiEndpoint.get("builds")`/api/templates/${templateId}/builds`
      .addSuccess(Schema.Array(TemplateBuild))
      .annotate(OpenApi.Description, "The builds of a template; none when it has nothing to install.")
  )
  .add(
    HttpApiEndpoint.get("buildLog")`/api/templates/${templateId}/builds/log`
      .setUrlParams(Schema.Struct({
        after: Schema.optional(Query.number(Schema.Int.pipe(Schema.nonNegative()), 0, Number.MAX_SAFE_INTEGER))
      }))
      .addSuccess(HttpApiSchema.Text({ contentType: NDJSON }))
      .annotateContext(streamsRecords(
        "BuildRecord",
        "What happens in the build of a template, from its beginning or after the event with that number, and as it " +
          "happens: NDJSON, or server-sent events with `Accept: text/event-stream`."
      ))
  )
  .add(
    HttpApiEndpoint.del("remove")`/api/templates/${templateId}`
      .addSuccess(Done)
      .annotate(OpenApi.Description, "Removes a template of one's own; sandboxes that were made from it stay.")
  )
  .annotate(OpenApi.Description, "Templates: what sandboxes start from.")
  .middleware(Authorization)
{}

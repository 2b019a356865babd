// What the server of `platform.ts` answers.
import { HttpApi, HttpApiEndpoint, HttpApiGroup } from "@effect/platform"
import { Schema } from "effect"

export const Api = HttpApi.make("floor").add(
  HttpApiGroup.make("sandboxes")
    .add(
      HttpApiEndpoint.post("create", "/create")
        .setPayload(Schema.Struct({ templateId: Schema.String }))
        .addSuccess(Schema.Struct({ id: Schema.String, status: Schema.String }))
    )
    .add(
      HttpApiEndpoint.post("run", "/run")
        .setPayload(Schema.Struct({ code: Schema.String }))
        .addSuccess(Schema.Struct({ text: Schema.String }))
    )
)

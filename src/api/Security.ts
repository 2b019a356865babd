/**
 * Who makes a request: the bearer token.
 */
import * as HttpApiMiddleware from "@effect/platform/HttpApiMiddleware"
import * as HttpApiSchema from "@effect/platform/HttpApiSchema"
import * as HttpApiSecurity from "@effect/platform/HttpApiSecurity"
import * as OpenApi from "@effect/platform/OpenApi"
import * as Context from "effect/Context"
import * as Schema from "effect/Schema"
import { RateLimitError, SandboxSDKError } from "../Errors.js"

/**
 * Whose request this is. `keyId` names the API key without giving it away.
 *
 * @category security
 */
export class Caller extends Context.Tag("sandbox-sdk/Api/Caller")<
  Caller,
  { readonly userId: string; readonly keyId: string }
>() {}

const bearer = HttpApiSecurity.bearer.pipe(
  HttpApiSecurity.annotate(OpenApi.Description, "The API key, as `Authorization: Bearer <api key>`.")
)

const failure = Schema.Union(
  Schema.asSchema(SandboxSDKError).annotations(HttpApiSchema.annotations({ status: 401 })),
  Schema.asSchema(RateLimitError).annotations(HttpApiSchema.annotations({ status: 429 }))
)

/**
 * Lets requests with a known API key pass, within the budget of that key.
 *
 * @category security
 */
export class Authorization extends HttpApiMiddleware.Tag<Authorization>()("sandbox-sdk/Api/Authorization", {
  failure,
  provides: Caller,
  security: { apiKey: bearer }
}) {}

/**
 * Whose metrics may be read: those of this user, or, without one, what all do together.
 *
 * @category security
 */
export class MetricsReader extends Context.Tag("sandbox-sdk/Api/MetricsReader")<
  MetricsReader,
  { readonly userId: string | undefined }
>() {}

/**
 * Lets requests for metrics pass: those with a known API key, or all.
 *
 * @category security
 */
export class MetricsAuthorization
  extends HttpApiMiddleware.Tag<MetricsAuthorization>()("sandbox-sdk/Api/MetricsAuthorization", {
    failure,
    provides: MetricsReader,
    security: { apiKey: bearer }
  })
{}

/**
 * What requests to the control plane say, and how they are answered.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { RequestError, SandboxSDKError } from "../../Errors.js"
import { malformed } from "./Failures.js"

/**
 * The body of the request at hand.
 */
export const body = <A, I>(
  schema: Schema.Schema<A, I>
): Effect.Effect<A, RequestError, HttpServerRequest.HttpServerRequest> =>
  Effect.flatMap(
    HttpServerRequest.HttpServerRequest,
    (request) =>
      Effect.mapError(request.json, () => malformed("body", "it must be JSON.")).pipe(
        Effect.flatMap((value) =>
          Effect.mapError(Schema.decodeUnknown(schema)(value), (error) => malformed("body", error.message))
        )
      )
  )

/**
 * What the URL asks for.
 */
export const query = <A, I extends Readonly<Record<string, string | ReadonlyArray<string> | undefined>>>(
  schema: Schema.Schema<A, I>
) =>
  Effect.mapError(
    HttpServerRequest.schemaSearchParams(schema),
    (error): SandboxSDKError => malformed("query", error.message)
  )

/**
 * A part of the path.
 */
export const parameter = (name: string) => Effect.map(HttpRouter.params, (params) => params[name] ?? "")

/**
 * An answer.
 */
export const json = (value: unknown, status = 200, headers: Readonly<Record<string, string>> = {}) =>
  HttpServerResponse.unsafeJson(value, { status, headers })

/**
 * The answer that says nothing but that it is done.
 */
export const empty = HttpServerResponse.empty({ status: 204 })

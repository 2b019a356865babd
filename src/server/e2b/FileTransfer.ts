/**
 * `/files`: the bytes of files, down and up, by the token of a sandbox or by a signed URL.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Multipart from "@effect/platform/Multipart"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { posix } from "node:path"
import { createGunzip } from "node:zlib"
import { CurrentUser } from "../../CurrentUser.js"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { Service } from "../../SandboxSDK.js"
import * as Body from "../Body.js"
import * as Streams from "../Streams.js"
import { malformed } from "./Failures.js"
import { toCaller, toService } from "./Paths.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/**
 * What the URL says.
 */
export const Query = Schema.Struct({
  path: Schema.optionalWith(Schema.String, { default: () => "" }),
  username: Schema.optionalWith(Schema.String, { default: () => "" }),
  signature: Schema.optional(Schema.String),
  signature_expiration: Schema.optional(Schema.String)
})

/**
 * What the URL of this request says.
 */
export const query = Effect.mapError(
  HttpServerRequest.schemaSearchParams(Query),
  (error) => malformed("query", error.message)
)

const written = (path: string, asked: string) => ({
  path: toCaller(path, asked),
  name: posix.basename(path),
  type: "file" as const
})

/**
 * The bytes of a file.
 */
export const download = (
  sdk: Service,
  id: string,
  asked: string,
  request: Request
): Effect.Effect<Response, RequestError, Scope.Scope> =>
  Effect.gen(function*() {
    const path = toService(asked)
    const info = yield* sdk.statFile(id, path)
    if (info.isDirectory) {
      return yield* new SandboxError({ code: "not_a_file", message: `${asked} is a directory.`, sandboxId: id })
    }
    // Of an empty one the client asks the length.
    return info.type === "file" && info.size === 0
      ? HttpServerResponse.uint8Array(new Uint8Array(), { contentType: "application/octet-stream" })
      : yield* Streams.bytes(
        request,
        Stream.provideService(sdk.readFileStream(id, path), CurrentUser, yield* CurrentUser),
        "application/octet-stream"
      )
  })

/** A part that is a file, with the name that the client gave it. */
const isFile = (part: Multipart.Part): part is Multipart.File => part._tag === "File"

/**
 * Writes what the body has: one file as it is, or any number of them as a form (`file`, whose names are their paths).
 * `admit` lets the bytes of their contents through.
 */
export const upload = (
  sdk: Service,
  id: string,
  asked: string,
  request: Request,
  limits: Body.BodyLimits,
  admit: <E>(content: Stream.Stream<Uint8Array, E>) => Stream.Stream<Uint8Array, E | RequestError>
): Effect.Effect<Response, RequestError> => {
  const store = <E>(path: string, content: Stream.Stream<Uint8Array, E>) =>
    Effect.map(sdk.writeFileStream(id, toService(path), admit(content)), (absolute) => written(absolute, path))

  if (/^multipart\/form-data/i.test(request.headers["content-type"] ?? "")) {
    return Body.bytes(request, limits).pipe(
      Stream.mapError(({ error }) => error),
      Stream.pipeThroughChannel(Multipart.makeChannel(request.headers)),
      Stream.filter(isFile),
      Stream.mapEffect((part) => store(asked === "" ? part.name : asked, part.content)),
      Stream.runCollect,
      Effect.catchTag(
        "MultipartError",
        ({ reason }) => Effect.fail(malformed("body", `it is no form of files (${reason}).`))
      ),
      Effect.map((files) => HttpServerResponse.unsafeJson([...files]))
    )
  }
  const bytes = Stream.mapError(Body.bytes(request, limits), ({ error }) => error)
  const content = request.headers["content-encoding"] === "gzip"
    ? NodeStream.pipeThroughDuplex(
      bytes,
      () => createGunzip(),
      () => malformed("body", "it is not in the format of gzip.")
    )
    : bytes
  return Effect.map(store(asked, content), (file) => HttpServerResponse.unsafeJson([file]))
}

/**
 * What a signed URL asks for, if this one is signed.
 */
export const signed = (
  request: Request,
  { path, signature, signature_expiration: expiration, username }: typeof Query.Type
) =>
  Option.map(Option.fromNullable(signature), (given) => ({
    path,
    username,
    signature: given,
    expiration,
    operation: request.method === "GET" ? "read" as const : "write" as const
  }))

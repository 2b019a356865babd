/**
 * E2B's code interpreter: `/execute` and `/contexts`.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Chunk from "effect/Chunk"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { RawResult } from "../../api/Wire.js"
import type { CodeContext, Language } from "../../CodeContext.js"
import { type RequestError, SandboxError } from "../../Errors.js"
import type { ExecutionEvent } from "../../Execution.js"
import type { SandboxInfo } from "../../SandboxInfo.js"
import type { Service } from "../../SandboxSDK.js"
import * as DefaultContexts from "./DefaultContexts.js"
import { malformed, unsupported } from "./Failures.js"
import { HOME, toCaller } from "./Paths.js"

type Request = HttpServerRequest.HttpServerRequest
type Answer = Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError>

const Execute = Schema.Struct({
  code: Schema.String,
  context_id: Schema.optional(Schema.NullOr(Schema.String)),
  language: Schema.optional(Schema.NullOr(Schema.String)),
  env_vars: Schema.optional(Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.String })))
})

const NewContext = Schema.Struct({
  language: Schema.optional(Schema.NullOr(Schema.String)),
  cwd: Schema.optional(Schema.NullOr(Schema.String))
})

const languages: Readonly<Record<string, Language>> = {
  python: "python",
  python3: "python",
  javascript: "javascript",
  js: "javascript",
  typescript: "typescript",
  ts: "typescript",
  bash: "bash"
}

const languageOf = (name: string | null | undefined): Effect.Effect<Language | undefined, RequestError> => {
  if (name === undefined || name === null || name === "") return Effect.succeed(undefined)
  const language = Object.hasOwn(languages, name.toLowerCase()) ? languages[name.toLowerCase()] : undefined
  return language === undefined ? Effect.fail(unsupported(`the language ${name}`)) : Effect.succeed(language)
}

/** The client limits the time itself, and leaves. */
const NO_LIMIT_MS = 2_147_483_647

/** How often a run shows that it goes on. */
const KEEPALIVE = Duration.seconds(5)

/** The most of a line that goes into one record: the time in which their client reads a record grows as its square. */
const MAX_TEXT = 32 * 1024

const encodeResult = Schema.encodeSync(RawResult)

/** As theirs does, a text loses the quotes of a string. */
const unquoted = (text: unknown): unknown => typeof text === "string" ? text.replace(/^(['"])([\s\S]*)\1$/, "$2") : text

/** Their client decodes what arrives piece by piece, each by itself: beyond ASCII nothing may be cut. */
const ascii = (json: string): string =>
  json.replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`)

const line = (record: unknown): string => `${ascii(JSON.stringify(record))}\n`

const output = (type: "stdout" | "stderr", text: string, timestamp: number): string => {
  let lines = ""
  for (let at = 0; at < text.length; at += MAX_TEXT) {
    lines += line({ type, text: text.slice(at, at + MAX_TEXT), timestamp })
  }
  return lines
}

const toLines = (event: ExecutionEvent): string => {
  switch (event._tag) {
    case "ExecutionCount":
      return line({ type: "number_of_executions", execution_count: event.executionCount })
    case "Stdout":
      return output("stdout", event.text, event.timestamp)
    case "Stderr":
      return output("stderr", event.text, event.timestamp)
    case "Result": {
      const { text, ...result } = encodeResult(event.result)
      return line({ type: "result", ...result, ...text === undefined ? {} : { text: unquoted(text) } })
    }
    case "Error":
      return line({ type: "error", ...event.error })
    case "Ended":
      return line({ type: "end_of_execution" })
    case "Started":
      return ""
  }
}

/**
 * Why a run has no end, told as their server tells it, as an error of the code: a stream that just ends is a success to
 * their client.
 */
const toError = (error: RequestError): string => {
  const name = error._tag === "TimeoutError"
    ? "TimeoutError"
    : error._tag === "SandboxError" && error.code === "cancelled"
    ? "ExecutionAborted"
    : "UnexpectedEndOfExecution"
  return line({ type: "error", name, value: error.message, traceback: "" }) + line({ type: "end_of_execution" })
}

const encoder = new TextEncoder()

const describe = (context: CodeContext) => ({
  id: context.id,
  language: context.language,
  cwd: toCaller(context.cwd, "")
})

/**
 * Makes the answers.
 */
export const make = (sdk: Service) =>
  Effect.gen(function*() {
    const defaults = yield* DefaultContexts.make(sdk)

    const events = (id: string, code: string, contextId: string, envs: Readonly<Record<string, string>> | undefined) =>
      sdk.runCodeStream(id, code, { contextId, timeoutMs: NO_LIMIT_MS, ...envs === undefined ? {} : { envs } })

    const json = (request: Request) => Effect.mapError(request.json, () => malformed("body", "it must be JSON."))

    const read = <A, I>(request: Request, schema: Schema.Schema<A, I>): Effect.Effect<A, RequestError> =>
      Effect.flatMap(json(request), (value) =>
        Effect.mapError(Schema.decodeUnknown(schema)(value), (error) => malformed("body", error.message)))

    const owned = (id: string, contextId: string): Effect.Effect<void, RequestError> =>
      Effect.flatMap(sdk.listCodeContexts(id), (contexts) =>
        contexts.some((context) =>
            context.id === contextId
          )
          ? Effect.void
          : Effect.fail(
            new SandboxError({
              code: "context_not_found",
              message: `Context ${contextId} not found`,
              sandboxId: id
            })
          ))

    const execute = (id: string, request: Request, sandbox: SandboxInfo): Answer =>
      Effect.gen(function*() {
        const { code, context_id: contextId, env_vars: given, language: name } = yield* read(request, Execute)
        const language = yield* languageOf(name)
        const envs = given ?? undefined
        if (typeof contextId === "string" && language !== undefined) {
          return yield* malformed("language", "give either a context or a language, not both.")
        }
        if (typeof contextId === "string") {
          yield* owned(id, contextId)
        }
        const run = typeof contextId === "string"
          ? events(id, code, contextId, envs)
          : defaults.run(
            id,
            language ?? sandbox.templateConfig.language,
            (context) => events(id, code, context, envs)
          )
        const records = run.pipe(
          Stream.mapChunks((chunk) => Chunk.of([...chunk].map(toLines).join(""))),
          Stream.catchAll((error) => Stream.succeed(toError(error)))
        )
        const signs = Stream.as(Stream.fromSchedule(Schedule.spaced(KEEPALIVE)), line({ type: "keepalive" }))
        return HttpServerResponse.stream(
          Stream.merge(records, signs, { haltStrategy: "left" }).pipe(
            Stream.filter((text) => text !== ""),
            Stream.map((text) => encoder.encode(text))
          ),
          { contentType: "application/x-ndjson", headers: { "cache-control": "no-store" } }
        )
      })

    return {
      execute,
      createContext: (id: string, request: Request): Answer =>
        Effect.gen(function*() {
          const { cwd, language: name } = yield* read(request, NewContext)
          const language = yield* languageOf(name)
          const context = yield* sdk.createCodeContext(id, {
            cwd: cwd ?? HOME,
            ...language === undefined ? {} : { language }
          })
          return HttpServerResponse.unsafeJson(describe(context))
        }),
      listContexts: (id: string): Answer =>
        Effect.map(sdk.listCodeContexts(id), (contexts) => HttpServerResponse.unsafeJson(contexts.map(describe))),
      restartContext: (id: string, contextId: string): Answer =>
        Effect.zipRight(
          owned(id, contextId),
          Effect.map(sdk.restartCodeContext(contextId), (context) => HttpServerResponse.unsafeJson(describe(context)))
        ),
      removeContext: (id: string, contextId: string): Answer =>
        Effect.zipRight(
          owned(id, contextId),
          Effect.as(sdk.deleteCodeContext(contextId), HttpServerResponse.empty({ status: 204 }))
        )
    }
  })

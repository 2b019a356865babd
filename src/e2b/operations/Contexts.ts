/**
 * Operations on contexts.
 */
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { type CodeContext, Language } from "../../CodeContext.js"
import { type RequestError, SandboxError } from "../../Errors.js"
import { decodeArguments, normalizeDirectory, requireId, WORKSPACE } from "../../internal/arguments.js"
import type { ContextOperations } from "../../internal/groups.js"
import { CreateCodeContextOptions } from "../../Options.js"
import { undecodable } from "../../remote/Failures.js"
import type { Client } from "../Client.js"
import { unsupported } from "../Failures.js"
import * as Ids from "../Ids.js"
import { toCaller, toServer } from "../Paths.js"
import { Context, Contexts } from "../Protocol.js"

const decodeCreate = decodeArguments(CreateCodeContextOptions, "createCodeContext")

const isLanguage = Schema.is(Language)

/**
 * Makes the operations. The protocol says nothing of when a context was made and how often its interpreter was replaced:
 * `createdAt` is when it was first seen here, and `restarts` counts those that were asked for here.
 */
export const contextOperations = (client: Client): ContextOperations => {
  const { metrics, peer, settings } = client
  const seen = new Map<string, { readonly createdAt: number; readonly restarts: number; readonly cwd?: string }>()

  const describe = (
    sandboxId: string,
    context: typeof Context.Type,
    asked?: string
  ): Effect.Effect<CodeContext, RequestError> =>
    Effect.gen(function*() {
      const id = Ids.join(sandboxId, context.id)
      const known = seen.get(id) ?? {
        createdAt: yield* Clock.currentTimeMillis,
        restarts: 0,
        ...asked === undefined ? {} : { cwd: asked }
      }
      seen.set(id, known)
      const { language } = context
      if (!isLanguage(language)) {
        return yield* undecodable(peer, `has a context of the language ${JSON.stringify(language)}.`)
      }
      return {
        id,
        sandboxId,
        language,
        cwd: known.cwd ?? toCaller(settings.home, context.cwd ?? settings.home),
        createdAt: known.createdAt,
        restarts: known.restarts,
        ...known.restarts === 0 ? {} : { lastRestart: "requested" }
      } satisfies CodeContext
    })

  const list = (operation: string, sandboxId: string) =>
    client.json(
      { operation, effect: "none", sandboxId },
      "code",
      HttpClientRequest.get("/contexts"),
      Contexts
    )

  const find = (operation: string, contextId: string) =>
    Effect.flatMap(
      requireId(operation, contextId, "contextId"),
      (known) => Ids.split("context", "context_not_found", known)
    )

  const missing = (contextId: string) =>
    new SandboxError({ code: "context_not_found", message: `There is no context ${JSON.stringify(contextId)}.` })

  return {
    createCodeContext: Effect.fn("SandboxSDK.createCodeContext")(function*(sandboxId, input) {
      const options = yield* decodeCreate(input)
      const cwd = yield* normalizeDirectory("createCodeContext", options.cwd ?? WORKSPACE)
      yield* requireId("createCodeContext", sandboxId)
      if (options.envVars !== undefined && Object.keys(options.envVars).length > 0) {
        return yield* unsupported(
          "createCodeContext",
          "envVars",
          "in E2B's protocol a context has the environment of its sandbox; give envs to each run."
        )
      }
      const language = options.language ?? (yield* client.languageOf("createCodeContext", sandboxId))
      const context = yield* client.json(
        {
          operation: "createCodeContext",
          effect: "once",
          sandboxId,
          missing: "file_not_found",
          refused: "language_unavailable"
        },
        "code",
        HttpClientRequest.bodyUnsafeJson(HttpClientRequest.post("/contexts"), {
          cwd: toServer(settings.home, cwd),
          ...language === undefined ? {} : { language }
        }),
        Context
      ).pipe(Effect.mapError((error) =>
        error._tag === "SandboxError" && error.code === "file_not_found"
          ? new SandboxError({ ...error, message: error.message, field: "cwd" })
          : error
      ))
      return yield* describe(sandboxId, context, cwd)
    }, metrics.track("createCodeContext")),
    listCodeContexts: Effect.fn("SandboxSDK.listCodeContexts")(function*(sandboxId) {
      yield* requireId("listCodeContexts", sandboxId)
      const contexts = yield* list("listCodeContexts", sandboxId)
      return yield* Effect.forEach(contexts, (context) => describe(sandboxId, context))
    }, metrics.track("listCodeContexts")),
    deleteCodeContext: Effect.fn("SandboxSDK.deleteCodeContext")(function*(contextId) {
      const { id, sandboxId } = yield* find("deleteCodeContext", contextId)
      yield* client.stream(
        { operation: "deleteCodeContext", effect: "once", sandboxId, missing: "context_not_found" },
        "code",
        HttpClientRequest.del(`/contexts/${encodeURIComponent(id)}`),
        false
      ).pipe(Stream.runDrain)
      seen.delete(contextId)
    }, metrics.track("deleteCodeContext")),
    restartCodeContext: Effect.fn("SandboxSDK.restartCodeContext")(function*(contextId) {
      const { id, sandboxId } = yield* find("restartCodeContext", contextId)
      yield* client.stream(
        { operation: "restartCodeContext", effect: "once", sandboxId, missing: "context_not_found" },
        "code",
        HttpClientRequest.post(`/contexts/${encodeURIComponent(id)}/restart`),
        false
      ).pipe(Stream.runDrain)
      const context = (yield* list("restartCodeContext", sandboxId)).find((one) => one.id === id)
      if (context === undefined) return yield* missing(contextId)
      const before = seen.get(contextId) ?? { createdAt: yield* Clock.currentTimeMillis, restarts: 0 }
      seen.set(contextId, { ...before, restarts: before.restarts + 1 })
      return yield* describe(sandboxId, context)
    }, metrics.track("restartCodeContext"))
  }
}

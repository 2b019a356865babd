/**
 * E2B's protocol, over the same service as our own: programs that are written for E2B run here unchanged, with three
 * variables set (`E2B_API_URL`, `E2B_SANDBOX_URL`, `E2B_API_KEY`). One port serves all of it: which sandbox is meant, a
 * request says in `E2b-Sandbox-Id`, or by its host.
 */
import * as HttpRouter from "@effect/platform/HttpRouter"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { RequestError } from "../../Errors.js"
import { SandboxSDK } from "../../SandboxSDK.js"
import { Settings } from "../Settings.js"
import { sandboxOf } from "./Addressed.js"
import * as Caller from "./Caller.js"
import * as CodeInterpreter from "./CodeInterpreter.js"
import * as Connect from "./Connect.js"
import * as Control from "./Control.js"
import { answerGone, answerPlain, unsupported } from "./Failures.js"
import * as Filesystem from "./Filesystem.js"
import * as FileTransfer from "./FileTransfer.js"
import * as Metrics from "./Metrics.js"
import * as Processes from "./Processes.js"
import { parameter } from "./Requests.js"
import { layer as tokens, Tokens } from "./Tokens.js"

type Request = HttpServerRequest.HttpServerRequest
type Response = HttpServerResponse.HttpServerResponse

/**
 * The service.
 */
export class E2b extends Context.Tag("sandbox-sdk/server/e2b/E2b")<E2b, {
  /** Whether a request is one of E2B's protocol. */
  readonly speaks: (request: Request) => boolean
  /** Answers it. */
  readonly answer: Effect.Effect<Response, never, Request | Scope.Scope>
}>() {}

const CONTROL = /^\/(?:(?:v\d+\/)?(?:sandboxes|templates)|snapshots|volumes|secrets)(?:[/?]|$)/

const SIGNED = /^\/files\?(?:.*&)?signature=/

/** The calls whose answer is a stream. */
const STREAMS = new Set(["Start", "Connect", "WatchDir"])

/**
 * Whether a URL is signed: whoever has it may use it.
 */
export const isSigned = (url: string): boolean => SIGNED.test(url)

/**
 * Makes it.
 */
export const layer = Layer.scoped(
  E2b,
  Effect.gen(function*() {
    const sdk = yield* SandboxSDK
    const { bodies, e2b } = yield* Settings
    const known = yield* Tokens
    const caller = yield* Caller.make
    const control = yield* Control.routes(sdk, caller)
    const interpreter = yield* CodeInterpreter.make(sdk)

    /** What runs can write: who holds too much may read and delete, but run nothing. */
    const running = Effect.zipRight(caller.executing, caller.storing(sdk, 0))

    const admit = (method: string) =>
      Effect.all([
        STREAMS.has(method) ? caller.streaming : Effect.void,
        method === "Start" ? running : Effect.void
      ], { discard: true })

    const rpc = (answer: Connect.Answerer, name: string) =>
      caller.byToken(
        sdk,
        (id, request) =>
          Effect.flatMap(parameter("method"), (method) =>
            Effect.zipRight(
              admit(method),
              answer(sdk, id, method, request, bodies) ?? Effect.fail(unsupported(`${name}/${method}`))
            )),
        Connect.failed
      )

    /** A file, by the token of its sandbox or by a signature. */
    const file = (
      handler: (id: string, path: string, request: Request) => Effect.Effect<Response, RequestError, Scope.Scope>
    ) =>
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.HttpServerRequest
        const query = yield* FileTransfer.query
        const asked = FileTransfer.signed(request, query)
        if (Option.isNone(asked)) {
          return yield* caller.byToken(sdk, (id) => handler(id, query.path, request))
        }
        const { caller: who, sandboxId } = yield* known.ofSignature(asked.value)
        return yield* caller.goOn(who, handler(sandboxId, query.path, request))
      }).pipe(Effect.catchAll((error: RequestError) => Effect.succeed(answerPlain(error))))

    const health = Effect.flatMap(
      HttpServerRequest.HttpServerRequest,
      ({ headers }) =>
        caller.byToken(
          sdk,
          (id) =>
            Effect.map(sdk.getSandboxStatus(id), (status) =>
              status === "creating" || status === "ready" || status === "running"
                ? HttpServerResponse.empty({ status: 204 })
                : answerGone(sandboxOf(headers) ?? ""))
        )
    )

    const none = (feature: string) => caller.byToken(sdk, () => Effect.fail(unsupported(feature)))

    const inSandbox = HttpRouter.empty.pipe(
      HttpRouter.post("/process.Process/:method", rpc(Processes.answer, "process.Process")),
      HttpRouter.post("/filesystem.Filesystem/:method", rpc(Filesystem.answer, "filesystem.Filesystem")),
      HttpRouter.get("/health", health),
      HttpRouter.get(
        "/files",
        file((id, path, request) => Effect.zipRight(caller.streaming, FileTransfer.download(sdk, id, path, request)))
      ),
      HttpRouter.post(
        "/files",
        file((id, path, request) =>
          Effect.zipRight(
            caller.storing(sdk, Number(request.headers["content-length"] ?? 0)),
            Effect.flatMap(caller.metered(sdk), (admit) => FileTransfer.upload(sdk, id, path, request, bodies, admit))
          )
        )
      ),
      HttpRouter.post("/files/compose", none("files/compose")),
      HttpRouter.get("/metrics", caller.byToken(sdk, (id) => Metrics.ofEnvd(sdk, id))),
      HttpRouter.get("/envs", none("envd envs")),
      HttpRouter.post(
        "/execute",
        caller.byToken(
          sdk,
          (id, request, sandbox) =>
            Effect.all([caller.streaming, running], { discard: true }).pipe(
              Effect.zipRight(interpreter.execute(id, request, sandbox))
            )
        )
      ),
      HttpRouter.post("/contexts", caller.byToken(sdk, interpreter.createContext)),
      HttpRouter.get("/contexts", caller.byToken(sdk, interpreter.listContexts)),
      HttpRouter.post(
        "/contexts/:context/restart",
        caller.byToken(sdk, (id) => Effect.flatMap(parameter("context"), (one) => interpreter.restartContext(id, one)))
      ),
      HttpRouter.del(
        "/contexts/:context",
        caller.byToken(sdk, (id) => Effect.flatMap(parameter("context"), (one) => interpreter.removeContext(id, one)))
      )
    )

    const routed = (router: typeof inSandbox) =>
      Effect.catchTag(
        router,
        "RouteNotFound",
        ({ request }) =>
          Effect.succeed(answerPlain(unsupported(`${request.method} ${request.url.split("?")[0] ?? ""}`)))
      )

    return {
      speaks: ({ headers, url }) => e2b && (sandboxOf(headers) !== undefined || CONTROL.test(url) || isSigned(url)),
      answer: Effect.flatMap(
        HttpServerRequest.HttpServerRequest,
        ({ url }) => routed(CONTROL.test(url) ? control : inSandbox)
      )
    }
  })
).pipe(Layer.provide(tokens))

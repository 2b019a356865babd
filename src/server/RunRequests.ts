/**
 * Requests that run code or a command, and whose answer is the stream of its events.
 */
import type * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import type * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type { ExecuteRequest, TerminalRequest } from "../Api.js"
import { CurrentUser } from "../CurrentUser.js"
import type { RequestError } from "../Errors.js"
import type { ExecutionEvent } from "../Execution.js"
import * as Traceparent from "../internal/traceparent.js"
import * as Quotas from "../Quotas.js"
import { SandboxSDK } from "../SandboxSDK.js"
import { Active } from "./Active.js"
import { provideForRest, stoppable, tellSandbox } from "./Handlers.js"
import * as Runs from "./Runs.js"
import * as Streams from "./Streams.js"

type Request = HttpServerRequest.HttpServerRequest

/**
 * Lets a trace that the caller has begun go on in what runs; a value that the caller gave is the caller's business.
 */
export const environment = (request: Request, envVars: Readonly<Record<string, string>> | undefined) =>
  Effect.map(Traceparent.current, (current) => {
    const given = request.headers["traceparent"]
    return given === undefined || Option.isNone(Traceparent.parse(given)) || Option.isNone(current)
      ? envVars ?? {}
      : { [Traceparent.VARIABLE]: current.value, ...envVars }
  })

/**
 * A request that asks for events.
 */
export interface RunRequest<Payload> {
  readonly request: Request
  readonly format: Streams.Format
  /** Of the sandbox. */
  readonly id: string
  readonly payload: Payload
  readonly asking: Runs.Asking
}

type Answer = Effect.Effect<HttpServerResponse.HttpServerResponse, RequestError, Scope.Scope>

/**
 * Makes what answers them.
 */
export const make = Effect.gen(function*() {
  const sdk = yield* SandboxSDK
  const quotas = yield* Quotas.Quotas
  const active = yield* Active
  const answer = yield* Runs.make
  const stored = Effect.map(sdk.getUsage(), ({ storageBytes }) => storageBytes)

  /** In the name of who asks, with what they hold looked at, and to be stopped by the key of the request. */
  const begin = ({ asking: { userId }, id, request }: RunRequest<unknown>) =>
    tellSandbox(id).pipe(
      Effect.zipRight(provideForRest(Context.make(CurrentUser, userId))),
      // What runs can write: who holds too much may read and delete, but run nothing.
      Effect.zipRight(quotas.storage(userId, stored, 0)),
      Effect.zipRight(stoppable(active, userId, request))
    )

  return {
    code: (of: RunRequest<typeof ExecuteRequest.Type>): Answer =>
      Effect.gen(function*() {
        const { asking, format, id, payload: { code, envVars, ...options }, request } = of
        yield* begin(of)
        const envs = yield* environment(request, envVars)
        return yield* answer({
          request,
          format,
          events: Streams.executionEvents,
          lifetime: options,
          start: (lifetime) => sdk.runCodeStream(id, code, { ...options, envs, ...lifetime }),
          follow: sdk.attach,
          cancel: sdk.cancelExecution
        }, asking)
      }),
    command: (of: RunRequest<typeof TerminalRequest.Type>): Answer =>
      Effect.gen(function*() {
        const { asking, format, id, payload: { command, envVars, ...options }, request } = of
        yield* begin(of)
        const envs = yield* environment(request, envVars)
        return yield* answer<ExecutionEvent>({
          request,
          format,
          events: Streams.executionEvents,
          lifetime: options,
          start: (lifetime) => sdk.runTerminalStream(id, command, { ...options, envs, ...lifetime }),
          follow: sdk.attach,
          cancel: sdk.cancelExecution
        }, asking)
      })
  }
})

/**
 * Requests of the interface whose answer is read by hand: where they go, and what they carry. A client that is derived from the
 * interface would take more time for each than all the rest does, and they are most of all requests.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as Either from "effect/Either"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { BatchRequest, ExecuteRequest, TerminalRequest } from "../Api.js"
import { Code } from "../api/Code.js"
import { Executions } from "../api/Executions.js"
import { Sandboxes } from "../api/Sandboxes.js"
import { CreateSandboxOptions } from "../Options.js"

/**
 * Where a request goes, and its body.
 */
export interface Route {
  readonly method: "GET" | "POST"
  readonly path: string
  readonly body?: HttpBody.HttpBody
}

/** The path that the interface gives it, with this segment in place of its parameter. */
const pathOf = (endpoint: { readonly path: string } | undefined, segment: string): string =>
  (endpoint?.path ?? "").replace(/:\w+/, () => segment)

type Posting = Either.Either<Route, ParseResult.ParseError>

const posting = <A, I>(payload: Schema.Schema<A, I>) => {
  const encode = Schema.encodeEither(payload)
  return (path: string, input: A): Posting =>
    Either.map(encode(input), (encoded) => ({ method: "POST", path, body: HttpBody.unsafeJson(encoded) }))
}

/** A request that runs something in a sandbox, whose id is a segment of a path already. */
const running = <A, I>(endpoint: { readonly path: string } | undefined, payload: Schema.Schema<A, I>) => {
  const post = posting(payload)
  return (id: string, input: A): Posting => post(pathOf(endpoint, id), input)
}

const creating = posting(CreateSandboxOptions)

/** Makes a sandbox. */
export const create = (options: CreateSandboxOptions): Posting =>
  creating(Sandboxes.endpoints.create?.path ?? "", options)

/** Runs code. */
export const execute = running(Code.endpoints.execute, ExecuteRequest)

/** Runs a command. */
export const terminal = running(Code.endpoints.terminal, TerminalRequest)

/** Runs jobs. */
export const batch = running(Code.endpoints.batch, BatchRequest)

/** The events of an execution after one of them. */
export const events = (executionId: string, after: number): Route => ({
  method: "GET",
  path: `${pathOf(Executions.endpoints.events, encodeURIComponent(executionId))}?after=${after}`
})

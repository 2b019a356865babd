/**
 * The arguments of the operations, each as a schema, so that every layer refuses the same mistakes in the same words.
 */
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { Language } from "./CodeContext.js"
import type { ErrorInfo, OutputMessage } from "./Execution.js"
import type { Result } from "./Result.js"
import { Resources, SandboxStatus } from "./SandboxInfo.js"

/**
 * Environment variables. A name is letters, digits and underscores and does not begin with a digit (POSIX.1-2017, 8.1);
 * a value holds no NUL.
 *
 * @category models
 */
export const EnvVars = Schema.Record({
  key: Schema.String.pipe(Schema.pattern(/^[A-Za-z_][A-Za-z0-9_]*$/)),
  value: Schema.String.pipe(Schema.pattern(/^[^\0]*$/))
})

/**
 * @category models
 */
export type EnvVars = typeof EnvVars.Type

/**
 * Which hosts a sandbox may reach: `"none"`, or named hosts and ports (`"example.org:443"`).
 *
 * @category models
 */
export const Network = Schema.Union(
  Schema.Literal("none"),
  Schema.Struct({ allow: Schema.Array(Schema.String) })
)

/**
 * @category models
 */
export type Network = typeof Network.Type

/**
 * A time limit in milliseconds: a whole number from 1 to 2,147,483,647 (24.8 days), the longest that a timer takes.
 *
 * @category models
 */
export const Millis = Schema.Int.pipe(Schema.between(1, 2_147_483_647))

/**
 * @category models
 */
export const CreateSandboxOptions = Schema.Struct({
  templateId: Schema.NonEmptyString,
  name: Schema.optional(Schema.String.pipe(Schema.maxLength(256))),
  initialEnvVars: Schema.optional(EnvVars),
  metadata: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
  resources: Schema.optional(Resources),
  network: Schema.optional(Network)
})

/**
 * @category models
 */
export type CreateSandboxOptions = typeof CreateSandboxOptions.Type

/**
 * @category models
 */
export const ListSandboxesOptions = Schema.Struct({
  status: Schema.optional(SandboxStatus),
  metadata: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String })),
  page: Schema.optional(Schema.Int.pipe(Schema.between(1, 1_000_000))),
  pageSize: Schema.optional(Schema.Int.pipe(Schema.between(1, 1_000)))
})

/**
 * @category models
 */
export type ListSandboxesOptions = typeof ListSandboxesOptions.Type

const run = {
  timeoutMs: Schema.optional(Millis),
  requestTimeoutMs: Schema.optional(Millis),
  maxOutputSize: Schema.optional(Schema.Int.pipe(Schema.nonNegative())),
  envs: Schema.optional(EnvVars)
}

/**
 * How code is run. `contextId` names a context; without it the code runs in the default context of the sandbox, or of
 * `language`. `envs` are added to the environment for this run alone. `timeoutMs` is by default the template's, else
 * 60000; it counts from the start of the run. `requestTimeoutMs` counts from the call, time in the queue included, and
 * has no default. `maxOutputSize` is in bytes of both streams together; what lies beyond is dropped, and the end event says
 * how much that was.
 *
 * @category models
 */
export const RunCodeStreamOptions = Schema.Struct({
  ...run,
  contextId: Schema.optional(Schema.NonEmptyString),
  language: Schema.optional(Language)
})

/**
 * @category models
 */
export type RunCodeStreamOptions = typeof RunCodeStreamOptions.Type

/**
 * A callback returns nothing, or an effect that is run before the next one is called.
 *
 * @category models
 */
export type Callback<A> = (value: A) => void | Effect.Effect<void>

/**
 * Callbacks for what a run produces, called in order, one at a time.
 *
 * @category models
 */
export interface OutputCallbacks {
  readonly onStdout?: Callback<OutputMessage> | undefined
  readonly onStderr?: Callback<OutputMessage> | undefined
}

/**
 * Callbacks for what a run of code produces, called in order, one at a time.
 *
 * @category models
 */
export interface RunCodeCallbacks extends OutputCallbacks {
  readonly onResult?: Callback<Result> | undefined
  readonly onError?: Callback<ErrorInfo> | undefined
}

/**
 * `captureOutput: false` leaves `logs` empty and still calls the callbacks. Without `maxOutputSize`, 100 MiB of output
 * are kept.
 *
 * @category models
 */
export interface RunCodeOptions extends RunCodeStreamOptions, RunCodeCallbacks {
  readonly captureOutput?: boolean | undefined
}

/**
 * How a command is run: by `bash -c` (`sh -c` where there is no bash), in `cwd` (`/workspace` by default).
 *
 * @category models
 */
export const RunTerminalStreamOptions = Schema.Struct({
  ...run,
  cwd: Schema.optional(Schema.NonEmptyString)
})

/**
 * @category models
 */
export type RunTerminalStreamOptions = typeof RunTerminalStreamOptions.Type

/**
 * @category models
 */
export interface RunTerminalOptions extends RunTerminalStreamOptions, OutputCallbacks {}

/**
 * `encoding` is how bytes become text: `utf-8` (the default) or `base64`.
 *
 * @category models
 */
export const ReadFileOptions = Schema.Struct({
  encoding: Schema.optional(Schema.Literal("utf-8", "base64"))
})

/**
 * @category models
 */
export type ReadFileOptions = typeof ReadFileOptions.Type

/**
 * `createParents` (true by default) makes the directories that are missing.
 *
 * @category models
 */
export const WriteFileOptions = Schema.Struct({
  createParents: Schema.optional(Schema.Boolean)
})

/**
 * @category models
 */
export type WriteFileOptions = typeof WriteFileOptions.Type

/**
 * @category models
 */
export const CreateCodeContextOptions = Schema.Struct({
  language: Schema.optional(Language),
  cwd: Schema.optional(Schema.NonEmptyString),
  envVars: Schema.optional(EnvVars)
})

/**
 * @category models
 */
export type CreateCodeContextOptions = typeof CreateCodeContextOptions.Type

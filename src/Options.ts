/**
 * The arguments of the operations, each as a schema, so that every layer refuses the same mistakes in the same words.
 */
import type * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { Language } from "./CodeContext.js"
import { EnvVars } from "./EnvVars.js"
import type { ErrorInfo, OutputMessage } from "./Execution.js"
import { callback } from "./internal/callbacks.js"
import { parseEndpoint } from "./internal/hosts.js"
import { Millis } from "./Millis.js"
import { TerminalSize } from "./Process.js"
import { Resources } from "./Resources.js"
import type { Result } from "./Result.js"
import { SandboxStatus } from "./SandboxInfo.js"

export { EnvVars, Millis }

/**
 * A host and a port, `"example.org:443"`, in any case; `"*.example.org:443"` stands for all hosts below `example.org`, and
 * not for itself. An IPv6 address stands in brackets (RFC 3986, 3.2.2): `"[2001:db8::1]:443"`; other alphabets are
 * written as DNS has them (`"xn--bcher-kva.example:443"`).
 *
 * @category models
 */
export const HostAndPort = Schema.String.pipe(
  Schema.filter((text) => Option.isSome(parseEndpoint(text)), {
    description: "a host and a port, such as \"example.org:443\"",
    jsonSchema: { pattern: "^(?:\\[[0-9A-Fa-f:.]+\\]|(?:\\*\\.)?[A-Za-z0-9._-]+):[1-9][0-9]{0,4}$" }
  })
)

/**
 * Which hosts a sandbox may reach: `"none"`, or named hosts and ports (`{ allow: ["example.org:443"] }`).
 *
 * @category models
 */
export const Network = Schema.Union(
  Schema.Literal("none"),
  Schema.Struct({ allow: Schema.Array(HostAndPort).pipe(Schema.maxItems(1_000)) })
).annotations({ description: "\"none\" or { allow: [\"host:port\", …] }" })

/**
 * @category models
 */
export type Network = typeof Network.Type

/**
 * Labels of a sandbox, to find it by: any names and strings. They mean nothing to the sandbox.
 *
 * @category models
 */
export const Metadata = Schema.Record({ key: Schema.String, value: Schema.String }).annotations({
  description: "an object of names and strings"
})

/**
 * @category models
 */
export type Metadata = typeof Metadata.Type

/**
 * What to make. `templateId` is the id of a template (`python-3.11`) or a bare language (`python`), the newest version
 * then. `fromSnapshot`, in its place, is the id of a snapshot: its files are there then, and everything that the sandbox
 * was made with holds again, but for what is said anew (environment variables and labels each by its name).
 * `initialEnvVars` are set for everything that runs in the sandbox. `resources` and `network` say what it may use;
 * by default it has no network. `autoStart` (true by default) starts it now, and again whenever an operation finds it
 * stopped; without, only `startSandbox` does. `expiryTime` is how long it may exist, in milliseconds, before it is
 * deleted by itself.
 *
 * @category models
 */
export const CreateSandboxOptions = Schema.Struct({
  templateId: Schema.optional(
    Schema.NonEmptyString.annotations({ description: "the id of a template, such as \"python\"" })
  ),
  fromSnapshot: Schema.optional(Schema.NonEmptyString.annotations({ description: "the id of a snapshot" })),
  name: Schema.optional(
    Schema.String.pipe(Schema.maxLength(256, { description: "a string of at most 256 characters" }))
  ),
  initialEnvVars: Schema.optional(EnvVars),
  metadata: Schema.optional(Metadata),
  resources: Schema.optional(Resources),
  network: Schema.optional(Network),
  autoStart: Schema.optional(Schema.Boolean),
  expiryTime: Schema.optional(Millis)
})

/**
 * @category models
 */
export type CreateSandboxOptions = typeof CreateSandboxOptions.Type

/**
 * A number of a page, from 1.
 *
 * @category models
 */
export const PageNumber = Schema.Int.pipe(
  Schema.between(1, 1_000_000, { description: "a whole number from 1 to 1000000" })
)

/**
 * How many entries a page has.
 *
 * @category models
 */
export const PageSize = Schema.Int.pipe(Schema.between(1, 1_000, { description: "a whole number from 1 to 1000" }))

/**
 * Which sandboxes: those with this `status`, and with all of these labels in their `metadata`. Without `page` and
 * `pageSize`, all of them; with one of the two, the other is 1 or 10.
 *
 * @category models
 */
export const ListSandboxesOptions = Schema.Struct({
  status: Schema.optional(SandboxStatus),
  metadata: Schema.optional(Metadata),
  page: Schema.optional(PageNumber),
  pageSize: Schema.optional(PageSize)
})

/**
 * @category models
 */
export type ListSandboxesOptions = typeof ListSandboxesOptions.Type

const Directory = Schema.NonEmptyString.annotations({ description: "the path of a directory" })

/**
 * For how long what is run goes on without anybody who reads its events.
 */
const lifetime = {
  detached: Schema.optional(Schema.Boolean),
  detachGraceMs: Schema.optional(
    Schema.Int.pipe(
      Schema.between(0, 2_147_483_647, { description: "a whole number of milliseconds from 0 to 2147483647" })
    )
  ),
  hold: Schema.optional(Schema.NonEmptyString)
}

const run = {
  timeoutMs: Schema.optional(Millis),
  requestTimeoutMs: Schema.optional(Millis),
  maxOutputSize: Schema.optional(
    Schema.Int.pipe(Schema.nonNegative({ description: "a whole number of bytes, 0 or more" }))
  ),
  envs: Schema.optional(EnvVars),
  ...lifetime
}

/**
 * How code is run. `contextId` names a context; without it the code runs in the default context of the sandbox, or of
 * `language`. `envs` are added to the environment for this run alone. `timeoutMs` is by default the template's, else
 * 60000; it counts from the start of the run. `requestTimeoutMs` counts from the call, time in the queue included, and
 * has no default. `maxOutputSize` is in bytes of both streams together; what lies beyond is dropped, and the end event says
 * how much that was.
 *
 * Whoever leaves the stream stops what it runs, unless there is a `detachGraceMs`: it then goes on for so many milliseconds
 * with nobody who reads its events (`attach`), and is stopped after that. With `detached: true` it goes on to its end; what
 * it then writes beyond what its log can keep is dropped, and the end event says how much that was. `hold` is for what
 * stands between a run and its reader, such as a server: see {@link AttachOptions}.
 *
 * @category models
 */
export const RunCodeStreamOptions = Schema.Struct({
  ...run,
  contextId: Schema.optional(Schema.NonEmptyString.annotations({ description: "the id of a context" })),
  language: Schema.optional(Language)
})

/**
 * @category models
 */
export type RunCodeStreamOptions = typeof RunCodeStreamOptions.Type

/**
 * A callback returns nothing, or an effect that is run before the next callback is called; the program that is being
 * run waits meanwhile, once its output fills the pipe. A callback that throws, or whose effect dies, stops the run: the
 * call then dies with that defect. The boolean of a `write` and the number of a `push` mean nothing.
 *
 * @category models
 */
export type Callback<A> = (value: A) => void | boolean | number | Effect.Effect<void>

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
 * How a command is run: by `bash -c` (`sh -c` where there is no bash), in `cwd` (`/workspace` by default). With
 * `mergeOutput`, standard error goes the way of standard output, and the order of what was written to the two is exact;
 * `runTerminal` does so by itself when it has no callbacks.
 *
 * @category models
 */
export const RunTerminalStreamOptions = Schema.Struct({
  ...run,
  cwd: Schema.optional(Directory),
  mergeOutput: Schema.optional(Schema.Boolean)
})

/**
 * @category models
 */
export type RunTerminalStreamOptions = typeof RunTerminalStreamOptions.Type

/** More would not fit into what a program is started with (execve(2)). */
const MAX_ARGUMENTS = 128 * 1024

const Arguments = Schema.Array(
  Schema.String.pipe(Schema.pattern(/^[^\0]*$/, { description: "a string without NUL characters" }))
).pipe(
  Schema.filter(
    (args) => args.length > 0 && args[0] !== "" && args.reduce((sum, { length }) => sum + length, 0) <= MAX_ARGUMENTS,
    {
      description: `a program and its arguments, together at most ${MAX_ARGUMENTS} characters`
    }
  )
)

/**
 * What is started, and how: a shell `command`, or a program with its arguments (`args`: `["python3", "-i"]`), found by the
 * `PATH` of its environment; one of the two. It runs in `cwd` (`/workspace` by default), with `envs` added to its
 * environment. `stdin: true` gives it an input that is written by `writeStdin`; without, it has none. With `pty` it has a
 * terminal of that size as its input and output. It has no limit of time unless `timeoutMs` says one. `tag` is a name of the
 * caller's, shown by `listProcesses`. What lies beyond `maxOutputSize` bytes of its output is dropped and counted.
 *
 * @category models
 */
export const StartProcessOptions = Schema.Struct({
  command: Schema.optional(Schema.String),
  args: Schema.optional(Arguments),
  cwd: Schema.optional(Directory),
  envs: run.envs,
  stdin: Schema.optional(Schema.Boolean),
  pty: Schema.optional(TerminalSize),
  timeoutMs: run.timeoutMs,
  tag: Schema.optional(Schema.NonEmptyString.pipe(Schema.maxLength(256))),
  maxOutputSize: run.maxOutputSize
})

/**
 * @category models
 */
export type StartProcessOptions = typeof StartProcessOptions.Type

/**
 * How a command is run, with callbacks for its output.
 *
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
 * What to make. `language` is by default the template's, `cwd` `/workspace`; `envVars` are added to the environment of
 * the sandbox.
 *
 * @category models
 */
export const CreateCodeContextOptions = Schema.Struct({
  language: Schema.optional(Language),
  cwd: Schema.optional(Directory),
  envVars: Schema.optional(EnvVars)
})

/**
 * @category models
 */
export type CreateCodeContextOptions = typeof CreateCodeContextOptions.Type

/**
 * `parents` (true by default) makes the directories above that are missing; a directory that is there already is no
 * error then.
 *
 * @category models
 */
export const MakeDirectoryOptions = Schema.Struct({
  parents: Schema.optional(Schema.Boolean)
})

/**
 * @category models
 */
export type MakeDirectoryOptions = typeof MakeDirectoryOptions.Type

/**
 * `permissions` (true by default) gives files and directories in the sandbox the permissions that they have here, by
 * `chmod` there; without, what is new gets 0644 and 0755, and what is replaced keeps its own.
 *
 * @category models
 */
export const UploadDirectoryOptions = Schema.Struct({
  permissions: Schema.optional(Schema.Boolean)
})

/**
 * @category models
 */
export type UploadDirectoryOptions = typeof UploadDirectoryOptions.Type

/** How much is too much. */
export const Limit = Schema.Int.pipe(Schema.nonNegative({ description: "a whole number, 0 or more" }))

/**
 * What is too much to be copied: more than `maxBytes` (10 GiB by default), or more than `maxEntries` files, links and
 * directories (1,000,000 by default). Code in a sandbox can make files that are far larger than its disk.
 *
 * @category models
 */
export const DownloadDirectoryOptions = Schema.Struct({
  maxBytes: Schema.optional(Limit),
  maxEntries: Schema.optional(Limit)
})

/**
 * @category models
 */
export type DownloadDirectoryOptions = typeof DownloadDirectoryOptions.Type

/**
 * How far the copying of a file is: `bytes` so far, of the `totalBytes` that it had when the copying began.
 *
 * @category models
 */
export interface FileProgress {
  readonly bytes: number
  readonly totalBytes: number
}

/**
 * `onProgress` is called after each piece, which is no larger than 2 MiB; for an empty file it is not called.
 *
 * @category models
 */
export interface UploadFileOptions {
  readonly onProgress?: Callback<FileProgress> | undefined
}

/**
 * `onProgress` as for `uploadFile`; more than `maxBytes` (10 GiB by default) is too much. Code in a sandbox can make files
 * that are far larger than its disk.
 *
 * @category models
 */
export interface DownloadFileOptions extends UploadFileOptions {
  readonly maxBytes?: number | undefined
}

/**
 * `recursive` (false by default) watches the directories below as well, those that are made later included.
 *
 * `onStart` is called once, when the directory is being watched: what happens from then on is told.
 *
 * @example
 * ```ts
 * import { Deferred, Effect, Fiber, Stream } from "effect"
 * import { Sandbox } from "sandbox-sdk"
 * import { layerLocal } from "sandbox-sdk/local"
 *
 * const program = Effect.gen(function*() {
 *   const sandbox = yield* Sandbox.make({ templateId: "python" })
 *   const started = yield* Deferred.make<void>()
 *   const onStart = () => Effect.asVoid(Deferred.succeed(started, undefined))
 *   const first = yield* Effect.fork(Stream.runHead(sandbox.watchFiles("/workspace", { onStart })))
 *   yield* Deferred.await(started)
 *   yield* sandbox.writeFile("report.txt", "done")
 *   return yield* Fiber.join(first)
 * })
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
 * ```
 *
 * @category models
 */
export const WatchFilesOptions = Schema.Struct({
  recursive: Schema.optional(Schema.Boolean),
  onStart: callback<void>()
})

/**
 * @category models
 */
export type WatchFilesOptions = typeof WatchFilesOptions.Type

/**
 * From where on: after the event with the number `after`; from the first one on without it, or with -1.
 *
 * `hold` is a name for the reader, for what stands between an execution and whoever reads it, such as a server: what a
 * reader with a name has taken is kept until one with the same name comes again, whose `after` says what has arrived. So
 * whatever was lost on the way can be had again; and it has to come again before the log is full, because a program waits
 * then. A name that is not heard of again holds nothing up for longer than `detachGraceMs`, or 30 seconds, whichever is
 * more.
 *
 * @category models
 */
export const AttachOptions = Schema.Struct({
  after: Schema.optional(Schema.Int.pipe(
    Schema.between(-1, Number.MAX_SAFE_INTEGER, { description: "the number of an event, or -1" })
  )),
  hold: Schema.optional(Schema.NonEmptyString)
})

/**
 * @category models
 */
export type AttachOptions = typeof AttachOptions.Type

/**
 * How a batch is run: `concurrency` jobs at a time (1 by default: one context for all of them; more: a context each),
 * each for `timeoutMs` where the job itself does not say. `contextId` is the context of a batch with a concurrency of 1. `detached`,
 * `detachGraceMs` and `hold` are as for a run of code; what a detached batch has no room for any more are the outputs of its
 * jobs, never whether they succeeded.
 *
 * @category models
 */
export const ExecuteBatchOptions = Schema.Struct({
  concurrency: Schema.optional(Schema.Int.pipe(Schema.between(1, 1_000))),
  timeoutMs: Schema.optional(Millis),
  contextId: Schema.optional(Schema.NonEmptyString),
  ...lifetime
})

/**
 * @category models
 */
export type ExecuteBatchOptions = typeof ExecuteBatchOptions.Type

/**
 * How long from now a sandbox may exist, in milliseconds.
 *
 * @category models
 */
export const ExtendSandboxOptions = Schema.Struct({ ms: Millis })

/**
 * Which page of templates is asked for: pages count from 1.
 *
 * @category models
 */
export const GetTemplatesOptions = Schema.Struct({
  page: PageNumber,
  pageSize: Schema.Int.pipe(Schema.between(1, 100, { description: "a whole number from 1 to 100" }))
})

/**
 * With `wait` (true by default) `createTemplate` succeeds when the template can be used, and fails when its build does;
 * without, it succeeds at once, and `streamTemplateBuild` tells how the build goes.
 *
 * @category models
 */
export const CreateTemplateOptions = Schema.Struct({
  wait: Schema.optional(Schema.Boolean)
})

/**
 * @category models
 */
export type CreateTemplateOptions = typeof CreateTemplateOptions.Type

/**
 * Only the events after the one with the number `after`.
 *
 * @category models
 */
export const StreamTemplateBuildOptions = Schema.Struct({
  after: Schema.optional(Schema.Int.pipe(Schema.nonNegative({ description: "the number of an event, from 0" })))
})

/**
 * @category models
 */
export type StreamTemplateBuildOptions = typeof StreamTemplateBuildOptions.Type

/**
 * What to call a snapshot.
 *
 * @category models
 */
export const SnapshotSandboxOptions = Schema.Struct({
  name: Schema.optional(
    Schema.String.pipe(Schema.maxLength(256, { description: "a string of at most 256 characters" }))
  )
})

/**
 * @category models
 */
export type SnapshotSandboxOptions = typeof SnapshotSandboxOptions.Type

/**
 * Which snapshots: those of this sandbox, those with this name.
 *
 * @category models
 */
export const ListSnapshotsOptions = Schema.Struct({
  sandboxId: Schema.optional(Schema.NonEmptyString),
  name: Schema.optional(Schema.String)
})

/**
 * @category models
 */
export type ListSnapshotsOptions = typeof ListSnapshotsOptions.Type

/**
 * How many copies of a sandbox to make: 1 by default.
 *
 * @category models
 */
export const ForkSandboxOptions = Schema.Struct({
  count: Schema.optional(Schema.Int.pipe(Schema.between(1, 100, { description: "a whole number from 1 to 100" })))
})

/**
 * @category models
 */
export type ForkSandboxOptions = typeof ForkSandboxOptions.Type

/**
 * What the engine and the agent inside a sandbox say to each other, over one duplex byte stream.
 *
 * A frame is `u32le headerLength · u32le blobLength · header (UTF-8 JSON object) · blob (bytes)`.
 * Everything that comes from the agent is hostile input: lengths are capped, headers are decoded by the schemas below,
 * and anything else ends the sandbox.
 *
 * ## Runs
 *
 * A run is one execution of code in a context (`run`) or of one shell command (`command`). Its number is chosen by the
 * engine and never used again in this sandbox. The agent answers with any number of `output`, `result` and `error`
 * messages and then exactly one of:
 *
 * - `done`: it ended by itself. All output that was written before its end has been sent before.
 * - `died`: its process ended without saying so (a crash, a kill). For code, `context.exit` follows.
 * - `refused`: it was not started.
 *
 * Each run has its own pair of pipes, so that what is written later by something it left behind (a background process)
 * is never part of another run: after the end the agent reads those pipes and throws the bytes away.
 *
 * ## Flow control
 *
 * The agent may send as many bytes of `output` for a run as it was given credit for (`credit` of the start message,
 * plus every later `credit` message), both streams together. Without credit it does not read that run's pipes, so the
 * program blocks in its write. A `result` or an `error` counts the bytes of its blob as well, and may be sent as soon as
 * there is any credit, even if it takes more than there is. Other runs are not held up. Messages keep their order with output of their run: a
 * `result` that was displayed after some text is sent after that text. The same scheme limits `file.data`, in both
 * directions, and `net.data`.
 *
 * ## Processes
 *
 * A command with `process` is one that is spoken to while it runs: it has a standard input of its own, signals, and
 * where it is asked for a terminal in place of the three pipes. Its first answer is `started` (or `refused`). The engine may
 * have `STDIN_WINDOW` bytes of input under way; the agent gives them back (`stdin.credit`) when the program, or the
 * buffer of its pipe, has taken them. What a terminal shows comes as standard output.
 *
 * ## Connections
 *
 * A sandbox with a network of named hosts has a proxy on its loopback, in the agent. What a program asks of it becomes a
 * connection whose bytes are carried here; the engine decides whether it is made, and makes it (`net.open`). The other way
 * round, the engine asks for connections to the sandbox's own loopback, and to nothing else (`net.dial`). The number of a
 * connection is chosen by who asks for it: the agent counts up from 1, the engine down from -1, and none is used again.
 * Each direction ends by itself (`net.end`), as in TCP, or both at
 * once without a proper end (`net.close`). Numbers that are unknown, because that has just happened, are ignored.
 * Each side may send `NET_WINDOW` bytes from the start, and as many more as it gets credit for. A frame of data takes
 * `NET_FRAME_COST` more than it has bytes, so that many small ones are not free.
 */
import * as Schema from "effect/Schema"
import { type Language } from "../CodeContext.js"
import { FileInfo } from "../File.js"

export * from "./Limits.js"

type Env = Readonly<Record<string, string>>

/** A request about one file; `whole`: it may be anywhere in the sandbox. */
interface OneFile {
  readonly id: number
  readonly path: string
  readonly whole?: boolean | undefined
}

/** What makes a command a process that is spoken to. */
export interface ProcessRequest {
  readonly args?: ReadonlyArray<string>
  readonly stdin: boolean
  readonly pty?: { readonly cols: number; readonly rows: number }
}

/**
 * What the engine says.
 *
 * - `configure`: once, before anything else. `env` is the environment of everything that runs (the agent's own is not
 *   inherited). Limits are rlimits that the agent sets for itself and so for all its children; absent ones stay.
 *   `proxy` makes it listen for programs that want a connection; without, it has no network.
 * - `context.open`: start an interpreter; answered by `context.ready` or `context.failed`. `env` is added to the
 *   sandbox's, `cwd` is where it starts. With `rehearse` it runs something first, of which nobody hears and nothing is left,
 *   so that the first run takes no longer than others; where an interpreter cannot do that, it means nothing.
 * - `ping`: answered by `reply`. The interpreter that it names is woken, if nothing has run in it.
 * - `context.close`: end the interpreter and all that descends from it; answered by `context.exit`, also when it is
 *   gone already. A run in it ends with `died`.
 * - `run`: run the code in the blob. `env` is set for this run and put back after it.
 * - `command`: run the shell command in the blob by `bash -c` (`sh -c` without a bash), in a session of its own, with
 *   `/dev/null` as its input. `merge` sends its standard error into standard output, in exact order. With `process`:
 *   `args` is a program (found by the PATH of its environment) and its arguments in place of the shell; with `stdin` it
 *   reads what `stdin.data` brings; with `pty` it has a terminal of that size, and `stdin` and `merge` mean nothing.
 * - `interrupt`: SIGINT to the process group of the run (for JavaScript, what has the same effect); a terminal is hung up
 *   instead (SIGHUP to its leader and to what is in the foreground). When an interrupted
 *   command ends, all that descends from it is killed before its end is told. Unknown runs are ignored, here and in
 *   `kill` and `credit`.
 * - `kill`: SIGKILL to the process group of the run and to all that descends from it.
 * - `signal`: that signal to the process group of a command; SIGKILL also to all that descends from it.
 * - `resize`: the size of the terminal of a command.
 * - `stdin.data`, `stdin.end`: input for a command in the blob; that there is no more (in a terminal, its end-of-file
 *   character).
 * - `credit`: allow `bytes` more of output of a run.
 * - `file.*`: one request each, answered by `reply` or `failed` with the same `id`. Paths are absolute; what resolves to
 *   a place outside `/workspace` is refused (`path_outside_workspace`), unless it has `whole`: then any place of the sandbox
 *   is meant but those in `/proc`, where the agent itself is to be seen (`permission_denied`).
 *   `file.read` is answered by `reply` (the `FileInfo` of what was opened), then `file.data` under credit, the last one
 *   with `last`. `file.write` is answered by `file.credit` as data is written, and by `reply` (a `FileInfo`) when the
 *   `file.data` with `last` has been renamed into place; `file.cancel` ends either early, and leaves no trace.
 *   With `lend` the agent may tell, in `fd`, at which of its descriptors it has the file open, when `LEND_FROM` bytes have
 *   been written (in `file.credit`) or are to be read (in `reply`; then it sends none before the next `file.credit`): the
 *   engine may open the same file by it, and read or write it itself. What is written by frames comes at the end of what
 *   there is then.
 *   `file.writeMany` writes files whose contents are one after the other in the blob, in this order, each as `file.write`
 *   does; answered by `file.written`, or by `failed` with the `index` of the first that could not be, of which and of
 *   those after it nothing is written. `file.readMany` is answered by `file.contents`: the files from the first on that
 *   have no more than `most` bytes together, none when the first has more alone; or by `failed` with an `index`.
 *   `file.watch` is answered by `reply` (the `FileInfo` of the directory) once it watches, then by `file.events` (their
 *   JSON in the blob) under a credit that counts bytes of blobs, until `file.cancel`; or by `failed`, also later: when
 *   the directory is gone (`file_not_found`), or when so much changed that events were lost (`quota_exceeded`).
 * - `net.opened`, `net.refused`: the answer to `net.open`; `status` is one of HTTP, `message` a sentence for a person.
 * - `net.dial`: connect to this TCP port of the sandbox's loopback, 127.0.0.1 or else ::1; answered by `net.opened` or
 *   `net.refused`.
 * - `net.data`, `net.end`, `net.close`, `net.credit`: see above, the same in both directions.
 */
export type EngineMessage =
  | {
    readonly op: "configure"
    readonly env: Env
    /** Whether `file.write` is only answered when the file system of `/workspace` has all of it written out. */
    readonly syncFiles?: boolean
    readonly limits: {
      /** RLIMIT_NPROC. */
      readonly processes?: number
      /** RLIMIT_NOFILE. */
      readonly openFiles?: number
      /** RLIMIT_FSIZE, in bytes. */
      readonly fileSize?: number
      /** RLIMIT_DATA, in bytes: only where no cgroup limits memory. */
      readonly dataSize?: number
    }
    readonly proxy?: { readonly port: number; readonly connections: number }
  }
  | {
    readonly op: "context.open"
    readonly ctx: string
    readonly language: Language
    readonly cwd: string
    readonly env: Env
    readonly rehearse?: boolean
  }
  | { readonly op: "ping"; readonly id: number; readonly ctx?: string }
  | { readonly op: "context.close"; readonly ctx: string }
  | { readonly op: "run"; readonly run: number; readonly ctx: string; readonly env: Env; readonly credit: number }
  | {
    readonly op: "command"
    readonly run: number
    readonly cwd: string
    readonly env: Env
    readonly merge: boolean
    readonly credit: number
    readonly process?: ProcessRequest
  }
  | { readonly op: "interrupt"; readonly run: number }
  | { readonly op: "kill"; readonly run: number }
  | { readonly op: "signal"; readonly run: number; readonly signal: string }
  | { readonly op: "resize"; readonly run: number; readonly cols: number; readonly rows: number }
  | { readonly op: "stdin.data"; readonly run: number }
  | { readonly op: "stdin.end"; readonly run: number }
  | { readonly op: "credit"; readonly run: number; readonly bytes: number }
  | ({ readonly op: "file.stat" } & OneFile)
  | ({ readonly op: "file.list" } & OneFile)
  | ({ readonly op: "file.delete" } & OneFile)
  | ({ readonly op: "file.makeDirectory"; readonly parents: boolean } & OneFile)
  | ({ readonly op: "file.move"; readonly to: string } & OneFile)
  | ({ readonly op: "file.read"; readonly credit: number; readonly lend?: true | undefined } & OneFile)
  | ({ readonly op: "file.write"; readonly createParents: boolean; readonly lend?: true | undefined } & OneFile)
  | {
    readonly op: "file.writeMany"
    readonly id: number
    readonly paths: ReadonlyArray<string>
    readonly sizes: ReadonlyArray<number>
    readonly createParents: boolean
  }
  | { readonly op: "file.readMany"; readonly id: number; readonly paths: ReadonlyArray<string>; readonly most: number }
  | { readonly op: "file.data"; readonly id: number; readonly last: boolean }
  | { readonly op: "file.credit"; readonly id: number; readonly bytes: number }
  | { readonly op: "file.cancel"; readonly id: number }
  | ({ readonly op: "file.watch"; readonly recursive: boolean; readonly credit: number } & OneFile)
  | { readonly op: "net.opened"; readonly net: number }
  | { readonly op: "net.refused"; readonly net: number; readonly status: number; readonly message: string }
  | { readonly op: "net.dial"; readonly net: number; readonly port: number }
  | { readonly op: "net.data"; readonly net: number }
  | { readonly op: "net.end"; readonly net: number }
  | { readonly op: "net.close"; readonly net: number }
  | { readonly op: "net.credit"; readonly net: number; readonly bytes: number }

const run = { run: Schema.Number }
const id = { id: Schema.Number }
const net = { net: Schema.Int }
const lent = { fd: Schema.optional(Schema.Int.pipe(Schema.nonNegative())) }

/**
 * How a process ended: by itself with a status, or by a signal (its name, `SIGKILL`).
 */
const exit = {
  exitCode: Schema.NullOr(Schema.Number),
  signal: Schema.NullOr(Schema.String)
}

/**
 * Why the agent could not do something. `field` names the argument at fault.
 */
const failure = {
  code: Schema.Literal(
    "context_not_found",
    "language_unavailable",
    "start_failed",
    "file_not_found",
    "file_exists",
    "not_a_file",
    "not_a_directory",
    "directory_not_empty",
    "permission_denied",
    "path_outside_workspace",
    "disk_full",
    "quota_exceeded",
    "file_error"
  ),
  message: Schema.String,
  field: Schema.optional(Schema.String)
}

/**
 * What the agent says.
 *
 * - `ready`: it is up and waits for `configure`.
 * - `output`: bytes of standard output (1) or standard error (2) in the blob, as they came.
 * - `result`: the blob is the JSON of a `Result` (its encoded form).
 * - `error`: the blob is the JSON of an `ErrorInfo`.
 * - `done`: `count` is the number of the run in its context, from 1; `exitCode` is there for commands, and for bash.
 *   `duration` is in microseconds. `exited` when the interpreter has ended with the run (`exit` in bash); `context.exit`
 *   follows.
 * - `started`: the number of the process inside, once it runs; only for a command with `process`.
 * - `stdin.credit`: so many bytes of its input have been taken.
 * - `stdin.closed`: nobody can read its input any more; what was under way is lost.
 * - `died`: how the process ended; `outOfMemory` when the interpreter said itself that memory ran out.
 * - `file.written`: the blob is the JSON of a list, the absolute path of each file of a `file.writeMany`.
 * - `file.contents`: the blob has the contents, of these sizes, one after the other.
 * - `net.open`: a program wants a connection to that host and port.
 * - `net.opened`, `net.refused`: the answer to `net.dial`; `status` is 502 when nothing listens there, and 503 when there
 *   is no room for another connection.
 */
export const AgentMessage = Schema.Union(
  Schema.Struct({ ev: Schema.Literal("output"), ...run, fd: Schema.Literal(1, 2) }),
  Schema.Struct({ ev: Schema.Literal("result"), ...run }),
  Schema.Struct({ ev: Schema.Literal("error"), ...run }),
  Schema.Struct({
    ev: Schema.Literal("done"),
    ...run,
    duration: Schema.Number,
    count: Schema.optional(Schema.Number),
    exitCode: Schema.optional(Schema.Number),
    exited: Schema.optional(Schema.Boolean)
  }),
  Schema.Struct({ ev: Schema.Literal("died"), ...run, ...exit, outOfMemory: Schema.optional(Schema.Boolean) }),
  Schema.Struct({ ev: Schema.Literal("refused"), ...run, ...failure }),
  Schema.Struct({ ev: Schema.Literal("started"), ...run, pid: Schema.Int.pipe(Schema.positive()) }),
  Schema.Struct({ ev: Schema.Literal("stdin.credit"), ...run, bytes: Schema.Int.pipe(Schema.positive()) }),
  Schema.Struct({ ev: Schema.Literal("stdin.closed"), ...run }),
  Schema.Struct({ ev: Schema.Literal("ready"), pid: Schema.Number, version: Schema.Number }),
  Schema.Struct({ ev: Schema.Literal("context.ready"), ctx: Schema.String, pid: Schema.Number }),
  Schema.Struct({ ev: Schema.Literal("context.failed"), ctx: Schema.String, ...failure }),
  Schema.Struct({ ev: Schema.Literal("context.exit"), ctx: Schema.String, ...exit }),
  Schema.Struct({
    ev: Schema.Literal("reply"),
    ...id,
    value: Schema.Union(FileInfo, Schema.Array(FileInfo), Schema.Null),
    ...lent
  }),
  Schema.Struct({
    ev: Schema.Literal("failed"),
    ...id,
    ...failure,
    index: Schema.optional(Schema.Int.pipe(Schema.nonNegative()))
  }),
  Schema.Struct({ ev: Schema.Literal("file.written"), ...id }),
  Schema.Struct({
    ev: Schema.Literal("file.contents"),
    ...id,
    sizes: Schema.Array(Schema.Int.pipe(Schema.nonNegative()))
  }),
  Schema.Struct({ ev: Schema.Literal("file.data"), ...id, last: Schema.Boolean }),
  Schema.Struct({ ev: Schema.Literal("file.credit"), ...id, bytes: Schema.Number, ...lent }),
  Schema.Struct({ ev: Schema.Literal("file.events"), ...id }),
  Schema.Struct({
    ev: Schema.Literal("net.open"),
    ...net,
    host: Schema.String.pipe(Schema.maxLength(255)),
    port: Schema.Int.pipe(Schema.between(1, 65_535))
  }),
  Schema.Struct({ ev: Schema.Literal("net.opened"), ...net }),
  Schema.Struct({ ev: Schema.Literal("net.refused"), ...net, status: Schema.Literal(502, 503) }),
  Schema.Struct({ ev: Schema.Literal("net.data"), ...net }),
  Schema.Struct({ ev: Schema.Literal("net.end"), ...net }),
  Schema.Struct({ ev: Schema.Literal("net.close"), ...net }),
  Schema.Struct({ ev: Schema.Literal("net.credit"), ...net, bytes: Schema.Int.pipe(Schema.positive()) })
)

/**
 * What the agent says.
 */
export type AgentMessage = typeof AgentMessage.Type

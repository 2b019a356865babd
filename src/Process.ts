/**
 * Processes: programs that run beside whoever started them, and are spoken to while they do.
 */
import * as Schema from "effect/Schema"

const Cells = Schema.Int.pipe(Schema.between(1, 65_535, { description: "a whole number from 1 to 65535" }))

/**
 * The size of a terminal, in characters.
 *
 * @category models
 */
export const TerminalSize = Schema.Struct({ cols: Cells, rows: Cells })

/**
 * @category models
 */
export type TerminalSize = typeof TerminalSize.Type

/**
 * A signal, by its name (signal(7)).
 *
 * @category models
 */
export const Signal = Schema.Literal(
  "SIGHUP",
  "SIGINT",
  "SIGQUIT",
  "SIGILL",
  "SIGTRAP",
  "SIGABRT",
  "SIGBUS",
  "SIGFPE",
  "SIGKILL",
  "SIGUSR1",
  "SIGSEGV",
  "SIGUSR2",
  "SIGPIPE",
  "SIGALRM",
  "SIGTERM",
  "SIGCHLD",
  "SIGCONT",
  "SIGSTOP",
  "SIGTSTP",
  "SIGTTIN",
  "SIGTTOU",
  "SIGURG",
  "SIGXCPU",
  "SIGXFSZ",
  "SIGVTALRM",
  "SIGPROF",
  "SIGWINCH",
  "SIGIO",
  "SIGPWR",
  "SIGSYS"
)

/**
 * @category models
 */
export type Signal = typeof Signal.Type

/**
 * A process that runs. Its events are those of the execution `executionId`; `pid` is its number inside the sandbox. It is
 * a shell `command` or a program with its arguments (`args`). `stdin` says whether it has an input that can be written to
 * (one in a terminal always has), `pty` the size of its terminal as it is now. `startedAt` is in milliseconds since the epoch.
 *
 * @category models
 */
export const ProcessInfo = Schema.Struct({
  executionId: Schema.String,
  sandboxId: Schema.String,
  pid: Schema.Int,
  command: Schema.optional(Schema.String),
  args: Schema.optional(Schema.Array(Schema.String)),
  cwd: Schema.String,
  tag: Schema.optional(Schema.String),
  pty: Schema.optional(TerminalSize),
  stdin: Schema.Boolean,
  startedAt: Schema.Finite
})

/**
 * @category models
 */
export type ProcessInfo = typeof ProcessInfo.Type

/**
 * A sandbox that is up: its agent, its contexts, and what it tells when it ends.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { AgentClient, RunHandle, RunRequest } from "../agent/Client.js"
import * as Client from "../agent/Client.js"
import { NET_CONNECTIONS, PROXY_PORT } from "../agent/Protocol.js"
import type { Language } from "../CodeContext.js"
import type { RequestError } from "../Errors.js"
import { SandboxError } from "../Errors.js"
import type { ExecutionEvent } from "../Execution.js"
import type { RunAside } from "../internal/aside.js"
import { acquireRelease, addFinalizer } from "../internal/finalizing.js"
import { undisturbed } from "../internal/undisturbed.js"
import type { Measure } from "../isolation/Consumption.js"
import type { ExitStatus, LaunchOptions } from "../isolation/Isolation.js"
import { Isolation } from "../isolation/Isolation.js"
import * as Metrics from "../Metrics.js"
import type { Contexts } from "./Contexts.js"
import * as ContextsModule from "./Contexts.js"
import type { Egress } from "./Egress.js"
import type { Journal, Outcome } from "./Executions.js"
import * as Pausing from "./Pausing.js"
import * as Run from "./Run.js"

/**
 * How a run is limited.
 */
export interface RunLimits {
  /** `Infinity` for none. */
  readonly timeoutMs: number
  readonly maxOutputSize: number
  /** Told when a process has started: its number inside, and how to speak to it. */
  readonly onStarted?: ((pid: number, handle: RunHandle) => void) | undefined
}

/**
 * A sandbox that is up. It ends when its scope closes.
 */
export interface LiveSandbox {
  readonly contexts: Contexts
  readonly files: AgentClient["files"]
  /** A connection to a port of it, which breaks when it ends. */
  readonly dial: AgentClient["dial"]
  readonly pausing: Pausing.Pausing
  /** What it takes of processor and memory. */
  readonly consumption: Measure
  /** Adds to the environment of all that starts in it from now on. */
  readonly addEnv: (env: Readonly<Record<string, string>>) => Effect.Effect<void>
  /** Waits for its turn in the context, and runs the code. Only where nothing can be interrupted, see {@link Run.run}. */
  readonly runCode: (
    target: { readonly id: string } | { readonly language: Language },
    code: string,
    env: Readonly<Record<string, string>>,
    limits: RunLimits,
    journal: Journal<ExecutionEvent>
  ) => Effect.Effect<Outcome<ExecutionEvent>, RequestError>
  /** Stops what runs at the moment, which fails with this error. Says whether anything did. */
  readonly haltRuns: (error: SandboxError) => boolean
  /** Has everybody who waits for something of this sandbox told this error when its scope closes. */
  readonly endWith: (error: SandboxError) => void
  /** Runs a command beside whatever else runs. Only where nothing can be interrupted, see {@link Run.run}. */
  readonly runCommand: (
    command: Omit<Extract<RunRequest, { readonly _tag: "Command" }>, "_tag">,
    limits: RunLimits,
    journal: Journal<ExecutionEvent>
  ) => Effect.Effect<Outcome<ExecutionEvent>, RequestError>
}

/**
 * Options of {@link launch}.
 */
export interface LiveOptions extends LaunchOptions {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  /**
   * Opens the workspace, once. Where the kernel limits that, files that come through the API are written out before they are
   * there; see `configure`.
   */
  readonly opening: Effect.Effect<boolean, SandboxError>
  /** The way out; without it there is none. */
  readonly egress: Option.Option<Egress>
  readonly interruptGrace: Duration.Duration
  /** Counts for the user that the sandbox belongs to. */
  readonly recorder: Effect.Effect<Metrics.Service>
  /** Called when it has ended by itself, with the error that everybody who was waiting gets. */
  readonly onEnd: (error: SandboxError) => void
  /** Runs what belongs to its end. */
  readonly runAside: RunAside
}

const READY_TIMEOUT = Duration.seconds(20)
const EXIT_GRACE = Duration.seconds(5)
const MIB = 1024 * 1024

/** How long runs waited for their turn in a context, and for its interpreter. */
const contextQueue = Metrics.queueTime("context")

const howItEnded = (end: { readonly exitCode: number | null; readonly signal: string | null }): string =>
  end.signal === null ? `it exited with status ${end.exitCode ?? "unknown"}` : `it was ended by ${end.signal}`

/**
 * Starts a sandbox. Succeeds when it can run code.
 *
 * Fails with `start_failed` (the message has what was written to standard error) or `isolation_unavailable`.
 */
export const launch = Effect.fn("LiveSandbox.launch")(function*(
  options: LiveOptions
): Effect.fn.Return<LiveSandbox, SandboxError, Isolation | Scope.Scope> {
  const { sandboxId } = options
  const isolation = yield* Isolation
  // A scope of its own: the wall comes down as soon as the agent is lost, not only when the sandbox is deleted.
  const wall = yield* acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const agent = yield* isolation.launch(options).pipe(Scope.extend(wall))
  const syncFiles = yield* options.opening
  const tearDown = Scope.close(wall, Exit.void)
  const clock = yield* Effect.clock
  const pausing = Pausing.make(agent.freezing, clock)
  let closing = false
  let reason: SandboxError | undefined
  let common: Readonly<Record<string, string>> = {}
  const runs = new Set<Journal<ExecutionEvent>>()
  let up = false
  let killsSeen = 0

  /** Whether the kernel has killed something in here, for want of memory, since this was asked last. */
  const ranOutOfMemory = Effect.map(agent.outOfMemoryKills, (kills) => {
    const more = kills > killsSeen
    killsSeen = Math.max(kills, killsSeen)
    return more
  })

  const describeLoss = (violation: string | undefined) =>
    Effect.gen(function*() {
      const outOfMemory = yield* ranOutOfMemory
      const status = yield* agent.exited.pipe(
        Effect.interruptible,
        // What is paused does not notice that nobody is there any more.
        Effect.timeoutOption(violation === undefined && !pausing.isFrozen() ? EXIT_GRACE : Duration.zero),
        undisturbed
      )
      pausing.end()
      const said = (yield* agent.diagnostics).trim()
      yield* tearDown
      const error = reason ?? lossError({ sandboxId, closing, up, violation, outOfMemory, said, status })
      if (!closing) {
        options.onEnd(error)
      }
      return error
    })

  const client = yield* Client.make({
    sandboxId,
    stream: agent.stream,
    onContextExit: (agentId, exit) =>
      contexts.exited(agentId, exit.signal === null && exit.exitCode !== null ? "exited" : "kernel_died"),
    onLost: describeLoss,
    runAside: options.runAside,
    lender: agent.lending && {
      open: agent.lending,
      changing: pausing.changing,
      most: options.resources.fileSizeMb * MIB,
      sync: syncFiles
    },
    dial: Option.getOrUndefined(options.egress)?.connect
  }).pipe(
    Effect.timeoutFail({
      duration: READY_TIMEOUT,
      onTimeout: () =>
        new SandboxError({
          code: "start_failed",
          message: `The sandbox was not ready after ${Duration.toSeconds(READY_TIMEOUT)} s.`,
          sandboxId
        })
    })
  )
  const contexts: Contexts = ContextsModule.make(sandboxId, client, options.cwd)
  yield* addFinalizer(() =>
    Effect.sync(() => {
      closing = true
    })
  )
  up = true
  const { fileSizeMb, memoryMb, openFiles, processes } = options.resources
  client.configure({
    env: options.env,
    limits: {
      ...(agent.sharesUser === true ? {} : { processes }),
      openFiles,
      fileSize: fileSizeMb * MIB,
      ...(agent.memoryLimited ? {} : { dataSize: memoryMb * MIB })
    },
    ...(syncFiles ? { syncFiles: true } : {}),
    ...(Option.isSome(options.egress) ? { proxy: { port: PROXY_PORT, connections: NET_CONNECTIONS } } : {})
  })

  const describeDeath = (agentId: string | undefined) =>
    Effect.fnUntraced(function*(end: Run.Death) {
      const ended = agentId !== undefined && contexts.wasEnded(agentId)
      const outOfMemory = end.outOfMemory === true || (yield* ranOutOfMemory)
      if (agentId !== undefined) {
        if (outOfMemory) {
          contexts.correctReason(agentId, "out_of_memory")
        }
        yield* contexts.gone(agentId).pipe(Effect.interruptible, Effect.timeoutOption(EXIT_GRACE), undisturbed)
      }
      if (ended) {
        return new SandboxError({
          code: "terminated",
          message: "The run was ended because its context was restarted or deleted.",
          sandboxId
        })
      }
      const who = agentId === undefined ? "The command" : "The interpreter"
      const after = agentId === undefined
        ? ""
        : " The next run of this context gets a fresh one, without its variables."
      if (end.signal === "SIGXFSZ") {
        return new SandboxError({
          code: "quota_exceeded",
          message:
            `${who} was ended because it wrote to a file beyond ${fileSizeMb} MiB (resources.fileSizeMb).${after}`,
          sandboxId
        })
      }
      return outOfMemory
        ? new SandboxError({
          code: "out_of_memory",
          message: `${who} was ended because the sandbox's ${memoryMb} MiB of memory ran out.${after}`,
          sandboxId
        })
        : new SandboxError({
          code: "kernel_died",
          message: `${who} died in the middle of the run: ${howItEnded(end)}.${after}`,
          sandboxId
        })
    })

  const startRun = (
    request: RunRequest,
    limits: RunLimits,
    context: ContextsModule.Turn | undefined,
    language: string,
    journal: Journal<ExecutionEvent>
  ) => {
    const run = Run.run(client, {
      ...limits,
      sandboxId,
      request,
      interruptGrace: options.interruptGrace,
      pausing,
      onStarted: limits.onStarted,
      ...(context === undefined ? {} : { context }),
      onDeath: (reason) => {
        if (context !== undefined) contexts.died(context.agentId, reason ?? "kernel_died")
      },
      onExit: () => {
        if (context !== undefined) contexts.died(context.agentId, "exited")
      },
      describeDeath: describeDeath(context?.agentId),
      onFinished: (durationMs, outcome, outputBytes) =>
        Effect.flatMap(options.recorder, (recorder) =>
          Effect.zipRight(
            recorder.execution(durationMs, { language, outcome }),
            recorder.bytes("out", outputBytes)
          )),
      abandon: tearDown
    }, journal)
    return Effect.suspend(() => {
      runs.add(journal)
      return Effect.flatMap(Effect.exit(run), (exit) => {
        runs.delete(journal)
        return exit
      })
    })
  }

  return {
    contexts,
    files: client.files,
    dial: client.dial,
    pausing,
    consumption: agent.consumption,
    addEnv: (env) =>
      Effect.suspend(() => {
        common = { ...common, ...env }
        return contexts.addEnv(env)
      }),
    runCode: (target, code, env, limits, journal) =>
      Effect.suspend(() => {
        const waitingSince = clock.unsafeCurrentTimeMillis()
        return contexts.inTurn(target, (turn) =>
          Effect.zipRight(
            Metric.update(contextQueue, (clock.unsafeCurrentTimeMillis() - waitingSince) / 1_000),
            startRun({ _tag: "Code", contextId: turn.agentId, code, env }, limits, turn, turn.language, journal)
          ))
      }),
    haltRuns: (error) => {
      for (const { stop } of runs) stop(error)
      return runs.size > 0
    },
    endWith: (error) => {
      reason ??= error
    },
    runCommand: (command, limits, journal) =>
      startRun({ _tag: "Command", ...command, env: { ...common, ...command.env } }, limits, undefined, "shell", journal)
  }
})

const lossError = (loss: {
  readonly sandboxId: string
  readonly closing: boolean
  readonly up: boolean
  readonly violation: string | undefined
  readonly outOfMemory: boolean
  readonly said: string
  readonly status: Option.Option<ExitStatus>
}): SandboxError => {
  const { sandboxId } = loss
  if (loss.closing) {
    return new SandboxError({ code: "terminated", message: "The sandbox was deleted.", sandboxId })
  }
  if (loss.violation !== undefined) {
    return new SandboxError({
      code: "protocol_violation",
      message: `The sandbox was ended because something in it sent ${loss.violation}.`,
      sandboxId
    })
  }
  const how = Option.match(loss.status, { onNone: () => "its agent closed the connection", onSome: howItEnded })
  const said = loss.said === "" ? "" : ` It said: ${loss.said}`
  if (!loss.up) {
    return new SandboxError({ code: "start_failed", message: `The sandbox did not start: ${how}.${said}`, sandboxId })
  }
  return loss.outOfMemory
    ? new SandboxError({
      code: "out_of_memory",
      message: `The sandbox ended because its memory ran out. Create another, with more \`resources.memoryMb\`.`,
      sandboxId
    })
    : new SandboxError({
      code: "terminated",
      message: `The sandbox has ended: ${how}. Create another.${said}`,
      sandboxId
    })
}

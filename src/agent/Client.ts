/**
 * The engine's side of the agent protocol: requests as effects, runs as callbacks.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import type { Duplex } from "node:stream"
import type { Language } from "../CodeContext.js"
import { RateLimitError, SandboxError } from "../Errors.js"
import { ErrorInfo } from "../Execution.js"
import { FileEvent, FileInfo } from "../File.js"
import type { RunAside } from "../internal/aside.js"
import { acquireRelease } from "../internal/finalizing.js"
import { makeOnce } from "../internal/once.js"
import { Result } from "../Result.js"
import { makeDialer, NotDialed } from "./Dialer.js"
import type { Files, Pending, RequestPort } from "./Files.js"
import { makeFiles } from "./Files.js"
import { encodeFrame, makeFrameParser } from "./Frames.js"
import type { Lender } from "./Lent.js"
import type { Ping } from "./Ping.js"
import { makePing } from "./Ping.js"
import type { EngineMessage, ProcessRequest } from "./Protocol.js"
import { AgentMessage, NET_WINDOW, PORT_CONNECTIONS } from "./Protocol.js"
import type { Stdin, StdinPort } from "./Stdin.js"
import { makeStdin, stdinClosed } from "./Stdin.js"
import type { Dial } from "./Tunnels.js"
import { makeTunnels } from "./Tunnels.js"

type Message<Ev extends AgentMessage["ev"]> = Extract<AgentMessage, { readonly ev: Ev }>
type Env = Readonly<Record<string, string>>

/**
 * How a run ended. `Lost`: the agent is gone, and the run with it.
 */
export type RunEnd =
  | { readonly _tag: "Done"; readonly message: Message<"done"> }
  | { readonly _tag: "Died"; readonly message: Message<"died"> }
  | { readonly _tag: "Refused"; readonly error: SandboxError }
  | { readonly _tag: "Lost"; readonly error: SandboxError }

/**
 * What a run tells while it goes on. `end` is called exactly once, last.
 */
export interface RunObserver {
  /** The number of the process inside; told first, of a command with `process`. */
  readonly started?: (pid: number) => void
  readonly output: (fd: 1 | 2, bytes: Buffer) => void
  /** `bytes` is what it takes of the run's credit. */
  readonly result: (result: Result, bytes: number) => void
  readonly error: (error: ErrorInfo, bytes: number) => void
  readonly end: (end: RunEnd) => void
}

/**
 * A run that was started.
 */
export interface RunHandle {
  readonly allow: (bytes: number) => void
  readonly interrupt: () => void
  readonly kill: () => void
  /** Sends a signal by its name (`SIGTERM`) to the process group of a command. */
  readonly signal: (name: string) => void
  /** Sets the size of the terminal of a command. */
  readonly resize: (size: { readonly cols: number; readonly rows: number }) => void
  /** The input of a command with `process`; it takes nothing unless that asked for input or a terminal. */
  readonly stdin: Stdin
}

/**
 * What to run: code in an open context, or a shell command.
 */
export type RunRequest =
  | { readonly _tag: "Code"; readonly contextId: string; readonly code: string; readonly env: Env }
  | {
    readonly _tag: "Command"
    readonly command: string
    readonly cwd: string
    readonly env: Env
    readonly merge: boolean
    readonly process?: ProcessRequest | undefined
  }

/**
 * A connection to one agent.
 */
export interface AgentClient {
  readonly configure: (options: Omit<Extract<EngineMessage, { readonly op: "configure" }>, "op">) => void
  readonly openContext: (options: {
    readonly id: string
    readonly language: Language
    readonly cwd: string
    readonly env: Env
    /** Whether it is to run something that nobody hears of before it counts as open. */
    readonly rehearse?: boolean
  }) => Effect.Effect<void, SandboxError>
  /** Asks whether the agent answers. */
  readonly ping: Ping
  /** Ends a context; succeeds when its processes are gone. */
  readonly closeContext: (id: string) => Effect.Effect<void>
  /** Starts a run that may send `credit` bytes of output, and as many more as `allow` of its handle says. */
  readonly start: (
    request: RunRequest,
    observer: RunObserver,
    credit: number
  ) => Effect.Effect<RunHandle, SandboxError>
  readonly files: Files
  /**
   * A connection to a TCP port of the sandbox's own loopback. It is closed with the scope, and breaks with the sandbox.
   *
   * Fails with `SandboxError` `port_unavailable` when nothing listens there, and with `RateLimitError` when there are too
   * many connections.
   */
  readonly dial: (port: number) => Effect.Effect<Duplex, SandboxError | RateLimitError, Scope.Scope>
}

/**
 * Options of {@link make}.
 */
export interface ClientOptions {
  readonly sandboxId: string
  readonly stream: Duplex
  /** Called when a context ended without having been closed. */
  readonly onContextExit: (contextId: string, exit: Message<"context.exit">) => void
  /** Makes connections for what runs in the sandbox; without it, asking for one breaks the protocol. */
  readonly dial?: Dial | undefined
  /** How files that the agent has open are reached; without it, frames bring all of them. */
  readonly lender?: Lender | undefined
  /**
   * Called once, when the stream has ended, or has broken the protocol (then with what it did). Gives what is told to
   * whoever was waiting, and to whoever asks later.
   */
  readonly onLost: (violation: string | undefined) => Effect.Effect<SandboxError>
  /** Runs that; it lasts until the scope of this has closed. */
  readonly runAside: RunAside
}

/** How long the agent may take to say whether a connection is there. */
const DIAL_TIMEOUT = Duration.seconds(10)

const decodeMessage = Schema.decodeUnknownEither(AgentMessage)
const decodeResult = Schema.decodeUnknownEither(Schema.parseJson(Result))
const decodeErrorInfo = Schema.decodeUnknownEither(Schema.parseJson(ErrorInfo))
const decodeEvents = Schema.decodeUnknownEither(Schema.parseJson(Schema.Array(FileEvent)))
const decodePaths = Schema.decodeUnknownEither(Schema.parseJson(Schema.Array(Schema.String)))
const decodeList = Schema.decodeUnknownEither(Schema.parseJson(Schema.Array(FileInfo)))

const take = <K, V>(map: Map<K, V>, key: K): V | undefined => {
  const value = map.get(key)
  map.delete(key)
  return value
}

/**
 * Speaks with an agent until the scope closes. Succeeds when the agent is ready.
 *
 * Fails with what `onLost` gives when the agent ends before that.
 */
export const make = Effect.fn("AgentClient.make")(function*(
  options: ClientOptions
): Effect.fn.Return<AgentClient, SandboxError, Scope.Scope> {
  const { sandboxId, stream } = options
  const runs = new Map<number, { readonly observer: RunObserver; credit: number; readonly input: StdinPort }>()
  const opening = new Map<string, Deferred.Deferred<void, SandboxError>>()
  const closing = new Map<string, Deferred.Deferred<void>>()
  const requests = new Map<number, Pending>()
  const ready = makeOnce<Effect.Effect<void, SandboxError>>()
  const lost = makeOnce<SandboxError>()
  let nextNumber = 1
  let gone = false

  const send = (message: EngineMessage, blob?: Uint8Array): void => {
    if (!gone) {
      stream.write(encodeFrame(message, blob))
    }
  }

  // ---- the end ------------------------------------------------------------------------------------------------------

  const breakOff = (violation: string | undefined): void => {
    if (!gone) {
      gone = true
      dialer.lost()
      stream.destroy()
      // It ends by itself, and the release of the stream waits for it.
      const end = Effect.zipRight(Scope.close(outside, Exit.void), options.onLost(violation))
      options.runAside(Effect.map(end, tellLoss), { immediate: false })
    }
  }

  const tellLoss = (error: SandboxError): void => {
    const failure = Effect.fail(error)
    lost.happen(error)
    ready.happen(failure)
    for (const waiting of opening.values()) Deferred.unsafeDone(waiting, failure)
    for (const waiting of closing.values()) Deferred.unsafeDone(waiting, Effect.void)
    for (const request of requests.values()) request.failed(error)
    for (const run of runs.values()) {
      run.input.end(() => new SandboxError({ ...error, message: error.message }))
      run.observer.end({ _tag: "Lost", error })
    }
    for (const map of [opening, closing, requests, runs]) map.clear()
  }

  // Closed as soon as the agent is lost.
  const outside = yield* acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))
  const tunnels = options.dial === undefined ? undefined : yield* makeTunnels({
    dial: options.dial,
    send,
    congested: () => stream.writableNeedDrain,
    violated: breakOff
  }).pipe(Scope.extend(outside))

  const dialer = makeDialer({ send, congested: () => stream.writableNeedDrain, violated: breakOff })

  // ---- what the agent says ------------------------------------------------------------------------------------------

  const refusal = (message: Message<"refused"> | Message<"failed"> | Message<"context.failed">): SandboxError =>
    new SandboxError({
      code: message.code,
      message: message.message,
      sandboxId,
      ...(message.field === undefined ? {} : { field: message.field })
    })

  const onResult = (run: number, blob: Buffer): void =>
    runs.get(run)?.observer.result(
      Either.getOrElse(decodeResult(blob.toString("utf8")), () =>
        new Result({ isMainResult: false, text: "(a displayed value that could not be decoded)", extra: {} })),
      blob.length
    )

  const onError = (run: number, blob: Buffer): void =>
    runs.get(run)?.observer.error(
      Either.getOrElse(
        decodeErrorInfo(blob.toString("utf8")),
        () => ({ name: "Error", value: "(an error that could not be decoded)", traceback: "" })
      ),
      blob.length
    )

  const onReply = (message: Message<"reply">, blob: Buffer): void => {
    const value = blob.length === 0 ? Either.right(message.value) : decodeList(blob.toString("utf8"))
    if (Either.isLeft(value)) {
      return breakOff("a reply that does not decode")
    }
    requests.get(message.id)?.reply(value.right, message.fd)
  }

  const onWritten = (id: number, blob: Buffer): void => {
    const paths = decodePaths(blob.toString("utf8"))
    if (Either.isLeft(paths)) {
      return breakOff("names of files that do not decode")
    }
    requests.get(id)?.reply(paths.right)
  }

  const onFileEvents = (id: number, blob: Buffer): void => {
    const events = decodeEvents(blob.toString("utf8"))
    if (Either.isLeft(events)) {
      return breakOff("events of files that do not decode")
    }
    requests.get(id)?.events?.(events.right, blob.length)
  }

  const noMoreInput = (reason: string) => (): SandboxError => stdinClosed(sandboxId, reason)

  const endRun = (run: number, end: RunEnd): void => {
    const ended = take(runs, run)
    ended?.input.end(noMoreInput("it has ended"))
    ended?.observer.end(end)
  }

  const onStdinCredit = (run: number, bytes: number): void => {
    if (runs.get(run)?.input.taken(bytes) === false) {
      breakOff("that it took more input than it was given")
    }
  }

  const onMessage = (message: AgentMessage, blob: Buffer): void => {
    switch (message.ev) {
      case "ready":
        return ready.happen(Effect.void)
      case "result":
        return onResult(message.run, blob)
      case "error":
        return onError(message.run, blob)
      case "done":
        return endRun(message.run, { _tag: "Done", message })
      case "died":
        return endRun(message.run, { _tag: "Died", message })
      case "refused":
        return endRun(message.run, { _tag: "Refused", error: refusal(message) })
      case "started":
        return runs.get(message.run)?.observer.started?.(message.pid)
      case "stdin.credit":
        return onStdinCredit(message.run, message.bytes)
      case "stdin.closed":
        return runs.get(message.run)?.input.end(noMoreInput("it does not read it any more"))
      case "context.ready":
        return settle(take(opening, message.ctx), Effect.void)
      case "context.failed":
        return settle(take(opening, message.ctx), Effect.fail(refusal(message)))
      case "context.exit": {
        const waiting = take(closing, message.ctx)
        return waiting === undefined ? options.onContextExit(message.ctx, message) : settle(waiting, Effect.void)
      }
      case "reply":
        return onReply(message, blob)
      case "failed":
        return requests.get(message.id)?.failed(refusal(message), message.index)
      case "file.written":
        return onWritten(message.id, blob)
      case "file.contents":
        return requests.get(message.id)?.contents?.(message.sizes, blob)
      case "file.credit":
        return requests.get(message.id)?.credit?.(message.bytes, message.fd)
      case "file.events":
        return onFileEvents(message.id, blob)
      case "file.data":
        return requests.get(message.id)?.data?.(blob, message.last)
      case "net.opened":
      case "net.refused":
        return dialer.receive(message, blob)
      case "net.open":
      case "net.data":
      case "net.end":
      case "net.close":
      case "net.credit":
        if (message.net < 0) {
          return dialer.receive(message, blob)
        }
        return tunnels === undefined
          ? breakOff("a request for a connection, although it has no network")
          : tunnels.receive(message, blob)
      case "output":
        return
    }
  }

  const settle = <E>(waiting: Deferred.Deferred<void, E> | undefined, outcome: Effect.Effect<void, E>): void => {
    if (waiting !== undefined) {
      Deferred.unsafeDone(waiting, outcome)
    }
  }

  /** A result may take more than the credit that there is, as long as there is some; output may not. */
  const spend = (run: number, bytes: number, exact: boolean): void => {
    const open = runs.get(run)
    if (open !== undefined) {
      if (exact ? bytes > open.credit : open.credit <= 0) {
        breakOff("more output than it was allowed to send")
      }
      open.credit -= bytes
    }
  }

  let current: AgentMessage | undefined
  const parser = makeFrameParser({
    onHeader: (header, blobLength) => {
      const decoded = decodeMessage(header)
      if (Either.isLeft(decoded)) {
        breakOff("a message that is not in the protocol")
        return false
      }
      current = decoded.right
      if (current.ev === "output" || current.ev === "result" || current.ev === "error") {
        spend(current.run, blobLength, current.ev === "output")
      }
      if (current.ev === "net.data" && blobLength > NET_WINDOW) {
        breakOff("more of a connection than it was allowed to send")
        return false
      }
      // Output is passed on as it arrives: a frame of it may be larger than what one read gives.
      return current.ev === "output"
    },
    onPiece: (piece) => {
      if (current?.ev === "output" && !gone) {
        runs.get(current.run)?.observer.output(current.fd, piece)
      }
    },
    onFrame: (blob) => {
      if (current !== undefined && !gone) {
        onMessage(current, blob)
      }
    },
    onViolation: breakOff
  })

  yield* acquireRelease(
    Effect.sync(() => {
      stream.on("data", (bytes: Buffer) => parser.push(bytes))
      stream.once("end", () => breakOff(parser.atBoundary() ? undefined : "a message that was cut off"))
      stream.once("close", () => breakOff(undefined))
      stream.on("drain", () => {
        tunnels?.resume()
        dialer.resume()
      })
      // A stream without a listener would throw; what it says adds nothing to the fact that it broke.
      stream.on("error", () => breakOff(undefined))
    }),
    () => Effect.sync(() => breakOff(undefined)).pipe(Effect.zipRight(lost.wait))
  )

  // ---- what the engine asks -----------------------------------------------------------------------------------------

  const whileHere = <A>(evaluate: () => A): Effect.Effect<A, SandboxError> =>
    Effect.suspend(() => gone ? Effect.flatMap(lost.wait, Effect.fail) : Effect.sync(evaluate))

  const openContext: AgentClient["openContext"] = ({ cwd, env, id: ctx, language, rehearse }) =>
    Effect.gen(function*() {
      const opened = yield* Deferred.make<void, SandboxError>()
      yield* whileHere(() => {
        opening.set(ctx, opened)
        send({ op: "context.open", ctx, language, cwd, env, ...(rehearse === true ? { rehearse } : {}) })
      })
      yield* Deferred.await(opened)
    })

  const closeContext: AgentClient["closeContext"] = (contextId) =>
    Effect.gen(function*() {
      if (gone) {
        return yield* Effect.asVoid(lost.wait)
      }
      const closed = yield* Deferred.make<void>()
      closing.set(contextId, closed)
      send({ op: "context.close", ctx: contextId })
      yield* Deferred.await(closed)
    })

  const start: AgentClient["start"] = (request, observer, credit) =>
    whileHere(() => {
      const run = nextNumber++
      const input = makeStdin(sandboxId, (bytes) =>
        bytes === undefined ? send({ op: "stdin.end", run }) : send({ op: "stdin.data", run }, bytes))
      const open = { observer, credit, input }
      runs.set(run, open)
      if (request._tag === "Code") {
        const { contextId: ctx, env } = request
        send({ op: "run", run, ctx, env, credit }, Buffer.from(request.code))
      } else {
        const { cwd, env, merge, process } = request
        if (process === undefined || !process.stdin && process.pty === undefined) {
          input.end(noMoreInput("it was started without one"))
        }
        send(
          { op: "command", run, cwd, env, merge, credit, ...(process === undefined ? {} : { process }) },
          Buffer.from(request.command)
        )
      }
      return {
        allow: (bytes) => {
          open.credit += bytes
          send({ op: "credit", run, bytes })
        },
        interrupt: () =>
          send({ op: "interrupt", run }),
        kill: () => send({ op: "kill", run }),
        signal: (name) => send({ op: "signal", run, signal: name }),
        resize: ({ cols, rows }) => send({ op: "resize", run, cols, rows }),
        stdin: input.stdin
      }
    })

  const ping = makePing({
    register: (pending) => {
      if (gone) return undefined
      const id = nextNumber++
      requests.set(id, pending)
      return id
    },
    forget: (id) => requests.delete(id),
    send
  })

  const { lender } = options
  // What is lent is given back as soon as the agent is lost: its disk is unmounted after that.
  const borrow: RequestPort["borrow"] = lender && {
    ...lender,
    open: (descriptor, access) =>
      acquireRelease(
        Scope.fork(outside, ExecutionStrategy.sequential),
        (scope, exit) => Scope.close(scope, exit)
      ).pipe(Effect.flatMap((scope) => Scope.extend(lender.open(descriptor, access), scope)))
  }

  const dial: AgentClient["dial"] = (port) =>
    dialer.dial(port).pipe(
      Effect.timeoutFail({ duration: DIAL_TIMEOUT, onTimeout: () => new NotDialed({ reason: "closed" }) }),
      Effect.catchTag("NotDialed", ({ reason }): Effect.Effect<never, SandboxError | RateLimitError> => {
        switch (reason) {
          case "lost":
            return Effect.flatMap(lost.wait, Effect.fail)
          case "full":
            return Effect.fail(
              new RateLimitError({
                message: `The sandbox has ${PORT_CONNECTIONS} connections to its ports, as many as it may have at a ` +
                  "time. Close some first.",
                retryAfter: 1_000,
                limit: PORT_CONNECTIONS,
                remaining: 0
              })
            )
          case "closed":
            return Effect.fail(
              new SandboxError({
                code: "port_unavailable",
                message:
                  `Nothing listens at port ${port} of the sandbox. Start a server there, at 127.0.0.1 or at all ` +
                  "addresses, and wait for it with waitForPort.",
                sandboxId
              })
            )
        }
      })
    )

  yield* Effect.flatten(ready.wait)
  return {
    dial,
    configure: (configuration) => send({ op: "configure", ...configuration }),
    openContext,
    ping,
    closeContext,
    start,
    files: makeFiles({
      sandboxId,
      register: (pending) =>
        whileHere(() => {
          const id = nextNumber++
          requests.set(id, pending)
          return id
        }),
      forget: (id) => requests.delete(id),
      send,
      present: whileHere(() => {}),
      borrow
    })
  }
})

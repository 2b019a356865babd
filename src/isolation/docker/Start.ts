/**
 * Starts a container with a stream to its first process, and ends it.
 */
import type Dockerode from "dockerode"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { Buffer } from "node:buffer"
import { Duplex } from "node:stream"
import type { Hold } from "../Freezing.js"
import type { ExitStatus } from "../Isolation.js"
import { statusOf } from "../Signals.js"
import * as Spawn from "../Spawn.js"
import { type Connection, DockerFailure } from "./Connection.js"
import { Multiplexed } from "./Multiplexed.js"

/**
 * A container that runs. Closing its scope kills all that is in it, and removes it.
 */
export interface Started {
  readonly id: string
  /** The standard input and output of its first process. */
  readonly stream: Duplex
  /** Waits for the end of that process. */
  readonly exited: Effect.Effect<ExitStatus>
  /** The end of what it wrote to standard error. */
  readonly diagnostics: Effect.Effect<string>
}

const DIAGNOSTICS_BYTES = 8192

const Waited = Schema.Struct({ StatusCode: Schema.Int })

/**
 * Kills and removes a container. It may be on its way out by itself: then this waits for the end of that.
 */
export const remove = (connection: Connection, name: string): Effect.Effect<void> =>
  connection.ask<unknown>(
    `remove the container ${name}`,
    (docker) => docker.getContainer(name).remove({ force: true, v: true })
  ).pipe(
    Effect.catchIf(({ status }) => status === 404, () => Effect.void),
    Effect.retry({
      schedule: Schedule.intersect(Schedule.exponential(5, 1.6), Schedule.recurs(16)),
      while: ({ status }) => status === 409 || status === 500
    }),
    Effect.catchAll(({ message }) => Effect.logError(`A container is left behind: ${message}`))
  )

interface Modem {
  readonly dial: (options: object, callback: (error: unknown, answer: unknown) => void) => void
}

const isModem = (value: unknown): value is Modem => Predicate.hasProperty(value, "dial")

/**
 * Gives the upgraded connection. Not by the client's own `attach`, which sends its options as a body too: to Podman that is
 * the beginning of the container's input.
 */
const attach = (docker: Dockerode, id: string, abortSignal: AbortSignal): Promise<unknown> =>
  new Promise((resolve, reject) => {
    const modem: unknown = docker.modem
    if (!isModem(modem)) return reject(new Error("dockerode is of a version that is not known: 5 is"))
    modem.dial(
      {
        path: `/containers/${id}/attach?`,
        method: "POST",
        options: { _query: { stream: true, stdin: true, stdout: true, stderr: true } },
        file: Buffer.alloc(0),
        hijack: true,
        isStream: true,
        abortSignal,
        statusCodes: { 200: true, 404: "no such container", 500: "server error" }
      },
      (error, answer) =>
        error === null ? resolve(answer) : reject(error instanceof Error ? error : new Error("it gave no connection"))
    )
  })

/**
 * Starts it.
 */
export const start = Effect.fn("Docker.start")(function*(
  connection: Connection,
  name: string,
  options: Dockerode.ContainerCreateOptions
): Effect.fn.Return<Started, DockerFailure, Scope.Scope> {
  const sockets: Array<Duplex> = []
  // Before it is made: whether the request that makes it was heard, nobody knows when it is cut short.
  yield* Effect.addFinalizer(() =>
    Effect.zipRight(remove(connection, name), Effect.sync(() => sockets.forEach((socket) => socket.destroy())))
  )
  const container = yield* connection.ask(
    "make a container",
    (docker, abortSignal) => docker.createContainer({ ...options, name, abortSignal })
  )
  const socket = yield* connection.ask(
    "attach to the container",
    (docker, abortSignal) => attach(docker, container.id, abortSignal)
  )
  if (!(socket instanceof Duplex)) {
    return yield* new DockerFailure({ message: "it gave no stream to the container" })
  }
  const stream = new Multiplexed(socket)
  sockets.push(stream)
  // Whoever uses it hears of its end; without a listener an error would end this program.
  stream.on("error", () => {})
  const diagnostics = Spawn.keepTail(stream.errors, DIAGNOSTICS_BYTES)
  const ended = yield* Deferred.make<ExitStatus>()
  // Asked before it starts: afterwards it may be gone, and nothing known of it.
  yield* connection.ask<unknown>(
    "wait for the container",
    (_, abortSignal) => container.wait({ condition: "next-exit", abortSignal })
  ).pipe(
    Effect.flatMap(Schema.decodeUnknown(Waited)),
    Effect.map(({ StatusCode }) => statusOf({ exitCode: StatusCode, signal: null })),
    Effect.catchAll(() => Effect.succeed<ExitStatus>({ exitCode: null, signal: null })),
    Effect.flatMap((status) => Deferred.succeed(ended, status)),
    // Also where the start cannot be interrupted: else the end would wait for this, and this for the end.
    Effect.interruptible,
    Effect.forkScoped
  )
  yield* connection.ask<unknown>("start the container", (_, abortSignal) => container.start({ abortSignal }))
  return { id: container.id, stream, exited: Deferred.await(ended), diagnostics }
})

const State = Schema.Struct({ State: Schema.Struct({ Pid: Schema.Int }) })

/**
 * The number of a container's first process, as the machine of the engine counts; none when it is gone.
 */
export const firstProcess = (connection: Connection, id: string): Effect.Effect<Option.Option<number>> =>
  connection.ask<unknown>("look at the container", (docker) => docker.getContainer(id).inspect()).pipe(
    Effect.flatMap(Schema.decodeUnknown(State)),
    Effect.map(({ State: { Pid } }) => Pid),
    Effect.option,
    Effect.map(Option.filter((pid) => pid > 0))
  )

/**
 * Holds all that is in a container still, by the engine of containers. It is for moments: a container that is left so would
 * not hear of the end of this program.
 */
export const hold = (connection: Connection, id: string): Hold => ({
  hold: connection.ask<unknown>("pause the container", (docker) => docker.getContainer(id).pause()),
  release: Effect.catchAll(
    connection.ask<unknown>("let the container go on", (docker) => docker.getContainer(id).unpause()),
    ({ message }) => Effect.logError(`A container stays paused: ${message}`)
  )
})

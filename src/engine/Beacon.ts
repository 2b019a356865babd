/**
 * Tells on the host whether the engine that has a folder is alive: a socket that it listens at for as long as it lives.
 *
 * The kernel answers for it, whatever becomes of the process: it refuses connections to a socket whose owner is gone. So
 * this holds across process namespaces (a container that was started again), after a reboot, and for numbers of processes
 * that are used again.
 */
import * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Fs from "node:fs/promises"
import type { Server } from "node:net"
import { connect, createServer } from "node:net"
import * as Path from "node:path"

const PREFIX = "alive-"

/** The address of a socket has 107 bytes (unix(7)), which a path may well exceed: the folder is named by a descriptor. */
const withFolder = (folder: string) =>
  Effect.acquireRelease(Effect.tryPromise(() => Fs.open(folder)), (handle) => Effect.promise(() => handle.close()))

/**
 * Lights one in a folder, until the scope closes. Gives its name; none where there can be no sockets.
 */
export const light = (folder: string): Effect.Effect<Option.Option<string>, never, Scope.Scope> =>
  Effect.gen(function*() {
    const { fd } = yield* withFolder(folder)
    const name = `${PREFIX}${randomBytes(8).toString("hex")}`
    yield* Effect.acquireRelease(
      Effect.async<Server, Error>((resume) => {
        const server = createServer((socket) => socket.destroy())
        server.once("error", (error) => resume(Effect.fail(error)))
        // It must not keep the program alive.
        server.listen(`/proc/self/fd/${fd}/${name}`, () => resume(Effect.succeed(server.unref())))
      }),
      (server) => Effect.async<void>((resume) => void server.close(() => resume(Effect.void)))
    )
    return name
  }).pipe(Effect.option)

type Answer = "alive" | "gone" | "unknown"

/**
 * Whether the one with this name still burns.
 */
export const look = (folder: string, name: string): Effect.Effect<Answer> =>
  Effect.scoped(Effect.gen(function*() {
    const { fd } = yield* withFolder(folder)
    return yield* Effect.async<Answer>((resume) => {
      const socket = connect(`/proc/self/fd/${fd}/${name}`)
      const answer = (found: Answer) => {
        socket.destroy()
        resume(Effect.succeed(found))
      }
      socket.once("connect", () => answer("alive"))
      socket.once("error", (error: NodeJS.ErrnoException) => answer(error.code === "ECONNREFUSED" ? "gone" : "unknown"))
    })
  })).pipe(Effect.orElseSucceed((): Answer => "unknown"))

/** Those in a folder. */
export const names = (folder: string): Effect.Effect<ReadonlyArray<string>> =>
  Effect.promise(() => Fs.readdir(folder).catch(() => [])).pipe(
    Effect.map((all) => all.filter((name) => name.startsWith(PREFIX)))
  )

/**
 * Removes those that have gone out.
 */
export const clear = (folder: string): Effect.Effect<void> =>
  Effect.flatMap(
    names(folder),
    (all) =>
      Effect.forEach(all, (name) =>
        Effect.flatMap(look(folder, name), (found) =>
          found === "gone"
            ? Effect.promise(() => Fs.rm(Path.join(folder, name), { force: true }))
            : Effect.void), { discard: true })
  )

/**
 * The files of a sandbox as the operations use them: each use is noticed, and what the kernel does not refuse is refused
 * here.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { Files } from "../agent/Files.js"
import * as Reusing from "../internal/reusing.js"
import type { Gauge } from "./DiskWatch.js"

/** What a new directory takes. */
const DIRECTORY_BYTES = 4096

/**
 * Options of {@link make}.
 */
export interface WorkspaceFilesOptions {
  readonly files: Files
  readonly gauge: Gauge
  /** The sandbox is in use for as long as the scope is open. */
  readonly used: Effect.Effect<void, never, Scope.Scope>
}

/**
 * The same operations. Those that write fail with `disk_full` also when the gauge has no room for it.
 */
export const make = ({ files, gauge, used }: WorkspaceFilesOptions): Files => {
  const using = <A, E>(operation: Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E> =>
    Effect.scoped(Effect.zipRight(used, operation))

  const usingStream = <A, E>(stream: Stream.Stream<A, E>): Stream.Stream<A, E> =>
    Stream.unwrapScoped(Effect.as(used, stream))

  const admitting = <E>(admit: (bytes: number) => Effect.Effect<void, E>) => (pieces: Chunk.Chunk<Uint8Array>) =>
    Effect.as(admit(Chunk.reduce(pieces, 0, (sum, piece) => sum + piece.length)), pieces)

  /** Something is being written: it is let through piece by piece. */
  const writing = Effect.acquireRelease(gauge.upload, ({ end }) => end)

  return {
    stat: (path) => using(files.stat(path)),
    list: (path) => using(files.list(path)),
    remove: (path) => using(files.remove(path)),
    makeDirectory: (path, parents) =>
      using(
        Effect.flatMap(writing, ({ admit }) =>
          Effect.zipRight(admit(DIRECTORY_BYTES), files.makeDirectory(path, parents)))
      ),
    move: (path, to) => using(files.move(path, to)),
    read: (path) => Reusing.through(usingStream)(files.read(path)),
    write: (path, content, options) =>
      using(
        Effect.flatMap(writing, ({ admit }) =>
          files.write(path, Reusing.through(Stream.mapChunksEffect(admitting(admit)))(content), options))
      ),
    writeBatch: (batch, options) =>
      using(
        Effect.flatMap(writing, ({ admit }) =>
          Effect.zipRight(
            admit(batch.reduce((sum, { content }) => sum + content.length, 0)),
            files.writeBatch(batch, options)
          ))
      ),
    readBatch: (paths, options) => using(files.readBatch(paths, options)),
    watch: (path, recursive, started) => usingStream(files.watch(path, recursive, started))
  }
}

/**
 * How far the copying of a directory is.
 */
import * as Effect from "effect/Effect"
import * as Mailbox from "effect/Mailbox"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { RequestError } from "../Errors.js"

/** Where, and how much so far. */
interface At {
  readonly path: string
  readonly local: string
  readonly files: number
  readonly totalFiles: number
  readonly bytes: number
  readonly totalBytes: number
}

/**
 * What has just been done in the copying of a directory: `Copying`, a piece of a large file has been taken; `Copied`, a file
 * is there, or a symbolic link; `Skipped`, it was left out, for this `reason`.
 *
 * `path` is where it is in the sandbox, absolute, and `local` where it is on this machine. `files` (symbolic links count) and
 * `bytes` are what has been copied so far, `totalFiles` and `totalBytes` what there was when the copying began.
 *
 * @category models
 */
export type DirectoryProgress =
  | At & { readonly _tag: "Copying" }
  | At & { readonly _tag: "Copied"; readonly type: "file" | "symlink" }
  | At & { readonly _tag: "Skipped"; readonly reason: string }

/** Events that may wait for whoever reads them; then the copying waits. */
const WAITING = 64

/** One entry, in both places. */
export interface Place {
  readonly path: string
  readonly local: string
}

/** What is to be copied. */
export interface Total {
  readonly files: number
  readonly bytes: number
}

/**
 * Counts, and tells.
 */
export interface Counter {
  /** So many bytes of a file that is not there yet. */
  readonly copying: (place: Place, bytes: number) => Effect.Effect<void>
  readonly copied: (place: Place, bytes: number, type?: "file" | "symlink") => Effect.Effect<void>
  readonly skipped: (place: Place, reason: string) => Effect.Effect<void>
}

/**
 * What `run` tells while it runs, as a stream that ends or fails as it does. Who leaves the stream stops it.
 */
export const progress = <R>(
  run: (counterOf: (total: Total) => Counter) => Effect.Effect<void, RequestError, R>
): Stream.Stream<DirectoryProgress, RequestError, Exclude<R, Scope.Scope>> =>
  Stream.unwrapScoped(Effect.gen(function*() {
    const events = yield* Mailbox.make<DirectoryProgress, RequestError>(WAITING)
    const counterOf = (total: Total): Counter => {
      let files = 0
      let bytes = 0
      const at = ({ local, path }: Place, more: number): At => ({
        path,
        local,
        files,
        totalFiles: total.files,
        bytes: bytes + more,
        totalBytes: total.bytes
      })
      return {
        copying: (place, more) => Effect.suspend(() => events.offer({ _tag: "Copying", ...at(place, more) })),
        copied: (place, more, type = "file") =>
          Effect.suspend(() => {
            files += 1
            bytes += more
            return events.offer({ _tag: "Copied", type, ...at(place, 0) })
          }),
        skipped: (place, reason) => Effect.suspend(() => events.offer({ _tag: "Skipped", reason, ...at(place, 0) }))
      }
    }
    yield* Effect.forkScoped(Mailbox.into(run(counterOf), events))
    return Mailbox.toStream(events)
  }))

/**
 * Files of this machine that appear when they are whole.
 */
import type { PlatformError } from "@effect/platform/Error"
import type * as FileSystem from "@effect/platform/FileSystem"
import type * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { RequestError, SandboxError } from "../Errors.js"

const hex = Effect.map(
  Effect.all([Random.nextIntBetween(0, 2 ** 32), Random.nextIntBetween(0, 2 ** 32)]),
  (numbers) => numbers.map((number) => number.toString(16).padStart(8, "0")).join("")
)

/**
 * Makes something beside where it is to be, then gives it its name: what was there under it is replaced, a link itself and not
 * what it leads to. Where that fails, nothing remains. `make` says when there is something to be removed.
 */
export const inPlace = (
  fs: FileSystem.FileSystem,
  path: Path.Path,
  local: string,
  unwritable: (error: PlatformError) => SandboxError,
  make: (temporary: string, begun: Effect.Effect<void>) => Effect.Effect<void, RequestError>
): Effect.Effect<void, RequestError> =>
  Effect.flatMap(hex, (random) => {
    const temporary = path.join(path.dirname(local), `.sandbox-part-${random}`)
    let isThere = false
    const begun = Effect.sync(() => {
      isThere = true
    })
    const moved = Effect.mapError(fs.rename(temporary, local), unwritable)
    const kept = Effect.sync(() => {
      isThere = false
    })
    const removed = Effect.suspend(() => isThere ? Effect.ignore(fs.remove(temporary, { force: true })) : Effect.void)
    return Effect.ensuring(make(temporary, begun).pipe(Effect.zipRight(moved), Effect.zipRight(kept)), removed)
  })

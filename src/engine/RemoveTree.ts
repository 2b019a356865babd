/**
 * Removes what a sandbox has left, whatever it did to be left alone.
 */
import * as Effect from "effect/Effect"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"

/**
 * Gives the owner of a tree back the right to remove it: a sandbox may have taken it away (`chmod 000`). Never follows
 * a symbolic link.
 */
const unlock = async (path: string): Promise<void> => {
  const stat = await Fs.lstat(path)
  if (stat.isDirectory()) {
    await Fs.chmod(path, 0o700)
    for (const name of await Fs.readdir(path)) {
      await unlock(Path.join(path, name))
    }
  }
}

/**
 * Removes a tree, whatever permissions it has; only when nothing runs in it any more. One that is not there is removed
 * already. What cannot be removed is logged: there is nobody to fail for.
 */
export const removeTree = (path: string): Effect.Effect<void> => {
  const remove = () => Fs.rm(path, { recursive: true, force: true, maxRetries: 3 })
  return Effect.tryPromise(() => remove().catch(() => unlock(path).then(remove))).pipe(
    Effect.catchAll((error) =>
      Effect.logWarning("A folder of a sandbox could not be removed").pipe(
        Effect.annotateLogs({ path, cause: String(error.error) })
      )
    )
  )
}

/**
 * The folder of an engine on the host: the agent's program, and a folder for each sandbox.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import { isDead, nameHere } from "../isolation/Owner.js"

/**
 * Where an engine keeps its files.
 */
export interface DataDirectory {
  /** Holds the agent and the kernels; every sandbox sees it read-only. */
  readonly agent: string
  /** Makes the folder of one sandbox, and removes it with all that is in it when the scope closes. */
  readonly sandbox: (id: string) => Effect.Effect<string, SandboxError, Scope.Scope>
}

const failed = (what: string, path: string) => (cause: unknown): SandboxError =>
  new SandboxError({
    code: "start_failed",
    message: `The engine could not ${what} ${path}: ${cause instanceof Error ? cause.message : String(cause)}`
  })

/**
 * Gives the owner of a tree back the right to remove it: a sandbox may have taken it away (`chmod 000`). Never follows
 * a symbolic link. Only called when nothing runs in the sandbox any more.
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
 * Removes a tree, whatever permissions it has. One that is not there is removed already.
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

/**
 * Removes the folders of engines that are gone. In a shared `/tmp` anyone may use such a name: what this user does not
 * own is left alone.
 */
const reap = Effect.fn("DataDirectory.reap")(function*(parent: string) {
  const names = yield* Effect.promise(() => Fs.readdir(parent).catch(() => []))
  for (const name of yield* Effect.filter(names, isDead)) {
    const path = Path.join(parent, name)
    const stat = yield* Effect.promise(() => Fs.lstat(path).catch(() => undefined))
    if (stat?.isDirectory() === true && stat.uid === process.getuid?.()) {
      yield* removeTree(path)
      yield* Effect.logDebug("Removed what an engine that is gone had left").pipe(Effect.annotateLogs({ path }))
    }
  }
})

/**
 * Makes the folder of this engine under `parent` (the system's folder for temporary files by default), after it has
 * removed those of engines that are gone. It is removed when the scope closes.
 *
 * A sandbox runs as a user of its own, who must be able to pass through the folders above its own but not to list
 * them: hence mode 0711, and names that cannot be guessed.
 *
 * @param files the agent and the kernels: name and text.
 */
export const make = Effect.fn("DataDirectory.make")(function*(
  files: Readonly<Record<string, string>>,
  parent: string = Os.tmpdir()
): Effect.fn.Return<DataDirectory, SandboxError, Scope.Scope> {
  const name = yield* nameHere
  yield* Effect.tryPromise({
    try: () => Fs.mkdir(parent, { recursive: true, mode: 0o711 }),
    catch: failed("make its data folder", parent)
  })
  yield* reap(parent)

  const root = yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: () => Fs.mkdtemp(Path.join(parent, `${name}-`)),
      catch: failed("make a folder in", parent)
    }),
    removeTree
  )
  const agent = Path.join(root, "agent")
  const sandboxes = Path.join(root, "sandboxes")
  yield* Effect.tryPromise({
    try: async () => {
      await Fs.mkdir(agent)
      await Fs.mkdir(sandboxes)
      for (const [name, text] of Object.entries(files)) {
        await Fs.writeFile(Path.join(agent, name), text)
        await Fs.chmod(Path.join(agent, name), 0o444)
      }
      // Set by chmod and not at creation, where the umask of the host program would take bits away.
      await Fs.chmod(agent, 0o755)
      await Fs.chmod(sandboxes, 0o711)
      await Fs.chmod(root, 0o711)
    },
    catch: failed("write to", root)
  })

  return {
    agent,
    sandbox: (id) => {
      const path = Path.join(sandboxes, id)
      return Effect.acquireRelease(
        Effect.tryPromise({
          try: () => Fs.mkdir(path).then(() => Fs.chmod(path, 0o711)).then(() => path),
          catch: failed("make", path)
        }),
        removeTree
      )
    }
  }
})

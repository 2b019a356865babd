/**
 * The folder of an engine on the host: the agent's program, and a folder for each sandbox.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Fs from "node:fs/promises"
import * as Os from "node:os"
import * as Path from "node:path"
import { SandboxError } from "../Errors.js"
import * as Host from "../isolation/Host.js"
import * as Mounts from "../isolation/Mounts.js"
import { fromName, isDead, nameHere } from "../isolation/Owner.js"
import * as Strays from "../isolation/Strays.js"
import * as Beacon from "./Beacon.js"
import * as FolderLock from "./FolderLock.js"
import { hostFailure } from "./JsonFile.js"
import { removeTree } from "./RemoveTree.js"

/**
 * Where an engine keeps its files.
 */
export interface DataDirectory {
  /** Whether it outlives the engine. */
  readonly persistent: boolean
  /** Holds what belongs to the engine as a whole. */
  readonly root: string
  /** Holds the agent and the kernels; every sandbox sees it read-only. */
  readonly agent: string
  /** Holds a folder for each sandbox, named by its id. */
  readonly sandboxes: string
  /** Holds a file for each template that a user has made. */
  readonly templates: string
  /** Holds a folder for each build of a template, with what it has installed. */
  readonly builds: string
  /** Holds a folder for each snapshot. */
  readonly snapshots: string
}

/**
 * Makes a folder that users of sandboxes may pass through but not list: each sandbox runs as a user of its own, and must
 * reach the folder that is its workspace. Set by chmod, because the umask of the host program takes bits away.
 */
export const makePassage = (path: string): Effect.Effect<void, SandboxError> =>
  Host.untilDone({
    try: () => Fs.mkdir(path, { recursive: true }).then(() => Fs.chmod(path, 0o711)),
    catch: hostFailure("make", path)
  })

/** Whether the owner of a folder is certainly gone: by its name, or because nobody answers for it any more. */
const isAbandoned = Effect.fnUntraced(function*(path: string) {
  if (yield* isDead(Path.basename(path))) {
    return true
  }
  const answers = yield* Effect.forEach(yield* Beacon.names(path), (name) => Beacon.look(path, name))
  return answers.length > 0 && answers.every((answer) => answer === "gone")
})

/** Ends and unmounts what an engine that was killed has left of its sandboxes. */
const release = Effect.fnUntraced(function*(root: string) {
  const sandboxes = Path.join(root, "sandboxes")
  const names = yield* Effect.promise(() => Fs.readdir(sandboxes).catch(() => []))
  yield* Strays.end(names.map((name) => Path.join(sandboxes, name, "workspace")))
  yield* Mounts.unmountBelow(root)
})

/**
 * Removes the folders of engines that are gone. In a shared `/tmp` anyone may use such a name: what this user does not
 * own is left alone.
 */
const reap = Effect.fn("DataDirectory.reap")(function*(parent: string) {
  const names = yield* Effect.promise(() => Fs.readdir(parent).catch(() => []))
  for (const name of names.filter((name) => Option.isSome(fromName(name)))) {
    const path = Path.join(parent, name)
    const stat = yield* Effect.promise(() => Fs.lstat(path).catch(() => undefined))
    if (stat?.isDirectory() === true && stat.uid === process.getuid?.() && (yield* isAbandoned(path))) {
      yield* release(path)
      yield* removeTree(path)
      yield* Effect.logDebug("Removed what an engine that is gone had left").pipe(Effect.annotateLogs({ path }))
    }
  }
})

/** A folder for the life of this engine, with a name that nobody can guess. */
const temporaryRoot = Effect.fnUntraced(function*() {
  const parent = Os.tmpdir()
  const prefix = Path.join(parent, `${yield* nameHere}-`)
  const root = yield* Effect.acquireRelease(
    Effect.tryPromise({ try: () => Fs.mkdtemp(prefix), catch: hostFailure("make a folder in", parent) }),
    removeTree
  )
  yield* Beacon.light(root)
  return root
})

/**
 * Refuses a folder that the users of sandboxes could not reach: they are other users than root.
 */
const requireReachable = Effect.fnUntraced(function*(root: string) {
  if (process.getuid?.() !== 0) {
    return
  }
  for (let path = Path.dirname(root); path !== Path.dirname(path); path = Path.dirname(path)) {
    const stat = yield* Effect.tryPromise({ try: () => Fs.stat(path), catch: hostFailure("look at", path) })
    if ((stat.mode & 0o001) === 0) {
      return yield* new SandboxError({
        code: "start_failed",
        message: `The data folder ${root} cannot be reached by the users that sandboxes run as, because ${path} lets ` +
          `nobody but its owner through. Use a folder elsewhere (/var/lib/sandbox-sdk), or: chmod o+x ${path}`
      })
    }
  }
})

/** A folder that outlives engines: it is made when it is not there. */
const persistentRoot = Effect.fnUntraced(function*(path: string) {
  const root = Path.resolve(path)
  yield* makePassage(root)
  yield* requireReachable(root)
  yield* FolderLock.acquire(root)
  yield* release(root)
  return root
})

/**
 * Makes the folder of this engine. With `path` it stays, with all sandboxes in it, and belongs to one engine at a time;
 * without, it is one for temporary files that is removed when the scope closes. Before, those of engines that are gone are
 * removed.
 *
 * @param files the agent and the kernels: name and text.
 */
export const make = Effect.fn("DataDirectory.make")(function*(
  files: Readonly<Record<string, string>>,
  path?: string
): Effect.fn.Return<DataDirectory, SandboxError, Scope.Scope> {
  yield* reap(Os.tmpdir())
  const root = yield* (path === undefined ? temporaryRoot() : persistentRoot(path))
  const agent = Path.join(root, "agent")
  const sandboxes = Path.join(root, "sandboxes")
  const templates = Path.join(root, "templates")
  const builds = Path.join(root, "builds")
  const snapshots = Path.join(root, "snapshots")
  yield* makePassage(root)
  yield* makePassage(sandboxes)
  yield* makePassage(templates)
  yield* makePassage(builds)
  yield* makePassage(snapshots)
  yield* Effect.tryPromise({
    try: async () => {
      // What an engine that was killed had begun to compile there may still be on its way.
      await Fs.rm(agent, { recursive: true, force: true, maxRetries: 5 })
      await Fs.mkdir(agent)
      await Fs.chmod(agent, 0o755)
      for (const [name, text] of Object.entries(files)) {
        await Fs.writeFile(Path.join(agent, name), text)
        await Fs.chmod(Path.join(agent, name), 0o444)
      }
    },
    catch: hostFailure("write to", agent)
  })
  return { persistent: path !== undefined, root, agent, sandboxes, templates, builds, snapshots }
})

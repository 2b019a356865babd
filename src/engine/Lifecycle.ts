/**
 * How the sandboxes of an engine come up, go down, pause and end: what happens to one of them at a time, and when its time is
 * over.
 */
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import type { Files } from "../agent/Files.js"
import { SandboxError, type SandboxSDKError } from "../Errors.js"
import { cached } from "../internal/cached.js"
import { makeLock } from "../internal/lock.js"
import { Isolation, ofTemplate } from "../isolation/Isolation.js"
import type { CreateSandboxOptions, EnvVars } from "../Options.js"
import type { SandboxTemplate } from "../Template.js"
import type { Builds } from "./Builds.js"
import type { DataDirectory } from "./DataDirectory.js"
import * as DiskWatch from "./DiskWatch.js"
import { deadlineOf, type Entry, type State, type Up, upIn } from "./Entry.js"
import type { Executions } from "./Executions.js"
import * as Expiry from "./Expiry.js"
import type { Launcher } from "./Launcher.js"
import type { Meter } from "./Meter.js"
import { makeOwned, type Owned } from "./Owned.js"
import type * as Pool from "./Pool.js"
import * as Resources from "./Resources.js"
import { makeSandboxFolders, type SandboxFolders, type SandboxRecord } from "./SandboxRecord.js"
import * as StartCommand from "./StartCommand.js"
import * as Uploads from "./Uploads.js"

/**
 * How every sandbox of an engine is made.
 */
export interface LifecycleOptions {
  readonly directory: DataDirectory
  readonly executions: Executions
  readonly meter: Meter
  readonly launch: Launcher
  readonly builds: Builds
  /** Told of each sandbox that is removed. */
  readonly removed: (id: string) => Effect.Effect<void>
}

/**
 * What is to be brought up.
 */
interface Bringing {
  readonly id: string
  readonly template: SandboxTemplate
  readonly limits: Resources.Limits
  readonly network: CreateSandboxOptions["network"]
  readonly env: EnvVars
  readonly owner: { readonly current: Pool.Owner }
}

/**
 * The sandboxes that there are, and what can happen to each. Where it says so, only for who has the entry's `transition`.
 */
export interface Lifecycle {
  readonly entries: Owned<Entry>
  readonly folders: SandboxFolders
  /** Notes one that is new, or was found, and is down. */
  readonly add: (record: SandboxRecord) => Entry
  /** Fails with `not_found`. */
  readonly find: (userId: string, id: string) => Effect.Effect<Entry, SandboxError>
  /** It has changed. */
  readonly touch: (entry: Entry) => void
  readonly setState: (entry: Entry, state: State) => void
  /** Starts what is to be up, for whoever `owner` says, until the scope closes. */
  readonly bring: (
    bringing: Bringing,
    scope: Scope.CloseableScope
  ) => Effect.Effect<Omit<Up, "startedAt" | "startCommand">, SandboxError>
  /** Who is told what happens to it while that scope is open. */
  readonly ownerOf: (entry: Entry, scope: Scope.CloseableScope) => Pool.Owner
  /** What its template has installed stays for as long as it may be started. Fails with `template_not_found`. */
  readonly hold: (template: SandboxTemplate) => Effect.Effect<void, SandboxError>
  /** Starts it, or lets it go on, unless it is up. Only with `transition`. */
  readonly bringUp: (entry: Entry) => Effect.Effect<Up, SandboxError>
  /** Ends all that runs in it. Only with `transition`. */
  readonly bringDown: (entry: Entry) => Effect.Effect<void>
  /** Stops all that runs in it where it is. Only with `transition`. */
  readonly pause: (entry: Entry) => Effect.Effect<void, SandboxError | SandboxSDKError>
  /** Lets it go on. Fails with `stopped` when it is not up. Only with `transition`. */
  readonly resume: (entry: Entry) => Effect.Effect<void, SandboxError>
  /** Ends it, and removes its files and its record. */
  readonly remove: (entry: Entry) => Effect.Effect<void>
  /** The time of an entry may be over earlier than was known: see `deadlineOf`. */
  readonly reconsider: (entry: Entry) => Effect.Effect<void>
}

/**
 * There is no such sandbox, or it is another user's.
 */
export const notFound = (id: string) =>
  new SandboxError({
    code: "not_found",
    message: `There is no sandbox "${id}". It was never created, or it has been deleted.`,
    sandboxId: id
  })

/**
 * Finds the sandboxes that an engine before this one has left. When the scope closes all end; where the data directory outlives
 * the engine, their files stay.
 */
export const make = Effect.fn("Lifecycle.make")(function*(
  options: LifecycleOptions
): Effect.fn.Return<Lifecycle, SandboxError, Isolation | Scope.Scope> {
  const machine = yield* Isolation
  const clock = yield* Effect.clock
  const engine = yield* Effect.scope
  const disks = yield* DiskWatch.make(options.directory.sandboxes)
  const folders = makeSandboxFolders(options.directory)
  const entries = makeOwned<Entry>()

  const add = (record: SandboxRecord): Entry => {
    const entry: Entry = {
      record,
      limits: Resources.resolve(record.options.resources, record.template.config.resources),
      state: { _tag: "Stopped" },
      activeRuns: 0,
      uses: 0,
      lastUse: 0,
      ending: false,
      removed: false,
      transition: makeLock(),
      saving: makeLock()
    }
    entries.set(record.userId, record.id, entry)
    return entry
  }

  const find = (userId: string, id: string): Effect.Effect<Entry, SandboxError> =>
    Effect.suspend(() => {
      const entry = entries.get(userId, id)
      return entry === undefined ? Effect.fail(notFound(id)) : Effect.succeed(entry)
    })

  const touch = (entry: Entry): void => {
    entry.record = { ...entry.record, updatedAt: clock.unsafeCurrentTimeMillis() }
  }

  const setState = (entry: Entry, state: State): void => {
    entry.state = state
    touch(entry)
  }

  /** What is up, for whoever `owner` says. */
  const bring = Effect.fnUntraced(function*(
    { env, id, limits, network, owner, template }: Bringing,
    scope: Scope.CloseableScope
  ) {
    const isolation = yield* ofTemplate(machine, template)
    const workspace = folders.workspace(id)
    // Closed last: nothing may use the disk any more by then.
    const disk = yield* Scope.fork(scope, ExecutionStrategy.sequential)
    const opening = yield* cached(Scope.extend(isolation.openWorkspace(workspace), disk))
    // Closed after the sandbox: what ran in it has been told, and has ended.
    yield* Scope.addFinalizer(scope, options.executions.over(id))
    const uploads = yield* Uploads.make(folders.folder(id), workspace, opening)
    yield* Scope.addFinalizer(scope, uploads.stopped)
    const { gauge, live } = yield* options.launch({
      ...{ isolation, sandboxId: id, workspace, opening, disks, network, limits },
      userId: () => owner.current.userId,
      language: template.config.language,
      version: template.config.version,
      layer: template.build && { source: options.builds.layer(template.build.id), writable: false },
      env: { ...template.config.defaultEnvVars, ...env },
      onEnd: (error) => owner.current.onEnd(error),
      onExcess: (live, error, far) => Effect.suspend(() => owner.current.onExcess(live, error, far))
    }).pipe(Scope.extend(scope))
    const files: Files = {
      ...live.files,
      write: (path, content, options) => uploads.during(live.files.write(path, content, options)),
      writeBatch: (files, options) => uploads.during(live.files.writeBatch(files, options))
    }
    return { live, files, gauge }
  })

  const ownerOf = (entry: Entry, scope: Scope.CloseableScope): Pool.Owner => ({
    userId: entry.record.userId,
    onEnd: (error) => setState(entry, { _tag: "Failed", error, scope }),
    onExcess: (live, error, far) =>
      Effect.suspend(() => live.haltRuns(error) && !far ? Effect.void : halt(entry, error))
  })

  const launch = Effect.fnUntraced(function*(entry: Entry, scope: Scope.CloseableScope) {
    const { id, options: { initialEnvVars: env = {}, network }, template, userId } = entry.record
    const owner = { current: ownerOf(entry, scope) }
    const { files, gauge, live } = yield* bring({ id, template, limits: entry.limits, network, env, owner }, scope)
    const { startCommand: command } = template.config
    const { executions } = options
    const startCommand = command === undefined
      ? undefined
      : yield* StartCommand.start({ command, userId, sandboxId: id, live, executions })
    return { live, files, gauge, startedAt: clock.unsafeCurrentTimeMillis(), startCommand } satisfies Up
  })

  /** Only with the entry's `transition`. */
  const bringUp = Effect.fn("Registry.start")(function*(entry: Entry) {
    if (entry.removed) {
      return yield* notFound(entry.record.id)
    }
    if (entry.state._tag === "Up") {
      return entry.state.up
    }
    if (entry.state._tag === "Paused") {
      return yield* goOn(entry, entry.state)
    }
    yield* bringDown(entry)
    setState(entry, { _tag: "Starting" })
    const started = yield* Effect.uninterruptibleMask((restore) =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        const up = yield* restore(launch(entry, scope)).pipe(
          Effect.onExit((exit) =>
            Exit.isSuccess(exit)
              ? Effect.void
              : Effect.zipRight(Scope.close(scope, exit), Effect.sync(() => setState(entry, { _tag: "Stopped" })))
          )
        )
        // It may have ended already.
        if (entry.state._tag === "Starting") setState(entry, { _tag: "Up", up, scope })
        entry.lastUse = up.startedAt
        return up
      })
    )
    yield* reconsider(entry)
    return started
  })

  /** Only with the entry's `transition`. The time in which it was paused does not count as time in which it was up. */
  const goOn = (entry: Entry, { scope, since, up }: Extract<State, { readonly _tag: "Paused" }>): Effect.Effect<Up> =>
    Effect.gen(function*() {
      yield* up.live.pausing.resume
      const now = clock.unsafeCurrentTimeMillis()
      const resumed = { ...up, startedAt: up.startedAt + (now - since) }
      // It may have ended meanwhile.
      if (entry.state._tag === "Paused") setState(entry, { _tag: "Up", up: resumed, scope })
      entry.lastUse = now
      yield* reconsider(entry)
      return resumed
    }).pipe(Effect.uninterruptible)

  /** Why it cannot be paused, or go on. */
  const isDown = ({ record: { id }, state }: Entry, what: "pause" | "resume") =>
    state._tag === "Failed"
      ? new SandboxError({ ...state.error, message: state.error.message })
      : new SandboxError({
        code: "stopped",
        message: `The sandbox is not up, so that there is nothing to ${what}. Start it with startSandbox.`,
        sandboxId: id
      })

  /** Only with the entry's `transition`. */
  const stand = (entry: Entry): Effect.Effect<void, SandboxError | SandboxSDKError> =>
    Effect.gen(function*() {
      const { state } = entry
      if (state._tag === "Paused") return
      if (state._tag !== "Up") return yield* isDown(entry, "pause")
      yield* state.up.live.pausing.pause.pipe(
        Effect.catchTag("SandboxError", (error) =>
          new SandboxError({ ...error, message: error.message, sandboxId: entry.record.id }))
      )
      if (entry.state === state) {
        setState(entry, { ...state, _tag: "Paused", since: clock.unsafeCurrentTimeMillis() })
      }
    }).pipe(Effect.uninterruptible)

  const resume = (entry: Entry): Effect.Effect<void, SandboxError> =>
    Effect.suspend(() => {
      const { state } = entry
      return state._tag === "Paused"
        ? Effect.asVoid(goOn(entry, state))
        : state._tag === "Up"
        ? Effect.void
        : Effect.fail(isDown(entry, "resume"))
    })

  /** From now on who asks for it waits until it has been stopped, and then has it started again. */
  const leave = (entry: Entry): void => {
    const { state } = entry
    if (state._tag === "Up" || state._tag === "Paused" || state._tag === "Failed") {
      setState(entry, { _tag: "Stopping", scope: state.scope })
    }
  }

  /** Only with the entry's `transition`. */
  const bringDown = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => {
      leave(entry)
      const { state } = entry
      return state._tag === "Stopping"
        ? Effect.zipRight(
          Scope.close(state.scope, Exit.void),
          Effect.sync(() => setState(entry, { _tag: "Stopped" }))
        )
        : Effect.void
    }).pipe(Effect.uninterruptible)

  /** Ends what runs in it, with this error for all who wait for something, and keeps its files. */
  const halt = (entry: Entry, error?: SandboxError): Effect.Effect<void> =>
    Effect.suspend(() => {
      const up = upIn(entry)
      if (up === undefined) return Effect.void
      if (error !== undefined) up.live.endWith(error)
      leave(entry)
      // Not by whoever finds the limit passed: it has others to look after.
      return Effect.asVoid(Effect.forkIn(entry.transition(bringDown(entry)), engine))
    })

  /** What its template has installed stays for as long as it may be started. */
  const hold = ({ build, id }: SandboxTemplate): Effect.Effect<void, SandboxError> =>
    Effect.suspend(() =>
      build === undefined || options.builds.hold(build.id) ? Effect.void : new SandboxError({
        code: "template_not_found",
        field: "templateId",
        message: `The template "${id}" has been deleted.`
      })
    )

  const letGo = ({ build }: SandboxTemplate): Effect.Effect<void> =>
    build === undefined ? Effect.void : options.builds.release(build.id)

  const removeEntry = (entry: Entry): Effect.Effect<void> =>
    Effect.suspend(() => {
      // Gone for everybody from now on, also for who asks while its processes are still being ended.
      entry.removed = true
      entries.delete(entry.record.userId, entry.record.id)
      return Effect.uninterruptible(
        entry.transition(Effect.gen(function*() {
          yield* bringDown(entry)
          yield* options.removed(entry.record.id)
          yield* entry.saving(folders.remove(entry.record.id))
          yield* letGo(entry.record.template)
          const { sandboxDeleted } = yield* options.meter.of(entry.record.userId)
          yield* sandboxDeleted(entry.record.id)
        }))
      )
    })

  const ranTooLong = (entry: Entry): SandboxError =>
    new SandboxError({
      code: "quota_exceeded",
      sandboxId: entry.record.id,
      message: `The sandbox was stopped because it had been up for ${entry.limits.runTimeMs} ms ` +
        "(resources.runTimeMs). Its files are kept."
    })

  const log = (message: string, { record: { id } }: Entry) =>
    Effect.logDebug(message).pipe(Effect.annotateLogs({ sandboxId: id }))

  /** Between the look at the time and the end of what is over nothing may come, such as a use of what is idle. */
  const endWhatIsOver = (entry: Entry, now: number): Effect.Effect<void> =>
    Effect.suspend(() => {
      const { limits, record, state } = entry
      if (deadlineOf(entry) > now) return Effect.void
      if (record.expiresAt !== undefined && record.expiresAt <= now) {
        entry.ending = true
        return Effect.zipRight(log("A sandbox has expired", entry), Effect.forkIn(removeEntry(entry), engine))
      }
      if (state._tag !== "Up") return Effect.void
      return state.up.startedAt + limits.runTimeMs <= now
        ? Effect.zipRight(halt(entry, ranTooLong(entry)), log("A sandbox has been up for as long as it may be", entry))
        : Effect.zipRight(halt(entry), log("A sandbox has been idle for as long as it may be", entry))
    })

  const expire = (now: number) => Effect.forEach(entries.all(), (entry) => endWhatIsOver(entry, now), { discard: true })

  yield* Effect.addFinalizer(() =>
    Effect.forEach(
      entries.all(),
      (entry) => options.directory.persistent ? entry.transition(bringDown(entry)) : removeEntry(entry),
      { concurrency: 16, discard: true }
    )
  )
  for (const record of yield* folders.load) {
    add(record)
    // Without it, it is not started.
    yield* Effect.ignore(hold(record.template))
    const { sandboxCreated } = yield* options.meter.of(record.userId)
    yield* sandboxCreated(record.id)
  }
  const soonest = yield* Expiry.make(
    () => entries.all().reduce((earliest, entry) => Math.min(earliest, deadlineOf(entry)), Infinity),
    expire
  )
  const reconsider = (entry: Entry): Effect.Effect<void> => soonest(deadlineOf(entry))

  return {
    entries,
    folders,
    add,
    find,
    touch,
    setState,
    bring,
    ownerOf,
    hold,
    bringUp,
    bringDown,
    pause: stand,
    resume,
    remove: removeEntry,
    reconsider
  }
})

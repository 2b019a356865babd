/**
 * The sandboxes of an engine: which there are, what each is doing, and when it starts, stops and ends.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Path from "node:path"
import type { Files } from "../agent/Files.js"
import { SandboxError, type SandboxSDKError } from "../Errors.js"
import { cached } from "../internal/cached.js"
import { makeLock } from "../internal/lock.js"
import { Isolation, ofTemplate, type Service } from "../isolation/Isolation.js"
import type { CreateSandboxOptions, EnvVars, ListSandboxesOptions } from "../Options.js"
import type { SandboxInfo } from "../SandboxInfo.js"
import type { SandboxMetrics } from "../SandboxMetrics.js"
import type { SandboxTemplate } from "../Template.js"
import type { UsageData } from "../Usage.js"
import type { Builds } from "./Builds.js"
import type { DataDirectory } from "./DataDirectory.js"
import { diskUsage } from "./DiskUsage.js"
import * as DiskWatch from "./DiskWatch.js"
import { deadlineOf, describe, type Entry, matches, type State, type Up, upIn } from "./Entry.js"
import type { Executions } from "./Executions.js"
import * as Expiry from "./Expiry.js"
import { makeId } from "./Ids.js"
import type { Launcher } from "./Launcher.js"
import type { LiveSandbox } from "./LiveSandbox.js"
import * as Measuring from "./Measuring.js"
import type { Meter } from "./Meter.js"
import { makeOwned } from "./Owned.js"
import * as Pool from "./Pool.js"
import * as Resources from "./Resources.js"
import type { SandboxRecord } from "./SandboxRecord.js"
import { makeSandboxFolders } from "./SandboxRecord.js"
import * as StartCommand from "./StartCommand.js"
import * as Uploads from "./Uploads.js"
import * as WorkspaceFiles from "./WorkspaceFiles.js"

/**
 * A sandbox that is up, and what it was made from.
 */
export interface Running {
  readonly id: string
  readonly template: SandboxTemplate
  readonly live: LiveSandbox
  readonly limits: Resources.Limits
  readonly files: Files
  /** Counts as running, and as being used, for as long as the effect lasts. Only where nothing can be interrupted. */
  readonly whileBusy: <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
  /** Counts as being used, and so is not idle, for as long as the scope is open. */
  readonly used: Effect.Effect<void, never, Scope.Scope>
}

/**
 * The sandboxes of an engine. Each belongs to a user, and does not exist for any other.
 */
export interface Registry {
  readonly create: (
    userId: string,
    options: CreateSandboxOptions,
    template: SandboxTemplate,
    /** A workspace to copy; it starts empty without. */
    from?: string
  ) => Effect.Effect<SandboxInfo, SandboxError>
  /** Copies the files of a sandbox as they are at one moment; `use` is told what it was made with. */
  readonly copying: <A, E>(
    userId: string,
    id: string,
    use: (
      record: SandboxRecord,
      copy: (workspace: string) => Effect.Effect<void, SandboxError | SandboxSDKError>
    ) => Effect.Effect<A, E>
  ) => Effect.Effect<A, E | SandboxError>
  /** Makes so many sandboxes with the files of one, all of them or none. */
  readonly fork: (
    userId: string,
    id: string,
    count: number
  ) => Effect.Effect<ReadonlyArray<SandboxInfo>, SandboxError | SandboxSDKError>
  readonly get: (userId: string, id: string) => Effect.Effect<SandboxInfo, SandboxError>
  /** Oldest first. */
  readonly list: (userId: string, options: ListSandboxesOptions) => Effect.Effect<ReadonlyArray<SandboxInfo>>
  /** What one uses at the moment, whether it is up or not. Fails with `unsupported` where the isolation cannot tell. */
  readonly measure: (userId: string, id: string) => Effect.Effect<SandboxMetrics, SandboxError | SandboxSDKError>
  /** How many there are, and what their files take. */
  readonly usage: (userId: string) => Effect.Effect<UsageData>
  /** Starts it, unless it is up. */
  readonly start: (userId: string, id: string) => Effect.Effect<SandboxInfo, SandboxError>
  /** Ends all that runs in it and keeps its files. */
  readonly stop: (userId: string, id: string) => Effect.Effect<SandboxInfo, SandboxError>
  /** Stops all that runs in it where it is. Fails with `stopped` when it is not up, and as `LiveSandbox.pausing` does. */
  readonly pause: (userId: string, id: string) => Effect.Effect<SandboxInfo, SandboxError | SandboxSDKError>
  /** Lets one that is paused go on. Fails with `stopped` when it is not up. */
  readonly resume: (userId: string, id: string) => Effect.Effect<SandboxInfo, SandboxError>
  /** Lets it expire `ms` milliseconds from now. */
  readonly extend: (userId: string, id: string, ms: number) => Effect.Effect<SandboxInfo, SandboxError>
  /** Ends it and removes its files. One that is not there is removed already. */
  readonly remove: (userId: string, id: string) => Effect.Effect<void>
  /**
   * The sandbox, up: a stopped one is started, and a paused one goes on, unless it was made with `autoStart: false` (`stopped`). Fails with
   * `not_found`, or with the error by which it ended.
   */
  readonly running: (userId: string, id: string) => Effect.Effect<Running, SandboxError>
  /**
   * The sandbox, if it is up: one that is stopped stays so, and fails with `stopped`. For who only passes by. Fails with
   * `not_found`, or with the error by which it ended.
   */
  readonly reach: (userId: string, id: string) => Effect.Effect<Running, SandboxError>
  /** From now on has so many of these started ahead. */
  readonly keep: (wanted: ReadonlyArray<Pool.Wanted>) => Effect.Effect<void>
  /**
   * The template of a name, if a sandbox waits that was started from it: nothing has to be looked up for that. Somebody is
   * about to ask for it, so that it is woken.
   */
  readonly ahead: (name: string) => Effect.Effect<SandboxTemplate | undefined>
  /** Creates one out of what waits, if there is what is asked for. */
  readonly adopt: (
    userId: string,
    options: CreateSandboxOptions,
    template: SandboxTemplate
  ) => Effect.Effect<SandboxInfo | undefined, SandboxError>
  /** The sandbox that a context belongs to. Fails with `context_not_found`. */
  readonly ofContext: (userId: string, contextId: string) => Effect.Effect<Running, SandboxError>
}

/**
 * How every sandbox of an engine is made.
 */
export interface RegistryOptions {
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

const notFound = (id: string) =>
  new SandboxError({
    code: "not_found",
    message: `There is no sandbox "${id}". It was never created, or it has been deleted.`,
    sandboxId: id
  })

/**
 * Makes a registry. When the scope closes all its sandboxes end; where the data directory outlives the engine, they are
 * found again, stopped, by the next one.
 */
export const make = Effect.fn("Registry.make")(function*(
  options: RegistryOptions
): Effect.fn.Return<Registry, SandboxError, Isolation | Scope.Scope> {
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

  // ---- start, stop, remove ------------------------------------------------------------------------------------------

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
    yield* soonest(deadlineOf(entry))
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
      yield* soonest(deadlineOf(entry))
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

  const alone = (entry: Entry) => entry.transition

  /** Ends what runs in it, with this error for all who wait for something, and keeps its files. */
  const halt = (entry: Entry, error?: SandboxError): Effect.Effect<void> =>
    Effect.suspend(() => {
      const up = upIn(entry)
      if (up === undefined) return Effect.void
      if (error !== undefined) up.live.endWith(error)
      leave(entry)
      // Not by whoever finds the limit passed: it has others to look after.
      return Effect.asVoid(Effect.forkIn(alone(entry)(bringDown(entry)), engine))
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
        alone(entry)(Effect.gen(function*() {
          yield* bringDown(entry)
          yield* options.removed(entry.record.id)
          yield* entry.saving(folders.remove(entry.record.id))
          yield* letGo(entry.record.template)
          const { sandboxDeleted } = yield* options.meter.of(entry.record.userId)
          yield* sandboxDeleted(entry.record.id)
        }))
      )
    })

  // ---- what ends at a time ------------------------------------------------------------------------------------------

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
      (entry) => options.directory.persistent ? alone(entry)(bringDown(entry)) : removeEntry(entry),
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

  // ---- operations ---------------------------------------------------------------------------------------------------

  const requireRoom = (
    userId: string,
    { config, id }: SandboxTemplate,
    more: number
  ): Effect.Effect<void, SandboxError> =>
    Effect.suspend(() => {
      if (config.maxInstances === undefined) return Effect.void
      const others = entries.of(userId).filter(({ record }) => record.template.id === id)
      return others.length + more > config.maxInstances
        ? Effect.fail(
          new SandboxError({
            code: "quota_exceeded",
            message: `The template "${id}" allows ${config.maxInstances} sandboxes at a time (maxInstances), and ` +
              "there are that many. Delete one first."
          })
        )
        : Effect.void
    })

  /** A sandbox that is new, with its files and its record, and not yet started. Also when this fails it is among `made`. */
  const draft = (
    userId: string,
    id: string,
    createOptions: CreateSandboxOptions,
    template: SandboxTemplate
  ): SandboxRecord => {
    const now = clock.unsafeCurrentTimeMillis()
    return {
      id,
      userId,
      options: createOptions,
      template,
      createdAt: now,
      updatedAt: now,
      ...(createOptions.expiryTime === undefined ? {} : { expiresAt: now + createOptions.expiryTime })
    }
  }

  const make = Effect.fnUntraced(function*<E>(
    made: Array<Entry>,
    userId: string,
    createOptions: CreateSandboxOptions,
    template: SandboxTemplate,
    fill: (workspace: string, limits: Resources.Limits) => Effect.Effect<void, E>
  ) {
    const record = draft(userId, yield* makeId("sbx"), createOptions, template)
    yield* Effect.annotateCurrentSpan({ sandboxId: record.id, templateId: template.id })
    yield* hold(template)
    const entry = add(record)
    made.push(entry)
    yield* folders.create(record, (path) => fill(path, entry.limits))
    return entry
  })

  const pool = yield* Pool.make({
    start: Effect.fnUntraced(function*({ limits, template }, { id, owner, scope }) {
      const isolation = yield* ofTemplate(machine, template)
      yield* isolation.check
      yield* folders.make(id)
      yield* isolation.makeWorkspace(folders.workspace(id), limits.diskMb, options.directory.persistent)
      return yield* bring({ id, template, limits, network: undefined, env: {}, owner }, scope)
    }),
    remove: folders.remove
  })

  /** One that has been started ahead and is now this user's, if there is such a one. It is among `made` from then on. */
  const adopt = (
    made: Array<Entry>,
    userId: string,
    createOptions: CreateSandboxOptions,
    template: SandboxTemplate
  ): Effect.Effect<Entry | undefined, SandboxError> =>
    Effect.uninterruptible(Effect.gen(function*() {
      if (createOptions.network !== undefined || createOptions.autoStart === false) return undefined
      const warm = yield* pool.take(template, Resources.resolve(createOptions.resources, template.config.resources))
      if (warm === undefined) return undefined
      const { files, gauge, id, live, owner, scope } = warm
      const entry = add(draft(userId, id, createOptions, template))
      made.push(entry)
      entry.lastUse = clock.unsafeCurrentTimeMillis()
      const up = { live, files, gauge, startedAt: entry.lastUse, startCommand: undefined }
      setState(entry, { _tag: "Up", up, scope })
      owner.current = ownerOf(entry, scope)
      if (warm.ended !== undefined) owner.current.onEnd(warm.ended)
      yield* Effect.annotateCurrentSpan({ sandboxId: id, templateId: template.id })
      yield* live.addEnv(createOptions.initialEnvVars ?? {})
      yield* folders.save(entry.record)
      return entry
    }))

  const begin = (entry: Entry) =>
    Effect.gen(function*() {
      if (entry.record.options.autoStart !== false && (entry.state._tag !== "Up" || entry.removed)) {
        yield* alone(entry)(bringUp(entry))
      }
      yield* soonest(deadlineOf(entry))
      const { sandboxCreated } = yield* options.meter.of(entry.record.userId)
      yield* sandboxCreated(entry.record.id)
      return describe(entry)
    })

  const create: Registry["create"] = Effect.fn("Registry.create")(function*(userId, createOptions, template, from) {
    yield* requireRoom(userId, template, 1)
    const isolation = yield* ofTemplate(machine, template)
    const made: Array<Entry> = []
    const start = make(made, userId, createOptions, template, (path, { diskMb }) =>
      from === undefined
        ? isolation.makeWorkspace(path, diskMb, options.directory.persistent)
        : copyFiles(isolation, from, path))
    const ahead = from === undefined
      ? adopt(made, userId, createOptions, template)
      : Effect.succeed(undefined)
    return yield* ahead.pipe(
      Effect.flatMap((entry) => entry === undefined ? start : Effect.succeed(entry)),
      Effect.flatMap(begin),
      Effect.onError(() => Effect.forEach(made, removeEntry, { discard: true }))
    )
  })

  /** Also the mark of uploads that never arrived: what there may be of them is in the copy as well. */
  const copyFiles = (isolation: Service, from: string, to: string): Effect.Effect<void, SandboxError> =>
    Effect.zipRight(isolation.copyWorkspace(from, to), Uploads.carryMark(Path.dirname(from), Path.dirname(to)))

  const copying: Registry["copying"] = Effect.fnUntraced(function*(userId, id, use) {
    const entry = yield* find(userId, id)
    const isolation = yield* ofTemplate(machine, entry.record.template)
    const workspace = folders.workspace(id)
    const copy = (to: string) => copyFiles(isolation, workspace, to)
    return yield* use(entry.record, (to) =>
      alone(entry)(Effect.suspend(() => {
        const { state } = entry
        return entry.removed
          ? Effect.fail(notFound(id))
          : state._tag === "Up" || state._tag === "Paused"
          ? state.up.live.pausing.still(copy(to))
          : copy(to)
      })))
  })

  const fork: Registry["fork"] = Effect.fn("Registry.fork")(function*(userId, id, count) {
    const made: Array<Entry> = []
    return yield* copying(userId, id, ({ options: wanted, template }, copy) =>
      Effect.gen(function*() {
        yield* requireRoom(userId, template, count)
        const isolation = yield* ofTemplate(machine, template)
        // Only the first is a copy of the sandbox itself, which is held still meanwhile.
        for (let index = 0; index < count; index++) {
          const [first] = made
          yield* make(made, userId, wanted, template, (path) =>
            first === undefined ? copy(path) : copyFiles(isolation, folders.workspace(first.record.id), path))
        }
        return yield* Effect.forEach(made, begin, { concurrency: 4 })
      })).pipe(
        Effect.onError(() => Effect.forEach(made, removeEntry, { discard: true }))
      )
  })

  /** What is up, or what has ended; nothing when it would have to be started. */
  const present = ({ state }: Entry): Effect.Effect<Up, SandboxError> | undefined => {
    switch (state._tag) {
      case "Up":
        return Effect.succeed(state.up)
      case "Failed":
        // Its own stack for each that it is told to.
        return Effect.fail(new SandboxError({ ...state.error, message: state.error.message }))
      default:
        return undefined
    }
  }

  const reachUp = (entry: Entry): Effect.Effect<Up, SandboxError> =>
    Effect.suspend(() =>
      present(entry) ?? Effect.fail(
        new SandboxError({
          code: "stopped",
          message: entry.state._tag === "Paused"
            ? "The sandbox is paused. Let it go on with resumeSandbox."
            : "The sandbox is stopped. Start it with startSandbox.",
          sandboxId: entry.record.id
        })
      )
    )

  const upOf = (entry: Entry): Effect.Effect<Up, SandboxError> =>
    Effect.suspend(() => {
      const { state } = entry
      const now = present(entry)
      if (now !== undefined) {
        return now
      }
      if (state._tag !== "Starting" && entry.record.options.autoStart === false) {
        const [what, how] = state._tag === "Paused" ? ["paused", "resumeSandbox"] : ["stopped", "startSandbox"]
        return Effect.fail(
          new SandboxError({
            code: "stopped",
            message: `The sandbox is ${what}, and was created with autoStart: false. Let it run with ${how}.`,
            sandboxId: entry.record.id
          })
        )
      }
      return alone(entry)(bringUp(entry))
    })

  const running = (entry: Entry, up = upOf(entry)): Effect.Effect<Running, SandboxError> =>
    Effect.map(up, ({ files, gauge, live }) => {
      const used = Effect.acquireRelease(countUse(entry, 1), () => countUse(entry, -1))
      entry.lastUse = clock.unsafeCurrentTimeMillis()
      return {
        id: entry.record.id,
        template: entry.record.template,
        live,
        limits: entry.limits,
        files: WorkspaceFiles.make({ files, gauge, used }),
        whileBusy: (effect) =>
          Effect.flatMap(countRun(entry, 1), () =>
            Effect.flatMap(
              Effect.exit(effect),
              (exit) => Effect.zipRight(countRun(entry, -1), exit)
            )),
        used
      }
    })

  const countRun = (entry: Entry, change: 1 | -1): Effect.Effect<void> =>
    Effect.suspend(() => {
      entry.activeRuns += change
      touch(entry)
      return countUse(entry, change)
    })

  const countUse = (entry: Entry, change: 1 | -1): Effect.Effect<void> =>
    Effect.suspend(() => {
      entry.uses += change
      entry.lastUse = clock.unsafeCurrentTimeMillis()
      return soonest(deadlineOf(entry))
    })

  return {
    create,
    copying,
    fork,
    get: (userId, id) => Effect.map(find(userId, id), describe),
    list: (userId, { page, pageSize, ...filter }) =>
      Effect.sync(() => {
        const all = entries.of(userId).filter((entry) => matches(entry, filter))
        if (page === undefined && pageSize === undefined) {
          return all.map(describe)
        }
        const size = pageSize ?? DEFAULT_PAGE_SIZE
        const first = ((page ?? 1) - 1) * size
        return all.slice(first, first + size).map(describe)
      }),
    measure: (userId, id) =>
      Effect.flatMap(
        find(userId, id),
        (entry) => Measuring.measure(id, folders.workspace(id), entry.limits, upIn(entry)?.live)
      ),
    usage: Effect.fnUntraced(function*(userId) {
      const own = entries.of(userId)
      const sizes = yield* Effect.forEach(own, ({ record }) => diskUsage(folders.workspace(record.id)), {
        concurrency: 8
      })
      return {
        sandboxes: own.length,
        storageBytes: sizes.reduce((sum, { bytes }) => sum + bytes, 0)
      }
    }),
    start: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      yield* alone(entry)(bringUp(entry))
      return describe(entry)
    }),
    stop: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      yield* Effect.uninterruptible(alone(entry)(bringDown(entry)))
      return describe(entry)
    }),
    pause: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      yield* alone(entry)(stand(entry))
      yield* soonest(deadlineOf(entry))
      return describe(entry)
    }),
    resume: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      yield* alone(entry)(Effect.suspend(() => {
        const { state } = entry
        return state._tag === "Paused"
          ? goOn(entry, state)
          : state._tag === "Up"
          ? Effect.void
          : Effect.fail(isDown(entry, "resume"))
      }))
      return describe(entry)
    }),
    extend: Effect.fnUntraced(function*(userId, id, ms) {
      const entry = yield* find(userId, id)
      yield* entry.saving(Effect.gen(function*() {
        if (entry.removed) {
          return yield* notFound(id)
        }
        const now = yield* Clock.currentTimeMillis
        const record = { ...entry.record, updatedAt: now, expiresAt: now + ms }
        yield* folders.save(record)
        entry.record = { ...entry.record, expiresAt: record.expiresAt }
        touch(entry)
      }))
      yield* soonest(deadlineOf(entry))
      return describe(entry)
    }),
    remove: (userId, id) =>
      find(userId, id).pipe(Effect.flatMap(removeEntry), Effect.catchTag("SandboxError", () => Effect.void)),
    running: (userId, id) => Effect.flatMap(find(userId, id), (entry) => running(entry)),
    reach: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      // One that is about to be up is waited for.
      return yield* running(entry, entry.state._tag === "Starting" ? alone(entry)(reachUp(entry)) : reachUp(entry))
    }),
    keep: pool.keep,
    ahead: (name) => {
      const template = pool.named(name)
      return template === undefined ? Effect.succeed(undefined) : Effect.as(pool.expect, template)
    },
    adopt: (userId, createOptions, template) => {
      const made: Array<Entry> = []
      return requireRoom(userId, template, 1).pipe(
        Effect.zipRight(adopt(made, userId, createOptions, template)),
        Effect.flatMap((entry) => entry === undefined ? Effect.succeed(undefined) : begin(entry)),
        Effect.onError(() => Effect.forEach(made, removeEntry, { discard: true }))
      )
    },
    ofContext: (userId, contextId) =>
      Effect.suspend(() => {
        const entry = entries.of(userId).find((entry) => upIn(entry)?.live.contexts.has(contextId) === true)
        return entry === undefined
          ? Effect.fail(
            new SandboxError({
              code: "context_not_found",
              message: `There is no context "${contextId}". It was never created, or it has been deleted.`,
              field: "contextId"
            })
          )
          : running(entry)
      })
  }
})

const DEFAULT_PAGE_SIZE = 10

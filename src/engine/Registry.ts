/**
 * The sandboxes of an engine: which there are, what each is doing, and when it starts, stops and ends.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Path from "node:path"
import type { Files } from "../agent/Files.js"
import { SandboxError, type SandboxSDKError } from "../Errors.js"
import { Isolation, ofTemplate, type Service } from "../isolation/Isolation.js"
import type { CreateSandboxOptions, ListSandboxesOptions } from "../Options.js"
import type { SandboxInfo } from "../SandboxInfo.js"
import type { SandboxMetrics } from "../SandboxMetrics.js"
import type { SandboxTemplate } from "../Template.js"
import type { UsageData } from "../Usage.js"
import { diskUsage } from "./DiskUsage.js"
import { describe, type Entry, matches, type Up, upIn } from "./Entry.js"
import { makeId } from "./Ids.js"
import * as Lifecycle from "./Lifecycle.js"
import type { LiveSandbox } from "./LiveSandbox.js"
import * as Measuring from "./Measuring.js"
import * as Pool from "./Pool.js"
import * as Resources from "./Resources.js"
import type { SandboxRecord } from "./SandboxRecord.js"
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
 * Makes a registry. When the scope closes all its sandboxes end; where the data directory outlives the engine, they are
 * found again, stopped, by the next one.
 */
export const make = Effect.fn("Registry.make")(function*(
  options: Lifecycle.LifecycleOptions
): Effect.fn.Return<Registry, SandboxError, Isolation | Scope.Scope> {
  const machine = yield* Isolation
  const clock = yield* Effect.clock
  const lifecycle = yield* Lifecycle.make(options)
  const { bringDown, bringUp, entries, find, folders, reconsider } = lifecycle

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
    yield* lifecycle.hold(template)
    const entry = lifecycle.add(record)
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
      return yield* lifecycle.bring({ id, template, limits, network: undefined, env: {}, owner }, scope)
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
      const entry = lifecycle.add(draft(userId, id, createOptions, template))
      made.push(entry)
      entry.lastUse = clock.unsafeCurrentTimeMillis()
      const up = { live, files, gauge, startedAt: entry.lastUse, startCommand: undefined }
      lifecycle.setState(entry, { _tag: "Up", up, scope })
      owner.current = lifecycle.ownerOf(entry, scope)
      if (warm.ended !== undefined) owner.current.onEnd(warm.ended)
      yield* Effect.annotateCurrentSpan({ sandboxId: id, templateId: template.id })
      yield* live.addEnv(createOptions.initialEnvVars ?? {})
      yield* folders.save(entry.record)
      return entry
    }))

  const begin = (entry: Entry) =>
    Effect.gen(function*() {
      if (entry.record.options.autoStart !== false && (entry.state._tag !== "Up" || entry.removed)) {
        yield* entry.transition(bringUp(entry))
      }
      yield* reconsider(entry)
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
      Effect.onError(() => Effect.forEach(made, lifecycle.remove, { discard: true }))
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
      entry.transition(Effect.suspend(() => {
        const { state } = entry
        return entry.removed
          ? Effect.fail(Lifecycle.notFound(id))
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
        Effect.onError(() => Effect.forEach(made, lifecycle.remove, { discard: true }))
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
      return entry.transition(bringUp(entry))
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
      lifecycle.touch(entry)
      return countUse(entry, change)
    })

  const countUse = (entry: Entry, change: 1 | -1): Effect.Effect<void> =>
    Effect.suspend(() => {
      entry.uses += change
      entry.lastUse = clock.unsafeCurrentTimeMillis()
      return reconsider(entry)
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
      yield* entry.transition(bringUp(entry))
      return describe(entry)
    }),
    stop: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      yield* Effect.uninterruptible(entry.transition(bringDown(entry)))
      return describe(entry)
    }),
    pause: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      yield* entry.transition(lifecycle.pause(entry))
      yield* reconsider(entry)
      return describe(entry)
    }),
    resume: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      yield* entry.transition(lifecycle.resume(entry))
      return describe(entry)
    }),
    extend: Effect.fnUntraced(function*(userId, id, ms) {
      const entry = yield* find(userId, id)
      yield* entry.saving(Effect.gen(function*() {
        if (entry.removed) {
          return yield* Lifecycle.notFound(id)
        }
        const now = yield* Clock.currentTimeMillis
        const record = { ...entry.record, updatedAt: now, expiresAt: now + ms }
        yield* folders.save(record)
        entry.record = { ...entry.record, expiresAt: record.expiresAt }
        lifecycle.touch(entry)
      }))
      yield* reconsider(entry)
      return describe(entry)
    }),
    remove: (userId, id) =>
      find(userId, id).pipe(Effect.flatMap(lifecycle.remove), Effect.catchTag("SandboxError", () => Effect.void)),
    running: (userId, id) => Effect.flatMap(find(userId, id), (entry) => running(entry)),
    reach: Effect.fnUntraced(function*(userId, id) {
      const entry = yield* find(userId, id)
      // One that is about to be up is waited for.
      return yield* running(entry, entry.state._tag === "Starting" ? entry.transition(reachUp(entry)) : reachUp(entry))
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
        Effect.onError(() => Effect.forEach(made, lifecycle.remove, { discard: true }))
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

/**
 * The sandboxes of an engine: which there are, and what each is doing.
 */
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import { SandboxError } from "../Errors.js"
import type { LaunchOptions } from "../isolation/Isolation.js"
import { Isolation } from "../isolation/Isolation.js"
import type { CreateSandboxOptions, ListSandboxesOptions } from "../Options.js"
import type { SandboxInfo, SandboxStatus } from "../SandboxInfo.js"
import type { SandboxTemplate } from "../Template.js"
import type { DataDirectory } from "./DataDirectory.js"
import { makeId } from "./Ids.js"
import type { LiveSandbox } from "./LiveSandbox.js"
import * as Live from "./LiveSandbox.js"

/**
 * A sandbox that is up, and what it was made from.
 */
export interface Running {
  readonly id: string
  readonly template: SandboxTemplate
  readonly live: LiveSandbox
  /** Counts as running for as long as the scope is open. */
  readonly busy: Effect.Effect<void, never, Scope.Scope>
}

/**
 * The sandboxes of an engine.
 */
export interface Registry {
  readonly create: (
    options: CreateSandboxOptions,
    template: SandboxTemplate,
    resources: LaunchOptions["resources"]
  ) => Effect.Effect<SandboxInfo, SandboxError>
  readonly get: (id: string) => Effect.Effect<SandboxInfo, SandboxError>
  readonly list: (options: ListSandboxesOptions) => Effect.Effect<ReadonlyArray<SandboxInfo>>
  readonly remove: (id: string) => Effect.Effect<void>
  /** Fails with `not_found`, or with the error by which it ended. */
  readonly running: (id: string) => Effect.Effect<Running, SandboxError>
  /** The sandbox that a context belongs to. Fails with `context_not_found`. */
  readonly ofContext: (contextId: string) => Effect.Effect<Running, SandboxError>
}

/**
 * How every sandbox of an engine is made.
 */
export interface RegistryOptions {
  readonly directory: DataDirectory
  readonly interruptGrace: Duration.Duration
}

interface Entry {
  readonly id: string
  readonly options: CreateSandboxOptions
  readonly template: SandboxTemplate
  readonly createdAt: number
  readonly scope: Scope.CloseableScope
  live: LiveSandbox | undefined
  ended: SandboxError | undefined
  activeRuns: number
  updatedAt: number
}

const WORKSPACE = "/workspace"
const LOCAL_USER = "local"

const baseEnvironment: Readonly<Record<string, string>> = {
  PATH: `${WORKSPACE}/.local/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
  HOME: WORKSPACE,
  USER: "user",
  LOGNAME: "user",
  SHELL: "/bin/bash",
  LANG: "C.UTF-8",
  TERM: "dumb"
}

const statusOf = (entry: Entry): SandboxStatus =>
  entry.ended !== undefined
    ? "error"
    : entry.live === undefined
    ? "creating"
    : entry.activeRuns > 0
    ? "running"
    : "ready"

const describe = (entry: Entry): SandboxInfo => ({
  id: entry.id,
  userId: LOCAL_USER,
  ...(entry.options.name === undefined ? {} : { name: entry.options.name }),
  templateId: entry.template.id,
  templateConfig: entry.template.config,
  status: statusOf(entry),
  createdAt: entry.createdAt,
  updatedAt: entry.updatedAt,
  ...(entry.options.metadata === undefined ? {} : { metadata: entry.options.metadata })
})

const matches = (entry: Entry, options: ListSandboxesOptions): boolean =>
  (options.status === undefined || options.status === statusOf(entry)) &&
  Object.entries(options.metadata ?? {}).every(([key, value]) => entry.options.metadata?.[key] === value)

/**
 * Makes a registry. All its sandboxes end when the scope closes.
 */
export const make = Effect.fn("Registry.make")(function*(
  options: RegistryOptions
): Effect.fn.Return<Registry, never, Isolation | Scope.Scope> {
  const isolation = yield* Isolation
  const clock = yield* Effect.clock
  const entries = new Map<string, Entry>()

  const notFound = (id: string) =>
    new SandboxError({
      code: "not_found",
      message: `There is no sandbox "${id}". It was never created, or it has been deleted.`,
      sandboxId: id
    })

  const find = (id: string): Effect.Effect<Entry, SandboxError> =>
    Effect.suspend(() => {
      const entry = entries.get(id)
      return entry === undefined ? Effect.fail(notFound(id)) : Effect.succeed(entry)
    })

  const touch = (entry: Entry): void => {
    entry.updatedAt = clock.unsafeCurrentTimeMillis()
  }

  const bringUp = Effect.fnUntraced(function*(entry: Entry, resources: LaunchOptions["resources"]) {
    const folder = yield* options.directory.sandbox(entry.id)
    const workspace = `${folder}${WORKSPACE}`
    yield* isolation.makeWorkspace(workspace)
    entry.live = yield* Live.launch({
      sandboxId: entry.id,
      workspace,
      agentDirectory: options.directory.agent,
      resources,
      env: { ...baseEnvironment, ...entry.template.config.defaultEnvVars, ...entry.options.initialEnvVars },
      cwd: WORKSPACE,
      interruptGrace: options.interruptGrace,
      onEnd: (error) => {
        entry.ended = error
        touch(entry)
      }
    })
    touch(entry)
    return describe(entry)
  })

  const close = (entry: Entry) =>
    Effect.suspend(() => {
      entries.delete(entry.id)
      return Scope.close(entry.scope, Exit.void)
    })

  const create: Registry["create"] = Effect.fn("Registry.create")(function*(createOptions, template, resources) {
    const now = yield* Clock.currentTimeMillis
    const entry: Entry = {
      id: yield* makeId("sbx"),
      options: createOptions,
      template,
      createdAt: now,
      scope: yield* Scope.make(),
      live: undefined,
      ended: undefined,
      activeRuns: 0,
      updatedAt: now
    }
    yield* Effect.annotateCurrentSpan({ sandboxId: entry.id, templateId: template.id })
    entries.set(entry.id, entry)
    return yield* bringUp(entry, resources).pipe(
      Effect.provideService(Isolation, isolation),
      Scope.extend(entry.scope),
      Effect.onExit((exit) => Exit.isSuccess(exit) ? Effect.void : close(entry))
    )
  })

  const running = (entry: Entry): Effect.Effect<Running, SandboxError> => {
    if (entry.ended !== undefined) {
      return Effect.fail(new SandboxError({ ...entry.ended, message: entry.ended.message }))
    }
    return entry.live === undefined
      ? Effect.fail(
        new SandboxError({ code: "stopped", message: "The sandbox is not up yet.", sandboxId: entry.id })
      )
      : Effect.succeed({
        id: entry.id,
        template: entry.template,
        live: entry.live,
        busy: Effect.acquireRelease(
          Effect.sync(() => {
            entry.activeRuns += 1
            touch(entry)
          }),
          () =>
            Effect.sync(() => {
              entry.activeRuns -= 1
              touch(entry)
            })
        )
      })
  }

  yield* Effect.addFinalizer(() => Effect.forEach([...entries.values()], close, { concurrency: 16, discard: true }))

  return {
    create,
    get: (id) => Effect.map(find(id), describe),
    list: (listOptions) =>
      Effect.sync(() => {
        const all = [...entries.values()].filter((entry) => matches(entry, listOptions)).map(describe)
        const { page = 1, pageSize = all.length } = listOptions
        return listOptions.page === undefined && listOptions.pageSize === undefined
          ? all
          : all.slice((page - 1) * pageSize, page * pageSize)
      }),
    remove: (id) =>
      Effect.suspend(() => {
        const entry = entries.get(id)
        return entry === undefined ? Effect.void : Effect.uninterruptible(close(entry))
      }),
    running: (id) => Effect.flatMap(find(id), running),
    ofContext: (contextId) =>
      Effect.suspend(() => {
        const entry = [...entries.values()].find((entry) => entry.live?.contexts.has(contextId) === true)
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

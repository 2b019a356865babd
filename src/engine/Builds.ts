/**
 * Builds: what templates install is installed once, in a sandbox of its own, and kept as a layer that all sandboxes of
 * them share. Who asks for the same again, even at the same time, gets the same build.
 *
 * A build stays for as long as somebody holds it: the templates that it was made for, and the sandboxes that were made
 * from these.
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { createHash } from "node:crypto"
import * as Fs from "node:fs/promises"
import * as Path from "node:path"
import type { RequestError } from "../Errors.js"
import { SandboxError } from "../Errors.js"
import { Isolation, ofTemplate } from "../isolation/Isolation.js"
import type { Runtime } from "../isolation/Runtimes.js"
import type { Network } from "../Options.js"
import type { TemplateConfig } from "../Template.js"
import { BuildError, type BuildEvent, type TemplateBuild } from "../TemplateBuild.js"
import { type BuildLog, decodeLog, encodeLog, makeBuildLog } from "./BuildLog.js"
import * as DiskWatch from "./DiskWatch.js"
import type { Executions } from "./Executions.js"
import { makeId } from "./Ids.js"
import * as Install from "./Install.js"
import type { Launcher, Launching } from "./Launcher.js"
import * as Layers from "./Layers.js"
import { makeRecordFolders } from "./RecordFolders.js"
import * as Resources from "./Resources.js"
import { workspaceIn } from "./SandboxRecord.js"

const Id = Schema.String.pipe(Schema.pattern(/^bld_[a-z2-7]{20}$/))

const BuildRecord = Schema.Struct({
  id: Id,
  userId: Schema.String,
  key: Schema.String,
  startedAt: Schema.Number,
  endedAt: Schema.Number,
  outcome: Schema.Union(
    Schema.Struct({ status: Schema.Literal("ready"), sizeBytes: Schema.Number }),
    Schema.Struct({ status: Schema.Literal("failed"), error: BuildError })
  )
})

type Outcome = typeof BuildRecord.Type["outcome"]

interface Build {
  readonly id: string
  readonly userId: string
  readonly key: string
  readonly startedAt: number
  readonly log: BuildLog
  readonly ended: Deferred.Deferred<Outcome>
  endedAt: number | undefined
  outcome: Outcome | undefined
  /** How many hold it. */
  holders: number
  fiber: Fiber.RuntimeFiber<void> | undefined
  wasRemoved: boolean
}

/**
 * What is to be installed. `runtime` is the interpreter of the template's language; an image may have none.
 */
export interface BuildRequest {
  readonly config: TemplateConfig
  readonly runtime: Runtime | undefined
}

/**
 * The builds of an engine.
 */
export interface Builds {
  /** Begins a build, unless there is one for the same; holds it, and gives its id. */
  readonly begin: (userId: string, request: BuildRequest) => Effect.Effect<string>
  /** Holds a build. Gives whether it is there. */
  readonly hold: (id: string) => boolean
  /** Lets go of a build. When nobody holds it any more it is ended, and removed. */
  readonly release: (id: string) => Effect.Effect<void>
  /** The build as it is now; one that is not there has failed, because its engine ended. */
  readonly describe: (id: string) => TemplateBuild
  /** Waits for the end of a build. Fails with what it failed with. */
  readonly ready: (id: string) => Effect.Effect<void, SandboxError>
  /** Host path of its layer. */
  readonly layer: (id: string) => string
  readonly follow: (id: string, after?: number) => Stream.Stream<BuildEvent>
  /** What the layers of a user take, in bytes. */
  readonly usage: (userId: string) => number
  /** Removes the builds that nobody holds: to be called when all who hold some have been found again. */
  readonly sweep: Effect.Effect<void>
}

/**
 * What builds need of their engine.
 */
export interface BuildsOptions {
  /** Holds a folder for each build. */
  readonly directory: string
  readonly executions: Executions
  readonly launch: Launcher
  readonly network: Network
}

/** How long a build may take. */
const TIMEOUT = Duration.minutes(30)

/** What a build may use at least: compilers and package managers need more than most programs. */
const LEAST = { memoryMb: 2048, cpus: 2, processes: 512 }

/** A higher number makes all layers be built anew. */
const FORMAT = 1

/** How many characters of the log a message has. */
const MESSAGE_TAIL = 1_500

const unwanted = "The build was ended, because its template was deleted."

const lost = "The engine ended before the build did. Create the template again."

/**
 * What a build depends on. A user never gets what another's commands have left.
 */
const keyOf = (userId: string, { config, runtime }: BuildRequest): string => {
  const { defaultEnvVars = {}, dependencies = [], dockerImage = "", installCommand = "", language, resources = {} } =
    config
  const env = Object.entries(defaultEnvVars).sort(([a], [b]) => a < b ? -1 : 1)
  const disk = resources.diskMb ?? 0
  const base = [dockerImage, language, runtime?.path ?? "", runtime?.version ?? ""]
  const parts = [FORMAT, userId, base, dependencies, installCommand, env, disk]
  return createHash("sha256").update(JSON.stringify(parts)).digest("hex")
}

const limitsOf = ({ resources }: TemplateConfig): Resources.Limits => {
  const { cpus, memoryMb, processes, ...others } = Resources.resolve(resources)
  return {
    ...others,
    memoryMb: Math.max(memoryMb, LEAST.memoryMb),
    cpus: Math.max(cpus, LEAST.cpus),
    processes: Math.max(processes, LEAST.processes),
    fileSizeMb: others.diskMb,
    runTimeMs: Infinity,
    idleTimeMs: Infinity
  }
}

const isOfMachine = (code: SandboxError["code"]): boolean => code === "isolation_unavailable" || code === "start_failed"

/** The end of a log, from the beginning of a line. */
const endOf = (log: string): string => {
  const text = log.trimEnd()
  return text.length <= MESSAGE_TAIL ? text : text.slice(-MESSAGE_TAIL).replace(/^[^\n]*\n/, "")
}

/**
 * Makes them: finds those that an engine has left in the folder, and ends those that are under way when the scope closes.
 */
export const make = Effect.fn("Builds.make")(function*(
  options: BuildsOptions
): Effect.fn.Return<Builds, SandboxError, Isolation | Scope.Scope> {
  const machine = yield* Isolation
  const scope = yield* Effect.scope
  const disks = yield* DiskWatch.make(options.directory)
  const folders = makeRecordFolders({
    directory: options.directory,
    what: "build",
    file: "build.json",
    schema: BuildRecord,
    isId: Schema.is(Id)
  })
  const builds = new Map<string, Build>()
  /** Those that can be had for the same again. */
  const byKey = new Map<string, Build>()

  const logFile = (id: string) => Path.join(folders.folder(id), "log.json")
  const layer = (id: string) => Path.join(folders.folder(id), "layer")

  for (const { endedAt, id, key, outcome, startedAt, userId } of yield* folders.load) {
    const text = yield* Effect.promise(() => Fs.readFile(logFile(id), "utf8").catch(() => ""))
    const log = makeBuildLog(Option.getOrElse(decodeLog(text), () => []))
    const ended = yield* Deferred.make<Outcome>()
    yield* Deferred.succeed(ended, outcome)
    const build = {
      id,
      userId,
      key,
      startedAt,
      log,
      ended,
      endedAt,
      outcome,
      holders: 0,
      fiber: undefined,
      wasRemoved: false
    }
    builds.set(id, build)
    if (outcome.status === "ready") byKey.set(key, build)
  }

  // ---- one build ----------------------------------------------------------------------------------------------------

  /** Runs the commands one after the other. What they write goes to the log as it comes. */
  const install = Effect.fnUntraced(function*(
    build: Build,
    { config, runtime }: BuildRequest,
    source: string,
    launching: Pick<Launching, "isolation" | "workspace" | "opening">
  ) {
    const { isolation } = launching
    const inside = isolation.layerPath(source)
    const { live } = yield* options.launch({
      ...launching,
      sandboxId: build.id,
      userId: () => build.userId,
      language: config.language,
      version: runtime?.version ?? config.version,
      network: isolation.ownNetwork ? options.network : undefined,
      layer: { source, writable: true },
      env: { ...Install.buildEnvironment(inside, isolation.ownNetwork), ...config.defaultEnvVars },
      limits: limitsOf(config),
      disks,
      onEnd: () => {},
      onExcess: (live, error) => Effect.sync(() => void live.haltRuns(error))
    })
    for (const { command, field } of Install.stepsOf(config, runtime?.path ?? config.language, inside)) {
      build.log.add({ _tag: "BuildStep", command, timestamp: yield* Clock.currentTimeMillis })
      let exitCode: number | undefined
      yield* options.executions.run(
        { userId: build.userId, sandboxId: build.id, kind: "terminal" },
        (journal) =>
          live.runCommand(
            { command, cwd: inside, env: {}, merge: false },
            { timeoutMs: Duration.toMillis(TIMEOUT), maxOutputSize: Infinity },
            journal
          )
      ).pipe(
        Effect.flatMap(({ stream }) =>
          Stream.runForEach(stream, (event) =>
            Effect.map(Clock.currentTimeMillis, (timestamp) => {
              if (event._tag === "Stdout" || event._tag === "Stderr") {
                const stream = event._tag === "Stdout" ? "stdout" as const : "stderr" as const
                build.log.add({ _tag: "BuildOutput", stream, text: event.text, timestamp })
              } else if (event._tag === "Ended") {
                exitCode = event.exitCode
              }
            }))
        ),
        Effect.scoped
      )
      if (exitCode !== 0) {
        return yield* new SandboxError({
          code: "build_failed",
          field,
          message: `"${command}" ended with status ${exitCode ?? "unknown"}.`
        })
      }
    }
  })

  const carryOut = Effect.fn("Builds.build")(
    function*(build: Build, request: BuildRequest) {
      const isolation = yield* ofTemplate(machine, request)
      yield* isolation.check
      const folder = folders.folder(build.id)
      const workspace = workspaceIn(folder)
      const source = Path.join(workspace, "layer")
      yield* isolation.makeWorkspace(workspace, limitsOf(request.config).diskMb)
      return yield* Effect.scoped(Effect.gen(function*() {
        const opening = Effect.succeed(yield* isolation.openWorkspace(workspace))
        yield* Layers.prepare(source)
        // Everything in it has ended before anything is looked at.
        yield* Effect.scoped(install(build, request, source, { isolation, workspace, opening }))
        return yield* Layers.capture(source, layer(build.id))
      })).pipe(
        Effect.ensuring(Effect.promise(() =>
          Promise.all([
            Fs.rm(workspace, { recursive: true, force: true }),
            Fs.rm(`${workspace}.img`, { force: true })
          ]).catch(() => undefined)
        ))
      )
    },
    Effect.timeoutFail({
      duration: TIMEOUT,
      onTimeout: () =>
        new SandboxError({
          code: "build_failed",
          message: `The build took longer than ${Duration.toMinutes(TIMEOUT)} minutes, and was ended.`
        })
    })
  )

  /** What it failed with, with the end of the log. */
  const failureOf = (build: Build, error: RequestError): BuildError => {
    const log = build.log.tail()
    const hint = Install.hintOf(log)
    const said = endOf(log)
    return {
      // What says that nothing can be built on this machine keeps its own code.
      code: error._tag === "SandboxError" && isOfMachine(error.code) ? error.code : "build_failed",
      message: error.message + (hint === undefined ? "" : ` ${hint}`) +
        (said === "" ? "" : ` The end of its log:\n${said}`),
      ...("field" in error && error.field !== undefined ? { field: error.field } : {})
    }
  }

  const outcomeOf = (build: Build, exit: Exit.Exit<number, RequestError>): Outcome =>
    Exit.match(exit, {
      onSuccess: (sizeBytes) => ({ status: "ready", sizeBytes }),
      onFailure: (cause) => ({
        status: "failed",
        error: Option.match(Cause.failureOption(cause), {
          onSome: (error) => failureOf(build, error),
          onNone: () => ({
            code: "build_failed",
            message: Cause.isInterruptedOnly(cause) ? build.wasRemoved ? unwanted : lost : Cause.pretty(cause)
          })
        })
      })
    })

  const end = Effect.fnUntraced(function*(build: Build, exit: Exit.Exit<number, RequestError>) {
    const now = yield* Clock.currentTimeMillis
    const outcome = outcomeOf(build, exit)
    const dropped = build.log.dropped()
    build.endedAt = now
    build.outcome = outcome
    if (outcome.status === "failed" && byKey.get(build.key) === build) byKey.delete(build.key)
    build.log.add({
      _tag: "BuildEnded",
      status: outcome.status,
      duration: now - build.startedAt,
      ...(outcome.status === "ready" ? { sizeBytes: outcome.sizeBytes } : { error: outcome.error }),
      ...(dropped === 0 ? {} : { dropped }),
      timestamp: now
    })
    const { id, key, startedAt, userId } = build
    // Nothing is to be found of what was interrupted: by who removes it, or by the end of the engine.
    yield* Exit.isInterrupted(exit)
      ? folders.remove(id)
      : Effect.promise(() => Fs.writeFile(logFile(id), encodeLog(build.log.events()), { mode: 0o600 })).pipe(
        Effect.zipRight(folders.save({ id, userId, key, startedAt, endedAt: now, outcome })),
        Effect.catchAllCause((cause) => Effect.logWarning("The record of a build could not be written", cause))
      )
    yield* Deferred.succeed(build.ended, outcome)
  })

  const run = (build: Build, request: BuildRequest): Effect.Effect<void> =>
    Effect.gen(function*() {
      build.log.add({ _tag: "BuildStarted", buildId: build.id, timestamp: build.startedAt })
      yield* folders.make(build.id)
      return yield* carryOut(build, request)
    }).pipe(
      Effect.annotateLogs({ buildId: build.id }),
      Effect.onExit((exit) => end(build, exit)),
      Effect.exit,
      Effect.asVoid
    )

  // ---- all of them --------------------------------------------------------------------------------------------------

  const remove = (build: Build): Effect.Effect<void> =>
    Effect.gen(function*() {
      builds.delete(build.id)
      if (byKey.get(build.key) === build) byKey.delete(build.key)
      build.wasRemoved = true
      if (build.fiber !== undefined) yield* Fiber.interrupt(build.fiber)
      // It may not have begun yet.
      if (build.outcome === undefined) yield* end(build, Exit.interrupt(FiberId.none))
      yield* folders.remove(build.id)
    })

  const failure = (outcome: Outcome): Effect.Effect<void, SandboxError> =>
    outcome.status === "ready" ? Effect.void : Effect.fail(new SandboxError(outcome.error))

  return {
    begin: Effect.fnUntraced(function*(userId, request) {
      const id = yield* makeId("bld")
      const startedAt = yield* Clock.currentTimeMillis
      const ended = yield* Deferred.make<Outcome>()
      const key = keyOf(userId, request)
      const known = byKey.get(key)
      if (known !== undefined) {
        known.holders += 1
        return known.id
      }
      const build: Build = {
        ...{ id, userId, key, startedAt, ended },
        log: makeBuildLog(),
        endedAt: undefined,
        outcome: undefined,
        holders: 1,
        fiber: undefined,
        wasRemoved: false
      }
      builds.set(id, build)
      byKey.set(key, build)
      build.fiber = yield* Effect.forkIn(Effect.interruptible(run(build, request)), scope)
      return id
    }, Effect.uninterruptible),
    hold: (id) => {
      const build = builds.get(id)
      if (build === undefined) return false
      build.holders += 1
      return true
    },
    release: (id) =>
      Effect.suspend(() => {
        const build = builds.get(id)
        if (build === undefined) return Effect.void
        build.holders -= 1
        return build.holders > 0 ? Effect.void : Effect.uninterruptible(remove(build))
      }),
    describe: (id) => {
      const build = builds.get(id)
      if (build === undefined) {
        return { id, status: "failed", startedAt: 0, error: { code: "build_failed", message: lost } }
      }
      const { endedAt, outcome, startedAt } = build
      return {
        id,
        status: outcome?.status ?? "building",
        startedAt,
        ...(endedAt === undefined ? {} : { endedAt }),
        ...(outcome === undefined ? {} : outcome.status === "ready"
          ? { sizeBytes: outcome.sizeBytes }
          : { error: outcome.error })
      }
    },
    ready: (id) =>
      Effect.suspend(() => {
        const build = builds.get(id)
        return build === undefined
          ? Effect.fail(new SandboxError({ code: "build_failed", message: lost }))
          : Effect.flatMap(Deferred.await(build.ended), failure)
      }),
    layer,
    follow: (id, after) => Stream.suspend(() => builds.get(id)?.log.follow(after) ?? Stream.empty),
    usage: (userId) =>
      [...builds.values()].reduce(
        (sum, { outcome, userId: owner }) =>
          owner === userId && outcome?.status === "ready" ? sum + outcome.sizeBytes : sum,
        0
      ),
    sweep: Effect.suspend(() =>
      Effect.forEach([...builds.values()].filter(({ holders }) => holders === 0), remove, { discard: true })
    )
  }
})

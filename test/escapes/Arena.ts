/**
 * Where attempts are made: a service, a host with something to reach, a neighbour, and a sandbox to get out of.
 */
import { Cause, Context, Deferred, Effect, Fiber, Layer, Option, Ref, type Scope } from "effect"
import { randomUUID } from "node:crypto"
import type { Language } from "../../src/CodeContext.js"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import type { Network } from "../../src/Options.js"
import { SandboxSDK, type Service } from "../../src/SandboxSDK.js"
import { type Attempt, escaped, judge, type Limit, type Resources, unclear, type Verdict } from "./Attempt.js"
import * as Host from "./Host.js"
import * as Neighbour from "./Neighbour.js"
import bashPrelude from "./prelude.bash?asset"
import javascriptPrelude from "./prelude.js?asset"
import pythonPrelude from "./prelude.py?asset"

/**
 * What an attempt gets.
 */
export interface Arena {
  readonly sdk: Service
  readonly host: Host.Host
  readonly neighbour: Neighbour.Neighbour
  /** The sandbox to get out of. */
  readonly sandboxId: string
  /** Runs a program in an interpreter of its own, and gives all that it said, and how it failed. */
  readonly run: (language: Language, code: string, timeoutMs?: number) => Effect.Effect<string, AnySandboxSDKError>
  /** The same, judged by what it said. */
  readonly judged: (language: Language, code: string, timeoutMs?: number) => Effect.Effect<Verdict, AnySandboxSDKError>
  /** A program as it is run, with all that stands before it: to be started as one that goes on by itself. */
  readonly program: (language: Language, code: string) => string
  /** The same place, with another sandbox to get out of. */
  readonly in: (sandboxId: string) => Arena
  /** The command line, as one file. */
  readonly cli: Effect.Effect<string>
  /** A further sandbox, for as long as the scope lives. */
  readonly another: (
    resources?: Resources,
    variables?: Readonly<Record<string, string>>,
    network?: Network
  ) => Effect.Effect<string, AnySandboxSDKError, Scope.Scope>
}

/**
 * What came of an attempt.
 */
export interface Outcome {
  readonly id: string
  readonly outcome: Verdict["outcome"] | "soft"
  readonly how: string
  readonly ms: number
}

/**
 * How the suite is run.
 */
export interface Options {
  /** Makes the command line as one file; it is made once. */
  readonly cli: Effect.Effect<string>
  /** The limits that this isolation, on this host, only watches. */
  readonly soft?: Effect.Effect<ReadonlyArray<Limit>>
  /**
   * Whether sandboxes have a Python only as a program and none to run code by: then what is written in it is run as a
   * command, and what needs more than that is not made.
   */
  readonly pythonAsCommand?: boolean
}

/**
 * Makes attempts, one at a time.
 */
export interface Attempts {
  readonly make: (attempt: Attempt) => Effect.Effect<Outcome>
}

/** Why an attempt is not made where the agent has not what it is about. */
const ABOUT = {
  "interpreter": "there is no interpreter for Python",
  "first process": "the agent is not the first process: code can end its own sandbox, and is told so",
  "terminal": "the agent has no terminals"
} as const

/** Enough for every attempt that does not ask for less. */
const SHARED: Resources = { memoryMb: 512, cpus: 1, processes: 128, tmpMb: 32, fileSizeMb: 64 }

/** What a sandbox of its own has, where the attempt does not say otherwise. */
const ALONE: Resources = { memoryMb: 128, cpus: 1, processes: 32, tmpMb: 16, fileSizeMb: 32 }

const RUN_MS = 30_000

const withPrelude = (language: Language, told: object, code: string): string => {
  const facts = JSON.stringify(told)
  switch (language) {
    case "python":
      return `${pythonPrelude}\nH = json.loads(${JSON.stringify(facts)})\n${code}`
    case "bash":
      return `${bashPrelude}\nH=${`'${facts.replaceAll("'", "'\\''")}'`}\n${code}`
    case "javascript":
    case "typescript":
      return `${javascriptPrelude}\nvar H = ${facts}\n${code}`
  }
}

/** An error in words, with the output up to there. */
const tell = (error: AnySandboxSDKError): string => {
  const before = "execution" in error && error.execution !== undefined
    ? [...error.execution.logs.stdout, ...error.execution.logs.stderr].join("")
    : ""
  const traceback = error._tag === "ExecutionError" ? `${error.traceback}\n` : ""
  return `${before}\n${traceback}${error.message}`
}

/** A program in Python run as a command, in place of the shell. */
const runAsCommand = (sdk: Service, sandboxId: string, code: string, timeoutMs: number) =>
  Effect.gen(function*() {
    const name = `/workspace/.attempt-${randomUUID()}.py`
    yield* sdk.writeFile(sandboxId, name, code)
    return yield* sdk.runTerminal(sandboxId, `exec python3 -I ${name}`, { timeoutMs })
  })

const make = Effect.fnUntraced(function*(options: Options) {
  const sdk = yield* SandboxSDK
  const host = yield* Host.make
  const neighbour = yield* Neighbour.make(sdk, options.pythonAsCommand)
  const soft = yield* (options.soft ?? Effect.succeed([]))
  const cli = yield* Effect.cached(options.cli)
  const secrets = [...host.secrets, neighbour.secret]
  const told = { ...host.told, neighbour: neighbour.told }

  const another: Arena["another"] = (resources = {}, initialEnvVars = {}, network = "none") =>
    Effect.map(
      Effect.acquireRelease(
        sdk.createSandbox({ templateId: "python", resources: { ...ALONE, ...resources }, initialEnvVars, network }),
        ({ sandbox }) => Effect.ignore(sdk.deleteSandbox(sandbox.id))
      ),
      ({ sandbox }) => sandbox.id
    )

  const runIn = (sandboxId: string): Arena["run"] => (language, code, timeoutMs = RUN_MS) =>
    language === "python" && options.pythonAsCommand === true
      ? Effect.catchAll(
        runAsCommand(sdk, sandboxId, withPrelude(language, told, code), timeoutMs),
        (error) => Effect.succeed(tell(error))
      )
      : Effect.acquireUseRelease(
        sdk.createCodeContext(sandboxId, { language }),
        ({ id }) =>
          sdk.runCode(sandboxId, withPrelude(language, told, code), { contextId: id, timeoutMs }).pipe(
            Effect.map(({ execution }) =>
              [...execution.logs.stdout, ...execution.logs.stderr, execution.text].join("")
            ),
            Effect.catchAll((error) => Effect.succeed(tell(error)))
          ),
        ({ id }) => Effect.ignore(sdk.deleteCodeContext(id))
      )

  const arena = (sandboxId: string): Arena => {
    const run = runIn(sandboxId)
    const judged: Arena["judged"] = (language, code, timeoutMs) =>
      Effect.map(run(language, code, timeoutMs), (said) => {
        const stolen = secrets.find((secret) => said.includes(secret))
        return stolen === undefined ? judge(said) : escaped(`it printed a secret: ${said.slice(0, 200)}`)
      })
    const program: Arena["program"] = (language, code) => withPrelude(language, told, code)
    return { sdk, host, neighbour, sandboxId, run, program, judged, cli, another, in: arena }
  }

  const shared = yield* Ref.make("")
  /** The sandbox of the attempts that do no harm; another one if somebody has ended it after all. */
  const sharedId = Effect.gen(function*() {
    const id = yield* Ref.get(shared)
    if (id !== "") {
      const status = yield* Effect.orElseSucceed(sdk.getSandboxStatus(id), () => "error" as const)
      if (status === "ready" || status === "running") return id
    }
    const { sandbox } = yield* sdk.createSandbox({ templateId: "python", resources: SHARED })
    yield* Ref.set(shared, sandbox.id)
    return sandbox.id
  })

  const attemptIt = (attempt: Attempt) =>
    Effect.gen(function*() {
      const id = yield* attempt.alone === undefined ? sharedId : another(attempt.alone)
      return yield* attempt.make(arena(id))
    }).pipe(
      Effect.scoped,
      Effect.catchAll((error) =>
        Effect.succeed(
          "code" in error && (error.code === "unsupported" ||
              (options.pythonAsCommand === true && error.code === "language_unavailable"))
            ? { outcome: "not made" as const, how: error.message }
            : unclear(`it could not be made: ${tell(error)}`)
        )
      )
    )

  const makeAttempt = (attempt: Attempt): Effect.Effect<Outcome> =>
    Effect.gen(function*() {
      const without = options.pythonAsCommand === true && attempt.about !== undefined
        ? ABOUT[attempt.about]
        : attempt.without?.()
      if (without !== undefined) return { id: attempt.id, outcome: "not made" as const, how: without, ms: 0 }
      const start = Date.now()
      const failures: Array<string> = []
      let probes = 0
      const probe = Effect.gen(function*() {
        yield* Effect.mapError(neighbour.answers, (why) => `the neighbour did not answer: ${why}`)
        yield* Effect.mapError(host.answers, (why) => `the host did not answer: ${why}`)
        // It costs ten times as much as the others together.
        if (probes++ % 10 === 0) yield* Effect.mapError(host.starts, (why) => `the host starts no process: ${why}`)
      }).pipe(Effect.catchAll((why) => Effect.sync(() => void failures.push(why))))
      const over = yield* Deferred.make<void>()
      // As long as the attempt goes on, and not cut short: what has been asked is answered.
      const probing = yield* Effect.fork(Effect.repeat(
        Effect.zipRight(probe, Effect.timeoutOption(Deferred.await(over), "100 millis")),
        { until: (isOver) => Option.isSome(isOver) || failures.length > 0 }
      ))
      const verdict = yield* attemptIt(attempt)
      yield* Deferred.succeed(over, undefined)
      yield* Fiber.join(probing)
      const breaches = [...yield* host.breaches, ...failures]
      const result = breaches.length > 0 ? escaped(breaches.join("; ")) : verdict
      const isSoft = result.outcome === "escaped" && breaches.length === 0 && attempt.limit !== undefined &&
        soft.includes(attempt.limit)
      return {
        id: attempt.id,
        outcome: isSoft ? "soft" as const : result.outcome,
        how: result.how,
        ms: Date.now() - start
      }
    })

  const attempts: Attempts = { make: makeAttempt }
  return attempts
})

/**
 * The place for attempts, over whatever service there is.
 */
export class Arenas extends Context.Tag("test/escapes/Arenas")<Arenas, Attempts>() {
  static readonly layer = (options: Options): Layer.Layer<Arenas, Cause.RuntimeException, SandboxSDK> =>
    Layer.scoped(this, Effect.mapError(make(options), (why) => new Cause.RuntimeException(why)))
}

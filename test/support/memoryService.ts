/**
 * A service that only keeps account of what is alive. It runs no code: it stands in where a test is about the lifetimes
 * of handles and calls, and not about sandboxes.
 */
import type { Scope } from "effect"
import { Effect, Layer, Ref, Stream } from "effect"
import type { BatchEvent } from "../../src/Batch.js"
import { SandboxError } from "../../src/Errors.js"
import type { ExecutionEvent, TerminalEvent } from "../../src/Execution.js"
import { decodeArguments, decodeRunCodeOptions } from "../../src/internal/arguments.js"
import type { BatchRunner } from "../../src/internal/batch.js"
import { call } from "../../src/internal/callbacks.js"
import { collectExecution } from "../../src/internal/collect.js"
import { makeRunCodeAs } from "../../src/internal/runCodeAs.js"
import * as Metrics from "../../src/Metrics.js"
import { AttachOptions, CreateSandboxOptions, Millis, RunCodeStreamOptions } from "../../src/Options.js"
import { Result } from "../../src/Result.js"
import type { SandboxInfo } from "../../src/SandboxInfo.js"
import { SandboxSDK, type Service } from "../../src/SandboxSDK.js"
import { executeBatch, executeBatchStream } from "./batch.js"

const template = {
  id: "python",
  config: { name: "python", language: "python", version: "3" },
  createdAt: 0,
  updatedAt: 0,
  isPublic: true
} as const

const context = (sandboxId: string) =>
  ({ id: "c1", sandboxId, language: "python", cwd: "/workspace", createdAt: 0, restarts: 0 }) as const

const file = (path: string, isDirectory = false) =>
  ({
    path,
    name: path,
    type: isDirectory ? "directory" : "file",
    isDirectory,
    size: 1,
    mode: 0o644,
    createdAt: 0,
    modifiedAt: 0
  }) as const

const execution = (sandboxId: string) =>
  ({
    id: "e1",
    sandboxId,
    kind: "code",
    language: "python",
    status: "ended",
    detached: false,
    startedAt: 0,
    endedAt: 0,
    firstSeq: 0,
    lastSeq: 3
  }) as const

const knownExecution = (id: string) =>
  id === "e1"
    ? Effect.succeed(execution("s1"))
    : Effect.fail(new SandboxError({ message: `No execution ${id}.`, code: "execution_not_found" }))

/**
 * What `code` makes the service do: `lines N` writes N lines, one chunk each; `raise` raises; `hang` writes a line and
 * goes on until it is stopped; `die` fails like an interpreter that died; `json …` gives that as its main result.
 */
const eventsOf = (sandboxId: string, code: string): Stream.Stream<ExecutionEvent, SandboxError> => {
  const started = { _tag: "Started", seq: 0, executionId: "e1", sandboxId, timestamp: 0 } as const
  const stdout = (seq: number) => ({ _tag: "Stdout", seq, text: `line ${seq}\n`, timestamp: 0 }) as const
  const ended = { _tag: "Ended", seq: 9, duration: 0, timestamp: 0 } as const
  const [word, count = "0"] = code.split(" ")
  const begin = Stream.make(started)
  switch (word) {
    case "lines":
      return begin.pipe(
        Stream.concat(Stream.map(Stream.rechunk(Stream.range(1, Number(count)), 1), stdout)),
        Stream.concat(Stream.make(ended))
      )
    case "raise":
      return Stream.make(
        started,
        { _tag: "Error", seq: 1, error: { name: "ValueError", value: "no", traceback: "line 1" } } as const,
        ended
      )
    case "json": {
      const result = Result.make({ isMainResult: true, text: code.slice("json ".length), extra: {} })
      return Stream.make(started, { _tag: "Result", seq: 1, result } as const, ended)
    }
    case "die":
      return Stream.concat(
        Stream.make(started, stdout(1)),
        Stream.fail(new SandboxError({ message: "The interpreter died.", code: "kernel_died", sandboxId }))
      )
    default:
      return Stream.concat(Stream.make(started, stdout(1)), Stream.never)
  }
}

/**
 * The layer, and its account: what happened, in order.
 */
export const makeMemoryService = (options: { readonly deleteFails?: boolean } = {}) => {
  const log: Array<string> = []
  const note = (entry: string) => Effect.sync(() => void log.push(entry))

  const make: Effect.Effect<Service, never, Scope.Scope> = Effect.gen(function*() {
    const alive = yield* Ref.make<ReadonlyMap<string, SandboxInfo>>(new Map())
    let count = 0

    const get = (id: string) =>
      Effect.flatMap(Ref.get(alive), (all) => {
        const found = all.get(id)
        return found === undefined
          ? Effect.fail(new SandboxError({ message: `No sandbox ${id}.`, code: "not_found", sandboxId: id }))
          : Effect.succeed(found)
      })

    const stream = (id: string, code: string) =>
      Stream.unwrapScoped(Effect.gen(function*() {
        yield* get(id)
        yield* Effect.acquireRelease(
          note(`begin ${code}`),
          () => Effect.zipRight(Effect.yieldNow(), note(`end ${code}`))
        )
        return eventsOf(id, code).pipe(
          Stream.mapChunksEffect((chunk) =>
            Effect.as(Effect.forEach(chunk, (event) => note(`pull ${event._tag}`)), chunk)
          )
        )
      }))

    const runCode: Service["runCode"] = (id, code, input) =>
      Effect.flatMap(
        decodeRunCodeOptions("runCode", input),
        ({ collect }) => collectExecution(stream(id, code), collect)
      )

    const setStatus = (id: string, status: SandboxInfo["status"]) =>
      Effect.flatMap(get(id), (found) => {
        const changed = { ...found, status }
        return Effect.as(Ref.update(alive, (all) => new Map(all).set(id, changed)), changed)
      })

    const contexts = {
      createCodeContext: (id: string) => Effect.as(get(id), context(id)),
      listCodeContexts: (id: string) => Effect.as(get(id), [context(id)]),
      deleteCodeContext: (contextId: string) => note(`delete ${contextId}`)
    }

    const runner = {
      getSandbox: get,
      runJob: (...[id, code, options, begun]: Parameters<BatchRunner["runJob"]>) =>
        Effect.zipRight(begun("e1"), runCode(id, code, options)),
      ...contexts
    }

    /** What was written; other files hold what they are called. */
    const files = new Map<string, Uint8Array>()
    const contentOf = (path: string) => files.get(path) ?? new TextEncoder().encode(`content of ${path}`)

    const operations: Omit<Service, "getMetrics"> = {
      createSandbox: (input) =>
        Effect.gen(function*() {
          const { name, templateId } = yield* decodeArguments(CreateSandboxOptions, "createSandbox")(input)
          if (templateId === "slow") {
            yield* Effect.yieldNow()
            yield* Effect.sleep("50 millis")
          }
          if (templateId !== "python" && templateId !== "slow") {
            return yield* new SandboxError({ message: `No template ${templateId}.`, code: "template_not_found" })
          }
          const id = `s${++count}`
          const sandbox: SandboxInfo = {
            id,
            userId: "u",
            ...(name === undefined ? {} : { name }),
            templateId: template.id,
            templateConfig: template.config,
            status: "ready",
            createdAt: 0,
            updatedAt: 0
          }
          yield* Ref.update(alive, (all) => new Map(all).set(id, sandbox))
          yield* note(`create ${id}`)
          return { sandbox }
        }),
      getSandbox: get,
      getSandboxStatus: (id) => Effect.map(get(id), ({ status }) => status),
      listSandboxes: () => Effect.map(Ref.get(alive), (all) => [...all.values()]),
      getSandboxMetrics: (id) =>
        Effect.map(get(id), () => ({
          sandboxId: id,
          timestamp: 0,
          cpuCount: 1,
          cpuUsedPercent: 0,
          memoryUsedBytes: 0,
          memoryCacheBytes: 0,
          memoryLimitBytes: 1,
          diskUsedBytes: 0,
          diskLimitBytes: 1
        })),
      getUsage: () => Effect.sync(() => ({ sandboxes: 0, storageBytes: 0 })),
      deleteSandbox: (id) =>
        options.deleteFails === true
          ? Effect.fail(new SandboxError({ message: "It will not go.", code: "outcome_unknown" }))
          : Effect.zipRight(
            Ref.update(alive, (all) => new Map([...all].filter(([other]) => other !== id))),
            note(`delete ${id}`)
          ),
      startSandbox: (id) => setStatus(id, "ready"),
      stopSandbox: (id) => setStatus(id, "stopped"),
      pauseSandbox: (id) => setStatus(id, "paused"),
      resumeSandbox: (id) => setStatus(id, "ready"),
      extendSandbox: (id, ms) =>
        Effect.flatMap(
          decodeArguments(Millis, "extendSandbox", "ms")(ms),
          () => Effect.map(get(id), (found) => ({ ...found, expiresAt: ms }))
        ),
      runCode,
      runCodeAs: makeRunCodeAs(runCode),
      executeBatch: (id, jobs, input) => executeBatch(runner, id, jobs, input),
      executeBatchStream: (id, jobs, input) => executeBatchStream(runner, id, jobs, input),
      runCodeStream: (id, code, input) =>
        Stream.unwrap(
          Effect.as(decodeArguments(RunCodeStreamOptions, "runCodeStream")(input), stream(id, code))
        ),
      runTerminal: (id, command) => Effect.as(get(id), `$ ${command}`),
      runTerminalStream: (id, command) =>
        Stream.filter(
          stream(id, command),
          (event): event is TerminalEvent =>
            event._tag === "Started" || event._tag === "Stdout" || event._tag === "Stderr" || event._tag === "Ended"
        ),
      attach: (id, input) =>
        Stream.unwrap(Effect.gen(function*() {
          const { after = -1 } = yield* decodeArguments(AttachOptions, "attach")(input)
          yield* knownExecution(id)
          return Stream.filter(eventsOf("s1", "lines 2"), ({ seq }) => seq > after)
        })),
      attachBatch: (id) =>
        Stream.unwrap(Effect.as(
          knownExecution(id),
          Stream.fromIterable<BatchEvent>([
            { _tag: "BatchStarted", seq: 0, executionId: id, sandboxId: "s1", timestamp: 0 },
            { _tag: "BatchEnded", seq: 1, succeeded: 0, failed: 0, duration: 0 }
          ])
        )),
      listExecutions: (id) => Effect.as(get(id), [execution(id)]),
      getExecution: knownExecution,
      cancelExecution: (id) => Effect.zipLeft(knownExecution(id), note(`cancel ${id}`)),
      startProcess: (id, options) =>
        Effect.as(get(id), {
          executionId: "p1",
          sandboxId: id,
          pid: 2,
          cwd: "/workspace",
          stdin: options.stdin === true,
          startedAt: 0
        }),
      listProcesses: (id) => Effect.as(get(id), []),
      writeStdin: (id, data) => note(`write ${data.length} to ${id}`),
      closeStdin: (id) => note(`close ${id}`),
      signalProcess: (id, signal) => note(`${signal} to ${id}`),
      resizeTerminal: (id, { cols, rows }) => note(`${id} is ${cols} by ${rows}`),
      readFile: (id, path) => Effect.as(get(id), new TextDecoder().decode(contentOf(path))),
      readFileBytes: (id, path) => Effect.as(get(id), contentOf(path)),
      readFileStream: (id, path) =>
        Stream.unwrap(Effect.as(
          get(id),
          Stream.rechunk(Stream.map(Stream.fromIterable(contentOf(path)), (byte) => Uint8Array.of(byte)), 1)
        )),
      writeFile: (id, path) => Effect.as(get(id), `/workspace/${path}`),
      writeFileStream: (id, path, content) =>
        Effect.gen(function*() {
          yield* get(id)
          const pieces = yield* Stream.runCollect(content)
          files.set(path, Uint8Array.from([...pieces].flatMap((piece) => [...piece])))
          return `/workspace/${path}`
        }),
      writeFiles: (id, all) => Effect.as(get(id), all.map(({ path }) => `/workspace/${path}`)),
      readFiles: (id, paths) => Effect.as(get(id), paths.map((path) => ({ path, content: contentOf(path) }))),
      deleteFile: (id) => Effect.asVoid(get(id)),
      listFiles: (id, directory = "/workspace") => Effect.as(get(id), { files: [], directory }),
      statFile: (id, path) => Effect.as(get(id), file(path)),
      makeDirectory: (id, path) => Effect.as(get(id), file(path, true)),
      moveFile: (id, _, to) => Effect.as(get(id), file(to)),
      watchFiles: (id, directory = "/workspace", options) =>
        Stream.unwrap(Effect.as(
          Effect.zipLeft(get(id), call(options?.onStart, [undefined])),
          Stream.concat(
            Stream.make({ type: "created", path: `${directory}/a`, isDirectory: false } as const),
            Stream.never
          )
        )),
      getPort: (id, port) =>
        Effect.as(get(id), { sandboxId: id, port, url: `http://${id}.test:${port}/`, host: `${id}.test:${port}` }),
      getHost: (id, port) => Effect.as(get(id), `${id}.test:${port}`),
      waitForPort: (id, port) =>
        Effect.as(get(id), { sandboxId: id, port, url: `http://${id}.test:${port}/`, host: `${id}.test:${port}` }),
      closePort: (id, port) => Effect.zipRight(get(id), note(`close port ${port}`)),
      ...contexts,
      restartCodeContext: (contextId) => Effect.succeed({ ...context("s1"), id: contextId, restarts: 1 }),
      getTemplates: (page = 1, pageSize = 10) => Effect.succeed({ templates: [template], total: 1, page, pageSize }),
      getTemplate: () => Effect.succeed(template),
      createTemplate: (config) => Effect.succeed({ ...template, id: "mine", config, isPublic: false }),
      snapshotSandbox: (id) =>
        Effect.map(get(id), () => ({
          id: "snap",
          sandboxId: id,
          templateId: template.id,
          templateConfig: template.config,
          createdAt: 0,
          sizeBytes: 0
        })),
      listSnapshots: () => Effect.succeed([]),
      deleteSnapshot: (id) => note(`delete snapshot ${id}`),
      forkSandbox: (id) => Effect.map(get(id), (info) => [info]),
      getTemplateBuilds: () => Effect.succeed([]),
      streamTemplateBuild: () =>
        Stream.fail(new SandboxError({ message: "Nothing is built here.", code: "build_not_found" })),
      deleteTemplate: (id) => note(`delete template ${id}`)
    }

    const recorder = yield* Metrics.make({ component: "memory" })
    return {
      ...operations,
      runTerminal: (...args) => recorder.track("runTerminal")(operations.runTerminal(...args)),
      getMetrics: recorder.snapshot
    }
  })

  const layer = Layer.scoped(SandboxSDK, Effect.acquireRelease(make, () => note("layer closed")))
  return { layer, log }
}

/**
 * The embedded engine: every operation of the service, over agents behind an isolation.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import { Buffer, isUtf8 } from "node:buffer"
import { assets } from "../agent/Assets.js"
import type { RequestError } from "../Errors.js"
import { SandboxError, SandboxSDKError, TimeoutError } from "../Errors.js"
import type { ExecutionEvent, TerminalEvent } from "../Execution.js"
import {
  decodeArguments,
  decodeRunCodeOptions,
  decodeRunTerminalOptions,
  invalidArgument,
  normalizeDirectory,
  normalizePath,
  requireCode,
  requireCommand,
  requireId,
  WORKSPACE
} from "../internal/arguments.js"
import { collectExecution, collectTerminal } from "../internal/collect.js"
import { Isolation } from "../isolation/Isolation.js"
import type { RunTerminalStreamOptions as TerminalOptions } from "../Options.js"
import {
  CreateCodeContextOptions,
  CreateSandboxOptions,
  ListSandboxesOptions,
  ReadFileOptions,
  RunCodeStreamOptions,
  RunTerminalStreamOptions,
  WriteFileOptions
} from "../Options.js"
import type { Service } from "../SandboxSDK.js"
import { SandboxSDK } from "../SandboxSDK.js"
import * as DataDirectory from "./DataDirectory.js"
import type { RunLimits } from "./LiveSandbox.js"
import * as Registry from "./Registry.js"
import * as Resources from "./Resources.js"
import * as Templates from "./Templates.js"

/**
 * Settings of an engine.
 */
export interface EngineOptions {
  /** A folder in which sandboxes outlive the engine; without it they end with it. */
  readonly dataDirectory?: string | undefined
  /** How long an interrupted program may take to end before it is killed: 2 seconds by default. */
  readonly interruptGrace?: Duration.DurationInput | undefined
}

/** Who owns what is made by the program that the engine is part of. */
const LOCAL_USER = "local"
const DEFAULT_TIMEOUT_MS = 60_000
/** What `runCode` and `runTerminal` keep when the call does not say. */
const DEFAULT_CAPTURE_BYTES = 100 * 1024 * 1024

const decode = {
  createSandbox: decodeArguments(CreateSandboxOptions, "createSandbox"),
  listSandboxes: decodeArguments(ListSandboxesOptions, "listSandboxes"),
  runCodeStream: decodeArguments(RunCodeStreamOptions, "runCodeStream"),
  runTerminalStream: decodeArguments(RunTerminalStreamOptions, "runTerminalStream"),
  readFile: decodeArguments(ReadFileOptions, "readFile"),
  writeFile: decodeArguments(WriteFileOptions, "writeFile"),
  createCodeContext: decodeArguments(CreateCodeContextOptions, "createCodeContext"),
  getTemplates: decodeArguments(Templates.PageOptions, "getTemplates")
}

const withRequestTimeout =
  (timeoutMs: number | undefined) =>
  <A>(stream: Stream.Stream<A, RequestError>): Stream.Stream<A, RequestError> =>
    timeoutMs === undefined
      ? stream
      : Stream.interruptWhen(
        stream,
        Effect.delay(
          Effect.fail(
            new TimeoutError({
              message: `The request took longer than ${timeoutMs} ms (requestTimeoutMs); what it ran was stopped.`,
              timeoutMs,
              operation: "request"
            })
          ),
          Duration.millis(timeoutMs)
        )
      )

/** A run of code has more kinds of events than a command, but a command only has these. */
const isTerminalEvent = (event: ExecutionEvent): event is TerminalEvent =>
  event._tag === "Stdout" || event._tag === "Stderr" || event._tag === "Started" || event._tag === "Ended"

/**
 * Makes the service. Everything that it starts ends when the scope closes.
 */
export const make = Effect.fn("Engine.make")(function*(
  options: EngineOptions = {}
): Effect.fn.Return<Service, SandboxError, Isolation | Scope.Scope> {
  const isolation = yield* Isolation
  yield* isolation.reap
  const directory = yield* DataDirectory.make(assets, options.dataDirectory)
  const registry = yield* Registry.make({
    directory,
    interruptGrace: Duration.decode(options.interruptGrace ?? Duration.seconds(2))
  })
  const templates = yield* Templates.make(isolation.runtimes)

  const running = (operation: string, id: string) => Effect.flatMap(requireId(operation, id), (known) => registry.running(LOCAL_USER, known))

  const createSandbox: Service["createSandbox"] = Effect.fn("SandboxSDK.createSandbox")(function*(input) {
    const decoded = yield* decode.createSandbox(input)
    yield* Resources.check(decoded.resources)
    if (decoded.network !== undefined && decoded.network !== "none") {
      return yield* new SandboxSDKError({
        code: "unsupported",
        field: "network",
        message: "createSandbox: this engine gives no sandbox a network; leave `network` out or set it to \"none\"."
      })
    }
    const template = yield* templates.get(decoded.templateId)
    yield* isolation.check
    return { sandbox: yield* registry.create(LOCAL_USER, decoded, template) }
  })

  const streamCode = (
    id: string,
    code: string,
    runOptions: RunCodeStreamOptions,
    maxOutputSize: number
  ): Stream.Stream<ExecutionEvent, RequestError> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const { busy, live, template } = yield* registry.running(LOCAL_USER, id)
      yield* busy
      return yield* live.runCode(
        runOptions.contextId === undefined
          ? { language: runOptions.language ?? template.config.language }
          : { id: runOptions.contextId },
        code,
        runOptions.envs ?? {},
        limitsOf(runOptions, template.config.timeoutMs, maxOutputSize)
      )
    })).pipe(withRequestTimeout(runOptions.requestTimeoutMs))

  const streamCommand = (
    id: string,
    command: string,
    runOptions: TerminalOptions,
    merge: boolean,
    maxOutputSize: number
  ): Stream.Stream<TerminalEvent, RequestError> =>
    Stream.unwrapScoped(Effect.gen(function*() {
      const cwd = yield* normalizeDirectory("runTerminal", runOptions.cwd ?? WORKSPACE)
      const { busy, live, template } = yield* registry.running(LOCAL_USER, id)
      yield* busy
      return yield* live.runCommand(
        { command, cwd, env: runOptions.envs ?? {}, merge },
        limitsOf(runOptions, template.config.timeoutMs, maxOutputSize)
      )
    })).pipe(withRequestTimeout(runOptions.requestTimeoutMs), Stream.filter(isTerminalEvent))

  const runCode: Service["runCode"] = Effect.fn("SandboxSDK.runCode")(function*(id, code, input) {
    const { collect, stream } = yield* decodeRunCodeOptions("runCode", input)
    yield* requireId("runCode", id)
    yield* requireCode("runCode", code)
    yield* refuseTwoTargets("runCode", stream)
    const capture = collect.captureOutput === false ? Infinity : DEFAULT_CAPTURE_BYTES
    return yield* collectExecution(streamCode(id, code, stream, capture), collect)
  })

  const runTerminal: Service["runTerminal"] = Effect.fn("SandboxSDK.runTerminal")(function*(id, command, input) {
    const { collect, stream } = yield* decodeRunTerminalOptions("runTerminal", input)
    yield* requireId("runTerminal", id)
    yield* requireCommand("runTerminal", command)
    // One pipe for both streams keeps their order exact; who listens to them one by one needs two.
    const merge = collect.onStdout === undefined && collect.onStderr === undefined
    return yield* collectTerminal(streamCommand(id, command, stream, merge, DEFAULT_CAPTURE_BYTES), collect)
  })

  return {
    createSandbox,
    getSandbox: Effect.fn("SandboxSDK.getSandbox")(function*(id) {
      return yield* registry.get(LOCAL_USER, yield* requireId("getSandbox", id))
    }),
    getSandboxStatus: Effect.fn("SandboxSDK.getSandboxStatus")(function*(id) {
      const { status } = yield* registry.get(LOCAL_USER, yield* requireId("getSandboxStatus", id))
      return status
    }),
    listSandboxes: Effect.fn("SandboxSDK.listSandboxes")(function*(input) {
      return yield* registry.list(LOCAL_USER, yield* decode.listSandboxes(input))
    }),
    deleteSandbox: Effect.fn("SandboxSDK.deleteSandbox")(function*(id) {
      yield* registry.remove(LOCAL_USER, yield* requireId("deleteSandbox", id))
    }),
    runCode,
    runCodeStream: (id, code, input) =>
      Stream.unwrap(Effect.gen(function*() {
        const decoded = yield* decode.runCodeStream(input)
        yield* requireId("runCodeStream", id)
        yield* requireCode("runCodeStream", code)
        yield* refuseTwoTargets("runCodeStream", decoded)
        return streamCode(id, code, decoded, Infinity)
      })).pipe(Stream.withSpan("SandboxSDK.runCodeStream")),
    runTerminal,
    runTerminalStream: (id, command, input) =>
      Stream.unwrap(Effect.gen(function*() {
        const decoded = yield* decode.runTerminalStream(input)
        yield* requireId("runTerminalStream", id)
        yield* requireCommand("runTerminalStream", command)
        return streamCommand(id, command, decoded, false, Infinity)
      })).pipe(Stream.withSpan("SandboxSDK.runTerminalStream")),
    readFile: Effect.fn("SandboxSDK.readFile")(function*(id, path, input) {
      const { encoding = "utf-8" } = yield* decode.readFile(input)
      const absolute = yield* normalizePath("readFile", path)
      const { live } = yield* running("readFile", id)
      const chunks = yield* Stream.runCollect(live.files.read(absolute))
      const bytes = Buffer.concat([...chunks])
      return encoding === "base64" || isUtf8(bytes)
        ? bytes.toString(encoding)
        : yield* invalidArgument(
          "readFile",
          "encoding",
          `${absolute} is no UTF-8 text; read it with { encoding: "base64" }.`
        )
    }),
    writeFile: Effect.fn("SandboxSDK.writeFile")(function*(id, path, content, input) {
      const { createParents = true } = yield* decode.writeFile(input)
      const absolute = yield* normalizePath("writeFile", path)
      const bytes = yield* contentBytes(content)
      const { live } = yield* running("writeFile", id)
      const { path: written } = yield* live.files.write(absolute, Stream.succeed(bytes), { createParents })
      return written
    }),
    deleteFile: Effect.fn("SandboxSDK.deleteFile")(function*(id, path) {
      const absolute = yield* normalizePath("deleteFile", path)
      const { live } = yield* running("deleteFile", id)
      yield* live.files.remove(absolute)
    }),
    listFiles: Effect.fn("SandboxSDK.listFiles")(function*(id, directory = WORKSPACE) {
      const absolute = yield* normalizePath("listFiles", directory, "directory")
      const { live } = yield* running("listFiles", id)
      return { files: yield* live.files.list(absolute), directory: absolute }
    }),
    createCodeContext: Effect.fn("SandboxSDK.createCodeContext")(function*(id, input) {
      const decoded = yield* decode.createCodeContext(input)
      const cwd = yield* normalizeDirectory("createCodeContext", decoded.cwd ?? WORKSPACE)
      const { live, template } = yield* running("createCodeContext", id)
      return yield* live.contexts.create({
        language: decoded.language ?? template.config.language,
        cwd,
        env: decoded.envVars ?? {}
      })
    }),
    listCodeContexts: Effect.fn("SandboxSDK.listCodeContexts")(function*(id) {
      const { live } = yield* running("listCodeContexts", id)
      return yield* live.contexts.list
    }),
    deleteCodeContext: Effect.fn("SandboxSDK.deleteCodeContext")(function*(contextId) {
      const { live } = yield* registry.ofContext(LOCAL_USER, yield* requireId("deleteCodeContext", contextId, "contextId"))
      yield* live.contexts.remove(contextId)
    }),
    getTemplates: Effect.fn("SandboxSDK.getTemplates")(function*(page = 1, pageSize = 10) {
      const decoded = yield* decode.getTemplates({ page, pageSize })
      return yield* templates.page(decoded.page, decoded.pageSize)
    }),
    getTemplate: Effect.fn("SandboxSDK.getTemplate")(function*(id) {
      return yield* templates.get(yield* requireId("getTemplate", id))
    })
  }
})

const limitsOf = (
  options: { readonly timeoutMs?: number | undefined; readonly maxOutputSize?: number | undefined },
  templateTimeoutMs: number | undefined,
  maxOutputSize: number
): RunLimits => ({
  timeoutMs: options.timeoutMs ?? templateTimeoutMs ?? DEFAULT_TIMEOUT_MS,
  maxOutputSize: options.maxOutputSize ?? maxOutputSize
})

const refuseTwoTargets = (operation: string, options: RunCodeStreamOptions): Effect.Effect<void, SandboxSDKError> =>
  options.contextId !== undefined && options.language !== undefined
    ? Effect.fail(
      invalidArgument(operation, "language", "give either contextId or language: a context has its language already.")
    )
    : Effect.void

const contentBytes = (content: unknown): Effect.Effect<Uint8Array, SandboxSDKError> =>
  typeof content === "string"
    ? Effect.succeed(Buffer.from(content))
    : content instanceof Uint8Array
    ? Effect.succeed(content)
    : Effect.fail(invalidArgument("writeFile", "content", "content must be a string or a Uint8Array."))

/**
 * The engine as a layer, over whatever isolation it is given.
 */
export const layerEngine = (options?: EngineOptions): Layer.Layer<SandboxSDK, SandboxError, Isolation> =>
  Layer.scoped(SandboxSDK, make(options))

/**
 * A handle on one sandbox: the operations of the service without the id.
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type { ExecutionError, RequestError } from "./Errors.js"
import type { CreateSandboxOptions, RunCodeOptions, SnapshotSandboxOptions, WriteFileOptions } from "./Options.js"
import type { SandboxInfo } from "./SandboxInfo.js"
import { SandboxSDK, type Service } from "./SandboxSDK.js"
import type { Snapshot } from "./Snapshot.js"

/** The operations that are not about one sandbox. */
type Others =
  | "createSandbox"
  | "listSandboxes"
  | "getTemplates"
  | "getTemplate"
  | "createTemplate"
  | "listSnapshots"
  | "deleteSnapshot"
  | "snapshotSandbox"
  | "forkSandbox"
  | "getTemplateBuilds"
  | "streamTemplateBuild"
  | "deleteTemplate"
  | "getMetrics"
  | "getUsage"
  | "deleteCodeContext"
  | "restartCodeContext"
  | OfExecution

/** The operations on an execution, whose id says which sandbox is meant. */
type OfExecution =
  | "attach"
  | "attachBatch"
  | "getExecution"
  | "cancelExecution"
  | "writeStdin"
  | "closeStdin"
  | "signalProcess"
  | "resizeTerminal"

/** The operations with type parameters, which {@link Bound} would lose. */
interface Generic {
  /** Keeps its files as they are at one moment, and what it was made with; see `snapshotSandbox` of the service. */
  readonly snapshot: (options?: SnapshotSandboxOptions) => Effect.Effect<Snapshot, RequestError>
  /**
   * Makes sandboxes, one by default, with the files that it has at one moment; see `forkSandbox` of the service. They are
   * deleted when the scope closes.
   */
  readonly fork: (count?: number) => Effect.Effect<ReadonlyArray<Sandbox>, RequestError, Scope.Scope>
  /** Runs code and decodes its main result, as JSON, through a schema. */
  readonly runCodeAs: <A, I>(
    code: string,
    schema: Schema.Schema<A, I>,
    options?: RunCodeOptions
  ) => Effect.Effect<A, RequestError | ExecutionError>
  /** Writes a file from a stream, atomically. */
  readonly writeFileStream: <E>(
    path: string,
    content: Stream.Stream<Uint8Array, E>,
    options?: WriteFileOptions
  ) => Effect.Effect<string, RequestError | E>
}

/** An operation whose first argument, the id, is given. */
type Bound<F> = F extends (id: string, ...args: infer Args) => infer A ? (...args: Args) => A : never

/**
 * One sandbox. Its methods are those of {@link Service}, for this sandbox, with the same meaning and the same errors.
 * `info` is what was known of it when the handle was made; `getSandbox()` asks anew.
 *
 * @category models
 */
export type Sandbox =
  & { readonly id: string; readonly info: SandboxInfo }
  & { readonly [Name in keyof Omit<Service, Others | keyof Generic>]: Bound<Service[Name]> }
  & Generic
  & Pick<Service, "deleteCodeContext" | "restartCodeContext" | OfExecution>

const handle = (service: Service, info: SandboxInfo): Sandbox => {
  const bind =
    <Args extends ReadonlyArray<unknown>, A>(operation: (id: string, ...args: Args) => A) => (...args: Args): A =>
      operation(info.id, ...args)
  return {
    id: info.id,
    info,
    snapshot: bind(service.snapshotSandbox),
    fork: (count) => forkOf(service, info.id, count),
    getSandbox: bind(service.getSandbox),
    getSandboxStatus: bind(service.getSandboxStatus),
    getSandboxMetrics: bind(service.getSandboxMetrics),
    startSandbox: bind(service.startSandbox),
    stopSandbox: bind(service.stopSandbox),
    pauseSandbox: bind(service.pauseSandbox),
    resumeSandbox: bind(service.resumeSandbox),
    extendSandbox: bind(service.extendSandbox),
    deleteSandbox: bind(service.deleteSandbox),
    runCode: bind(service.runCode),
    runCodeStream: bind(service.runCodeStream),
    runCodeAs: (code, schema, options) => service.runCodeAs(info.id, code, schema, options),
    executeBatch: bind(service.executeBatch),
    executeBatchStream: bind(service.executeBatchStream),
    runTerminal: bind(service.runTerminal),
    runTerminalStream: bind(service.runTerminalStream),
    attach: service.attach,
    attachBatch: service.attachBatch,
    listExecutions: bind(service.listExecutions),
    getExecution: service.getExecution,
    cancelExecution: service.cancelExecution,
    startProcess: bind(service.startProcess),
    listProcesses: bind(service.listProcesses),
    writeStdin: service.writeStdin,
    closeStdin: service.closeStdin,
    signalProcess: service.signalProcess,
    resizeTerminal: service.resizeTerminal,
    readFile: bind(service.readFile),
    readFileBytes: bind(service.readFileBytes),
    readFileStream: bind(service.readFileStream),
    writeFile: bind(service.writeFile),
    writeFileStream: (path, content, options) => service.writeFileStream(info.id, path, content, options),
    writeFiles: bind(service.writeFiles),
    readFiles: bind(service.readFiles),
    deleteFile: bind(service.deleteFile),
    listFiles: bind(service.listFiles),
    statFile: bind(service.statFile),
    makeDirectory: bind(service.makeDirectory),
    moveFile: bind(service.moveFile),
    watchFiles: bind(service.watchFiles),
    createCodeContext: bind(service.createCodeContext),
    listCodeContexts: bind(service.listCodeContexts),
    getPort: bind(service.getPort),
    getHost: bind(service.getHost),
    waitForPort: bind(service.waitForPort),
    closePort: bind(service.closePort),
    deleteCodeContext: service.deleteCodeContext,
    restartCodeContext: service.restartCodeContext
  }
}

const remove = (service: Service, { id }: SandboxInfo): Effect.Effect<void> =>
  Effect.catchAllCause(
    service.deleteSandbox(id),
    (cause) => Effect.logDebug(`Sandbox ${id} could not be deleted.`, cause)
  )

const forkOf = Effect.fnUntraced(function*(
  service: Service,
  id: string,
  count?: number
): Effect.fn.Return<ReadonlyArray<Sandbox>, RequestError, Scope.Scope> {
  const forks = yield* Effect.acquireRelease(
    service.forkSandbox(id, count),
    (forks) => Effect.forEach(forks, (fork) => remove(service, fork), { discard: true })
  )
  return forks.map((fork) => handle(service, fork))
})

const make = Effect.fn("Sandbox.make")(function*(
  options: CreateSandboxOptions
): Effect.fn.Return<Sandbox, RequestError, SandboxSDK | Scope.Scope> {
  const service = yield* SandboxSDK
  const { sandbox } = yield* Effect.acquireRelease(
    service.createSandbox(options),
    ({ sandbox }) => remove(service, sandbox)
  )
  return handle(service, sandbox)
})

const attach = Effect.fn("Sandbox.attach")(function*(
  id: string
): Effect.fn.Return<Sandbox, RequestError, SandboxSDK> {
  const service = yield* SandboxSDK
  return handle(service, yield* service.getSandbox(id))
})

/**
 * Makes handles.
 *
 * @category constructors
 */
export const Sandbox = {
  /**
   * Makes a sandbox that is deleted when the scope closes, however it closes: at the end, by a failure, by an
   * interruption. Nothing that happens while it is deleted hides how the program ended: that is logged at the level
   * of debug.
   *
   * Fails as `createSandbox` does.
   *
   * @example
   * ```ts
   * import { Effect } from "effect"
   * import { Sandbox } from "sandbox-sdk"
   * import { layerLocal } from "sandbox-sdk/local"
   *
   * const program = Effect.gen(function*() {
   *   const sandbox = yield* Sandbox.make({ templateId: "python" })
   *   yield* sandbox.writeFile("numbers.txt", "1 2 3")
   *   const { execution } = yield* sandbox.runCode("sum(map(int, open('numbers.txt').read().split()))")
   *   return execution.text // "6"
   * })
   *
   * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(layerLocal())))
   * ```
   */
  make,
  /**
   * A handle on a sandbox that is there already and outlives the handle.
   *
   * Fails with `SandboxError` `not_found`.
   */
  attach
} as const

/**
 * The service by way of the class that gives promises, so that the suite runs through the class and asks of it what it
 * asks of every layer.
 */
import { Effect, Layer, Option, Schema, Stream } from "effect"
import type { AnySandboxSDKError, RequestError } from "../../src/Errors.js"
import { ExecutionError, isSandboxSDKError } from "../../src/Errors.js"
import type { Callback as EffectCallback, RunCodeOptions, WriteFileOptions } from "../../src/Options.js"
import type { Callback, SandboxSDK } from "../../src/promise.js"
import { SandboxSDK as Tag, type Service } from "../../src/SandboxSDK.js"

/** Only what the class promises to reject with is a failure; all else is a defect. */
const expected = <E extends AnySandboxSDKError>(reason: unknown, isE: (error: AnySandboxSDKError) => error is E) =>
  isSandboxSDKError(reason) && isE(reason) ? Effect.fail(reason) : Effect.die(reason)

const isRequestError = (error: AnySandboxSDKError): error is RequestError => !(error instanceof ExecutionError)
const isAny = (_: AnySandboxSDKError): _ is AnySandboxSDKError => true

/** An interruption aborts the signal and lasts until the promise has settled: what the class started has ended then. */
const settle = <A>(start: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, { readonly reason: unknown }> =>
  Effect.async((resume, signal) => {
    const promise = start(signal)
    promise.then((value) => resume(Effect.succeed(value)), (reason: unknown) => resume(Effect.fail({ reason })))
    return Effect.promise(() => promise.then(() => {}, () => {}))
  })

const call = <A>(start: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, RequestError> =>
  Effect.catchAll(settle(start), ({ reason }) => expected(reason, isRequestError))

const run = <A>(start: (signal: AbortSignal) => Promise<A>): Effect.Effect<A, AnySandboxSDKError> =>
  Effect.catchAll(settle(start), ({ reason }) => expected(reason, isAny))

const iterate = <A>(start: () => AsyncIterable<A>): Stream.Stream<A, RequestError> =>
  Stream.suspend(() => Stream.fromAsyncIterable(start(), (reason) => ({ reason }))).pipe(
    Stream.catchAll(({ reason }) => Stream.fromEffect(expected(reason, isRequestError)))
  )

const promised = <A>(callback: EffectCallback<A> | undefined): Callback<A> | undefined =>
  typeof callback !== "function" ? callback : (value) => {
    const returned = callback(value)
    return Effect.isEffect(returned) ? Effect.runPromise(returned) : returned
  }

const withCallbacks = (options: RunCodeOptions | undefined, signal: AbortSignal) => ({
  ...options,
  onStdout: promised(options?.onStdout),
  onStderr: promised(options?.onStderr),
  onResult: promised(options?.onResult),
  onError: promised(options?.onError),
  signal
})

const writeFileStream = (sdk: SandboxSDK) =>
<E>(
  id: string,
  path: string,
  content: Stream.Stream<Uint8Array, E>,
  options?: WriteFileOptions
): Effect.Effect<string, RequestError | E> =>
  Effect.suspend(() => {
    let failure = Option.none<E>()
    const source = Stream.toAsyncIterable(Stream.tapError(content, (error) =>
      Effect.sync(() => {
        failure = Option.some(error)
      })))
    return Effect.catchAll(
      settle((signal) => sdk.writeFileStream(id, path, source, { ...options, signal })),
      ({ reason }): Effect.Effect<never, RequestError | E> =>
        Option.isSome(failure) ? Effect.fail(failure.value) : expected(reason, isRequestError)
    )
  })

/**
 * The operations, each by the method of the same name.
 */
export const overPromises = (sdk: SandboxSDK): Service => ({
  createSandbox: (options) => call((signal) => sdk.createSandbox({ ...options, signal })),
  getSandbox: (id) => call((signal) => sdk.getSandbox(id, { signal })),
  getSandboxStatus: (id) => call((signal) => sdk.getSandboxStatus(id, { signal })),
  listSandboxes: (options) => call((signal) => sdk.listSandboxes({ ...options, signal })),
  startSandbox: (id) => call((signal) => sdk.startSandbox(id, { signal })),
  stopSandbox: (id) => call((signal) => sdk.stopSandbox(id, { signal })),
  getSandboxMetrics: (id) => call((signal) => sdk.getSandboxMetrics(id, { signal })),
  pauseSandbox: (id) => call((signal) => sdk.pauseSandbox(id, { signal })),
  resumeSandbox: (id) => call((signal) => sdk.resumeSandbox(id, { signal })),
  extendSandbox: (id, ms) => call((signal) => sdk.extendSandbox(id, ms, { signal })),
  deleteSandbox: (id) => call((signal) => sdk.deleteSandbox(id, { signal })),

  runCode: (id, code, options) => run((signal) => sdk.runCode(id, code, withCallbacks(options, signal))),
  runCodeStream: (id, code, options) => iterate(() => sdk.runCodeStream(id, code, options)),
  runCodeAs: (id, code, schema, options) =>
    run((signal) => sdk.runCodeAs(id, code, Schema.standardSchemaV1(schema), withCallbacks(options, signal))),
  executeBatch: (id, jobs, options) => call((signal) => sdk.executeBatch(id, jobs, { ...options, signal })),
  executeBatchStream: (id, jobs, options) => iterate(() => sdk.executeBatchStream(id, jobs, options)),
  runTerminal: (id, command, options) =>
    call((signal) =>
      sdk.runTerminal(id, command, {
        ...options,
        onStdout: promised(options?.onStdout),
        onStderr: promised(options?.onStderr),
        signal
      })
    ),
  runTerminalStream: (id, command, options) => iterate(() => sdk.runTerminalStream(id, command, options)),

  attach: (executionId, options) => iterate(() => sdk.attach(executionId, options)),
  attachBatch: (executionId, options) => iterate(() => sdk.attachBatch(executionId, options)),
  listExecutions: (id) => call((signal) => sdk.listExecutions(id, { signal })),
  getExecution: (executionId) => call((signal) => sdk.getExecution(executionId, { signal })),
  cancelExecution: (executionId) => call((signal) => sdk.cancelExecution(executionId, { signal })),

  startProcess: (id, options) => call((signal) => sdk.startProcess(id, { ...options, signal })),
  listProcesses: (id) => call((signal) => sdk.listProcesses(id, { signal })),
  writeStdin: (executionId, data) => call((signal) => sdk.writeStdin(executionId, data, { signal })),
  closeStdin: (executionId) => call((signal) => sdk.closeStdin(executionId, { signal })),
  signalProcess: (executionId, name) => call((signal) => sdk.signalProcess(executionId, name, { signal })),
  resizeTerminal: (executionId, size) => call((signal) => sdk.resizeTerminal(executionId, size, { signal })),

  readFile: (id, path, options) => call((signal) => sdk.readFile(id, path, { ...options, signal })),
  readFileBytes: (id, path) => call((signal) => sdk.readFileBytes(id, path, { signal })),
  readFileStream: (id, path) => iterate(() => sdk.readFileStream(id, path)),
  writeFile: (id, path, content, options) => call((signal) => sdk.writeFile(id, path, content, { ...options, signal })),
  writeFileStream: writeFileStream(sdk),
  writeFiles: (id, files, options) => call((signal) => sdk.writeFiles(id, files, { ...options, signal })),
  readFiles: (id, paths) => call((signal) => sdk.readFiles(id, paths, { signal })),
  deleteFile: (id, path) => call((signal) => sdk.deleteFile(id, path, { signal })),
  listFiles: (id, directory) => call((signal) => sdk.listFiles(id, directory, { signal })),
  statFile: (id, path) => call((signal) => sdk.statFile(id, path, { signal })),
  makeDirectory: (id, path, options) => call((signal) => sdk.makeDirectory(id, path, { ...options, signal })),
  moveFile: (id, path, to) => call((signal) => sdk.moveFile(id, path, to, { signal })),
  watchFiles: (id, directory, options) => iterate(() => sdk.watchFiles(id, directory, options)),

  createCodeContext: (id, options) => call((signal) => sdk.createCodeContext(id, { ...options, signal })),
  listCodeContexts: (id) => call((signal) => sdk.listCodeContexts(id, { signal })),
  deleteCodeContext: (contextId) => call((signal) => sdk.deleteCodeContext(contextId, { signal })),
  restartCodeContext: (contextId) => call((signal) => sdk.restartCodeContext(contextId, { signal })),

  getPort: (id, port) => call((signal) => sdk.getPort(id, port, { signal })),
  getHost: (id, port) => call((signal) => sdk.getHost(id, port, { signal })),
  waitForPort: (id, port, options) => call((signal) => sdk.waitForPort(id, port, { ...options, signal })),
  closePort: (id, port) => call((signal) => sdk.closePort(id, port, { signal })),

  getTemplates: (page, pageSize) => call((signal) => sdk.getTemplates(page, pageSize, { signal })),
  getTemplate: (id) => call((signal) => sdk.getTemplate(id, { signal })),
  createTemplate: (config, options) => call((signal) => sdk.createTemplate(config, { ...options, signal })),
  getTemplateBuilds: (id) => call((signal) => sdk.getTemplateBuilds(id, { signal })),
  streamTemplateBuild: (id, options) => iterate(() => sdk.streamTemplateBuild(id, options)),
  deleteTemplate: (id) => call((signal) => sdk.deleteTemplate(id, { signal })),

  snapshotSandbox: (id, options) => call((signal) => sdk.snapshotSandbox(id, { ...options, signal })),
  listSnapshots: (options) => call((signal) => sdk.listSnapshots({ ...options, signal })),
  deleteSnapshot: (id) => call((signal) => sdk.deleteSnapshot(id, { signal })),
  forkSandbox: (id, count) => call((signal) => sdk.forkSandbox(id, count, { signal })),

  getUsage: () => call((signal) => sdk.getUsage({ signal })),
  getMetrics: Effect.sync(() => sdk.getMetrics())
})

/**
 * The layer over an instance, which is disconnected when the layer ends.
 */
export const layerPromise = (open: () => Promise<SandboxSDK>): Layer.Layer<Tag, RequestError> =>
  Layer.scoped(
    Tag,
    Effect.map(
      Effect.acquireRelease(call(open), (sdk) => Effect.promise(() => sdk.disconnect())),
      overPromises
    )
  )

/**
 * A handle on one sandbox: the methods of the client without the id.
 */
import type { SandboxInfo } from "../SandboxInfo.js"
import type { PromiseClient } from "./promiseClient.js"
import type { RunCodeOptions } from "./promiseOptions.js"
import type { StandardSchema } from "./standardSchema.js"

/** The methods that are about one sandbox, as others are not. */
type OfOne =
  | "getSandbox"
  | "getSandboxStatus"
  | "getSandboxMetrics"
  | "startSandbox"
  | "stopSandbox"
  | "extendSandbox"
  | "deleteSandbox"
  | "runCode"
  | "runCodeStream"
  | "executeBatch"
  | "executeBatchStream"
  | "runTerminal"
  | "runTerminalStream"
  | "listExecutions"
  | "startProcess"
  | "listProcesses"
  | "pauseSandbox"
  | "resumeSandbox"
  | "readFile"
  | "readFileBytes"
  | "readFileStream"
  | "writeFile"
  | "writeFileStream"
  | "writeFiles"
  | "readFiles"
  | "uploadFile"
  | "downloadFile"
  | "uploadDirectory"
  | "downloadDirectory"
  | "deleteFile"
  | "listFiles"
  | "statFile"
  | "makeDirectory"
  | "moveFile"
  | "watchFiles"
  | "createCodeContext"
  | "listCodeContexts"
  | "getPort"
  | "getHost"
  | "waitForPort"
  | "closePort"

/** A method whose first argument, the id, is given. */
type Bound<F> = F extends (id: string, ...args: infer Args) => infer A ? (...args: Args) => A : never

/**
 * One sandbox, deleted by `close()` or at the end of `await using`: the methods of the class without the id.
 */
export type Sandbox =
  & { readonly id: string; readonly info: SandboxInfo }
  & { readonly [Name in OfOne]: Bound<PromiseClient[Name]> }
  & Pick<
    PromiseClient,
    | "deleteCodeContext"
    | "restartCodeContext"
    | "attach"
    | "attachBatch"
    | "getExecution"
    | "cancelExecution"
    | "writeStdin"
    | "closeStdin"
    | "signalProcess"
    | "resizeTerminal"
  >
  & {
    /** Runs code and gives its main result, as JSON, as the schema has it. */
    readonly runCodeAs: <A>(code: string, schema: StandardSchema<A>, options?: RunCodeOptions) => Promise<A>
    /** Keeps its files as they are at one moment, and what it was made with. */
    readonly snapshot: Bound<PromiseClient["snapshotSandbox"]>
    /** Makes sandboxes, one by default, with the files that it has at one moment. */
    readonly fork: Bound<PromiseClient["forks"]>
    /** Deletes the sandbox. It never rejects; closing it twice does no harm. */
    readonly close: () => Promise<void>
    readonly [Symbol.asyncDispose]: () => Promise<void>
  }

/**
 * Makes a handle.
 */
export const makeSandbox = (client: PromiseClient, info: SandboxInfo, close: () => Promise<void>): Sandbox => {
  const { id } = info
  const bind =
    <Args extends ReadonlyArray<unknown>, A>(method: (id: string, ...args: Args) => A) => (...args: Args): A =>
      method.call(client, id, ...args)
  return {
    id,
    info,
    snapshot: bind(client.snapshotSandbox),
    fork: bind(client.forks),
    getSandbox: bind(client.getSandbox),
    getSandboxStatus: bind(client.getSandboxStatus),
    getSandboxMetrics: bind(client.getSandboxMetrics),
    startSandbox: bind(client.startSandbox),
    stopSandbox: bind(client.stopSandbox),
    pauseSandbox: bind(client.pauseSandbox),
    resumeSandbox: bind(client.resumeSandbox),
    extendSandbox: bind(client.extendSandbox),
    deleteSandbox: bind(client.deleteSandbox),
    runCode: bind(client.runCode),
    runCodeStream: bind(client.runCodeStream),
    runCodeAs: (code, schema, options) => client.runCodeAs(id, code, schema, options),
    executeBatch: bind(client.executeBatch),
    executeBatchStream: bind(client.executeBatchStream),
    runTerminal: bind(client.runTerminal),
    runTerminalStream: bind(client.runTerminalStream),
    attach: (...args) => client.attach(...args),
    attachBatch: (...args) => client.attachBatch(...args),
    listExecutions: bind(client.listExecutions),
    getExecution: (...args) => client.getExecution(...args),
    cancelExecution: (...args) => client.cancelExecution(...args),
    startProcess: bind(client.startProcess),
    listProcesses: bind(client.listProcesses),
    writeStdin: (...args) => client.writeStdin(...args),
    closeStdin: (...args) => client.closeStdin(...args),
    signalProcess: (...args) => client.signalProcess(...args),
    resizeTerminal: (...args) => client.resizeTerminal(...args),
    readFile: bind(client.readFile),
    readFileBytes: bind(client.readFileBytes),
    readFileStream: bind(client.readFileStream),
    writeFile: bind(client.writeFile),
    writeFileStream: bind(client.writeFileStream),
    writeFiles: bind(client.writeFiles),
    readFiles: bind(client.readFiles),
    uploadFile: bind(client.uploadFile),
    downloadFile: bind(client.downloadFile),
    uploadDirectory: bind(client.uploadDirectory),
    downloadDirectory: bind(client.downloadDirectory),
    deleteFile: bind(client.deleteFile),
    listFiles: bind(client.listFiles),
    statFile: bind(client.statFile),
    makeDirectory: bind(client.makeDirectory),
    moveFile: bind(client.moveFile),
    watchFiles: bind(client.watchFiles),
    createCodeContext: bind(client.createCodeContext),
    listCodeContexts: bind(client.listCodeContexts),
    getPort: bind(client.getPort),
    getHost: bind(client.getHost),
    waitForPort: bind(client.waitForPort),
    closePort: bind(client.closePort),
    deleteCodeContext: (...args) => client.deleteCodeContext(...args),
    restartCodeContext: (...args) => client.restartCodeContext(...args),
    close,
    [Symbol.asyncDispose]: close
  }
}

/**
 * The operations of the service, in the groups in which the layers make them.
 */
import type { Service } from "../SandboxSDK.js"

/** On sandboxes as a whole. */
export type SandboxOperations = Pick<
  Service,
  | "createSandbox"
  | "getSandbox"
  | "getSandboxStatus"
  | "getSandboxMetrics"
  | "listSandboxes"
  | "startSandbox"
  | "stopSandbox"
  | "pauseSandbox"
  | "resumeSandbox"
  | "extendSandbox"
  | "deleteSandbox"
  | "getUsage"
>

/** Code and commands. */
export type RunOperations = Pick<Service, "runCode" | "runCodeStream" | "runTerminal" | "runTerminalStream">

/** Batches. */
export type BatchOperations = Pick<Service, "executeBatch" | "executeBatchStream">

/** What has been run, or runs. */
export type ExecutionOperations = Pick<
  Service,
  "attach" | "attachBatch" | "listExecutions" | "getExecution" | "cancelExecution"
>

/** Processes. */
export type ProcessOperations = Pick<
  Service,
  "startProcess" | "listProcesses" | "writeStdin" | "closeStdin" | "signalProcess" | "resizeTerminal"
>

/** Files. */
export type FileOperations = Pick<
  Service,
  | "readFile"
  | "readFileBytes"
  | "readFileStream"
  | "writeFile"
  | "writeFileStream"
  | "writeFiles"
  | "readFiles"
  | "deleteFile"
  | "listFiles"
  | "statFile"
  | "makeDirectory"
  | "moveFile"
  | "watchFiles"
>

/** Contexts. */
export type ContextOperations = Pick<
  Service,
  "createCodeContext" | "listCodeContexts" | "deleteCodeContext" | "restartCodeContext"
>

/** Templates. */
export type TemplateOperations = Pick<
  Service,
  "getTemplates" | "getTemplate" | "createTemplate" | "getTemplateBuilds" | "streamTemplateBuild" | "deleteTemplate"
>

/** Ports. */
export type PortOperations = Pick<Service, "getPort" | "getHost" | "waitForPort" | "closePort">

/** Snapshots. */
export type SnapshotOperations = Pick<Service, "snapshotSandbox" | "listSnapshots" | "deleteSnapshot" | "forkSandbox">

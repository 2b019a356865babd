/**
 * `sandbox-sdk`: the Effect API.
 */
export { Api, ApiError, Failed, statusOf } from "./Api.js"
export {
  BatchEnded,
  BatchEvent,
  BatchExecutionJob,
  BatchExecutionResult,
  BatchStarted,
  JobEnded,
  JobOutput,
  JobStarted
} from "./Batch.js"
export {
  BarChart,
  BarData,
  BoxAndWhiskerChart,
  BoxAndWhiskerData,
  Chart,
  Coordinate,
  LineChart,
  PieChart,
  PieData,
  PointData,
  Scale,
  ScatterChart,
  SimpleChart,
  SuperChart,
  UnknownChart
} from "./Chart.js"
export { CodeContext, Language, RestartReason } from "./CodeContext.js"
export { CurrentUser } from "./CurrentUser.js"
export { type DirectoryProgress, downloadDirectory, uploadDirectory } from "./Directory.js"
export {
  AnySandboxSDKError,
  ConnectionError,
  ExecutionError,
  isSandboxSDKError,
  RateLimitError,
  RequestError,
  SandboxError,
  SandboxErrorCode,
  SandboxSDKError,
  SandboxSDKErrorCode,
  TimeoutError
} from "./Errors.js"
export {
  DroppedOutput,
  Ended,
  ErrorEvent,
  ErrorInfo,
  Execution,
  ExecutionCount,
  ExecutionEvent,
  ExecutionMetadata,
  ExecutionResult,
  Logs,
  OutputMessage,
  ResultEvent,
  Started,
  Stderr,
  Stdout,
  TerminalEvent
} from "./Execution.js"
export { ExecutionInfo, ExecutionKind, ExecutionStatus } from "./ExecutionInfo.js"
export { type FileContent, FileEvent, FileInfo, FileListResponse, type FileToWrite, FileType } from "./File.js"
export { downloadFile, uploadFile } from "./LocalFile.js"
export * as Logging from "./Logging.js"
export { MetricsData } from "./Metrics.js"
export * as Metrics from "./Metrics.js"
export {
  AttachOptions,
  type Callback,
  CreateCodeContextOptions,
  CreateSandboxOptions,
  CreateTemplateOptions,
  DownloadDirectoryOptions,
  type DownloadFileOptions,
  EnvVars,
  ExecuteBatchOptions,
  type FileProgress,
  ForkSandboxOptions,
  HostAndPort,
  ListSandboxesOptions,
  ListSnapshotsOptions,
  MakeDirectoryOptions,
  Metadata,
  Millis,
  Network,
  type OutputCallbacks,
  PageNumber,
  PageSize,
  ReadFileOptions,
  type RunCodeCallbacks,
  type RunCodeOptions,
  RunCodeStreamOptions,
  type RunTerminalOptions,
  RunTerminalStreamOptions,
  SnapshotSandboxOptions,
  StartProcessOptions,
  StreamTemplateBuildOptions,
  UploadDirectoryOptions,
  type UploadFileOptions,
  WatchFilesOptions,
  WriteFileOptions
} from "./Options.js"
export { PortAddress, PortNumber, WaitForPortOptions } from "./Port.js"
export { ProcessInfo, Signal, TerminalSize } from "./Process.js"
export { RateLimitInfo, RateLimitOptions } from "./RateLimit.js"
export * as RateLimit from "./RateLimit.js"
export { Resources } from "./Resources.js"
export { type Format, Result } from "./Result.js"
export * as Retry from "./Retry.js"
export { Sandbox } from "./Sandbox.js"
export { LogLevel, SandboxConfig, type SandboxConfigOptions, type SandboxSettings } from "./SandboxConfig.js"
export { SandboxInfo, SandboxStatus, StartCommandInfo } from "./SandboxInfo.js"
export { SandboxMetrics } from "./SandboxMetrics.js"
export { type CreatedSandbox, SandboxSDK, type Service } from "./SandboxSDK.js"
export { Snapshot } from "./Snapshot.js"
export { SandboxTemplate, TemplateConfig, TemplateLanguage, TemplatePage } from "./Template.js"
export {
  BuildEnded,
  BuildError,
  BuildEvent,
  BuildOutput,
  BuildStarted,
  BuildStatus,
  BuildStep,
  TemplateBuild
} from "./TemplateBuild.js"
export { UsageData } from "./Usage.js"

/**
 * The HTTP interface, as one value: every route with its schemas, its errors and their status codes, and who may use it.
 * The server, the remote layer and the OpenAPI document are made from it.
 */
import * as HttpApi from "@effect/platform/HttpApi"
import * as OpenApi from "@effect/platform/OpenApi"
import { Code } from "./api/Code.js"
import { Contexts } from "./api/Contexts.js"
import { Executions } from "./api/Executions.js"
import { Files } from "./api/Files.js"
import { tidy } from "./api/OpenApi.js"
import { Ports } from "./api/Ports.js"
import { Processes } from "./api/Processes.js"
import { Sandboxes } from "./api/Sandboxes.js"
import { Service } from "./api/Service.js"
import { Snapshots } from "./api/Snapshots.js"
import { ApiError, statusDescriptions } from "./api/Status.js"
import { recordSchemas } from "./api/Streams.js"
import { Templates } from "./api/Templates.js"

export { PortAnswer } from "./api/Ports.js"
export { Authorization, Caller, MetricsAuthorization, MetricsReader } from "./api/Security.js"
export { Health } from "./api/Service.js"
export {
  ApiError,
  Failed,
  protocolStatuses,
  sandboxErrorStatus,
  sandboxSDKErrorStatus,
  statusOf
} from "./api/Status.js"
export {
  BatchRecord,
  BuildRecord,
  BYTES,
  EVENT_STREAM,
  ExecutionRecord,
  FileRecord,
  NDJSON,
  TerminalRecord
} from "./api/Streams.js"
export {
  BatchRequest,
  CreatedSandbox,
  Done,
  ExecuteRequest,
  ExecuteResponse,
  ProcessRequest,
  RawResult,
  StatusResponse,
  TerminalRequest,
  TerminalResponse
} from "./api/Wire.js"

/**
 * The interface.
 *
 * A derived client (`HttpApiClient.make(Api, …)`) has a function for each route but for what streams: `code.*` with an
 * `Accept` header, `executions.events`, `files.watch`, `templates.buildLog`, `files.download`, `files.upload` and
 * `processes.writeStdin` are to be sent and read with the `HttpClient`.
 *
 * @category api
 */
export class Api extends HttpApi.make("sandbox-sdk")
  .add(Sandboxes)
  .add(Code)
  .add(Executions)
  .add(Processes)
  .add(Files)
  .add(Contexts)
  .add(Ports)
  .add(Templates)
  .add(Snapshots)
  .add(Service)
  .addError(ApiError)
  .annotate(HttpApi.AdditionalSchemas, [...recordSchemas])
  .annotateContext(OpenApi.annotations({
    title: "Sandbox SDK",
    version: "0.1.0",
    transform: tidy(statusDescriptions),
    description:
      "Run code that nobody has read, in isolated sandboxes. Every failed request is answered with an error: " +
      "its `_tag` says of what kind it is, its `message` what is wrong."
  }))
{}

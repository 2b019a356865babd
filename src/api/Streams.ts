/**
 * Answers that are streams, and how OpenAPI is told of them: HTTP has no other way to describe an answer whose length
 * nobody knows.
 *
 * A request with `Accept: text/event-stream` is answered with server-sent events (WHATWG HTML, 9.2: `id` is the number of
 * the event, `data` the event as JSON), one with `Accept: application/x-ndjson` with one JSON text a line. Both end with
 * the end event, or with {@link Failed}.
 */
import * as OpenApi from "@effect/platform/OpenApi"
import * as Schema from "effect/Schema"
import { BatchEnded, BatchStarted, JobEnded, JobOutput, JobStarted } from "../Batch.js"
import { Ended, ErrorEvent, ExecutionCount, ResultEvent, Started, Stderr, Stdout } from "../Execution.js"
import { FileEvent } from "../File.js"
import { BuildEnded, BuildOutput, BuildStarted, BuildStep } from "../TemplateBuild.js"
import { Failed } from "./Status.js"

/**
 * The media type of server-sent events.
 *
 * @category streams
 */
export const EVENT_STREAM = "text/event-stream"

/**
 * The media type of JSON texts, one a line.
 *
 * @category streams
 */
export const NDJSON = "application/x-ndjson"

/**
 * The media type of the bytes of a file.
 *
 * @category streams
 */
export const BYTES = "application/octet-stream"

/**
 * A record of a stream of `execute`.
 *
 * @category streams
 */
export const ExecutionRecord = Schema.Union(
  Started,
  Stdout,
  Stderr,
  ResultEvent,
  ErrorEvent,
  ExecutionCount,
  Ended,
  Failed
).annotations({ identifier: "ExecutionRecord" })

/**
 * A record of a stream of `terminal`.
 *
 * @category streams
 */
export const TerminalRecord = Schema.Union(Started, Stdout, Stderr, Ended, Failed).annotations({
  identifier: "TerminalRecord"
})

/**
 * A record of a stream of `batch`.
 *
 * @category streams
 */
export const BatchRecord = Schema.Union(BatchStarted, JobStarted, JobOutput, JobEnded, BatchEnded, Failed).annotations({
  identifier: "BatchRecord"
})

/**
 * A record of a stream of `executions/…/events`: those of `execute` and `terminal`, or for a batch those of `batch`.
 *
 * @category streams
 */
export const EventRecord = Schema.Union(ExecutionRecord, BatchRecord).annotations({ identifier: "EventRecord" })

/**
 * The last record of an answer that is a part of a stream only: it goes on after the event with the number `after`; or
 * there is nothing after that, when it is `over`.
 *
 * @category streams
 */
export const Continues = Schema.TaggedStruct("Continues", {
  after: Schema.Finite,
  over: Schema.optional(Schema.Boolean)
}).annotations({
  identifier: "Continues"
})

/**
 * @category streams
 */
export type Continues = typeof Continues.Type

/**
 * A record of a stream of `files/watch`.
 *
 * @category streams
 */
export const FileRecord = Schema.Union(FileEvent, Failed).annotations({ identifier: "FileRecord" })

/**
 * A record of a stream of `builds/log`.
 *
 * @category streams
 */
export const BuildRecord = Schema.Union(BuildStarted, BuildStep, BuildOutput, BuildEnded, Failed).annotations({
  identifier: "BuildRecord"
})

/**
 * The names under which OpenAPI knows the records.
 *
 * @category openapi
 */
export const recordSchemas = [
  ExecutionRecord,
  TerminalRecord,
  BatchRecord,
  EventRecord,
  FileRecord,
  BuildRecord
] as const

type Operation = Record<string, unknown>

const isRecord = (u: unknown): u is Record<string, unknown> => typeof u === "object" && u !== null && !Array.isArray(u)

const record = (u: unknown): Record<string, unknown> => isRecord(u) ? u : {}

const withContent = (operation: Operation, content: Record<string, unknown>): Operation => {
  const responses = record(operation["responses"])
  const ok = record(responses["200"])
  return {
    ...operation,
    responses: { ...responses, 200: { ...ok, content: { ...record(ok["content"]), ...content } } }
  }
}

/**
 * Tells OpenAPI that an endpoint can answer with a stream of the records of this name, too. `itemSchema` is of OpenAPI
 * 3.2 (https://spec.openapis.org/oas/v3.2.0.html#sequential-media-types); readers of 3.1 find the same under `schema`.
 *
 * @category openapi
 */
export const streamsRecords = (
  name: "ExecutionRecord" | "TerminalRecord" | "BatchRecord" | "EventRecord" | "FileRecord" | "BuildRecord",
  description: string
) =>
  OpenApi.annotations({
    description,
    transform: (operation) => {
      const reference = { $ref: `#/components/schemas/${name}` }
      const item = { schema: reference, itemSchema: reference }
      return withContent(operation, { [EVENT_STREAM]: item, [NDJSON]: item })
    }
  })

/**
 * Tells OpenAPI that an endpoint takes the bytes of a file as its body.
 *
 * @category openapi
 */
export const takesBytes = (description: string) =>
  OpenApi.annotations({
    description,
    transform: (operation) => ({
      ...operation,
      requestBody: { required: true, content: { [BYTES]: { schema: { type: "string", format: "binary" } } } }
    })
  })

/**
 * Tells OpenAPI that an endpoint answers with the bytes of a file.
 *
 * @category openapi
 */
export const givesBytes = (description: string) =>
  OpenApi.annotations({
    description,
    transform: (operation) => withContent(operation, { [BYTES]: { schema: { type: "string", format: "binary" } } })
  })

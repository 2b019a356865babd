/**
 * The bodies of requests and answers, where they differ from what the domain calls them.
 */
import * as Schema from "effect/Schema"
import { BatchExecutionJob } from "../Batch.js"
import { ErrorInfo, ExecutionMetadata, Logs } from "../Execution.js"
import { ExecuteBatchOptions, RunCodeStreamOptions, RunTerminalStreamOptions, StartProcessOptions } from "../Options.js"
import { Result } from "../Result.js"
import { SandboxInfo, SandboxStatus } from "../SandboxInfo.js"

/**
 * The answer to what gives nothing back.
 *
 * @category answers
 */
export const Done = Schema.Struct({ success: Schema.Literal(true) })

/**
 * @category answers
 */
export const CreatedSandbox = Schema.Struct({
  sandbox: SandboxInfo,
  connectionString: Schema.optional(Schema.String),
  credentials: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.String }))
})

/**
 * @category answers
 */
export const StatusResponse = Schema.Struct({ status: SandboxStatus })

// For how long a server holds what has not arrived is its own business.
const { envs: envVars, hold: _, ...codeOptions } = RunCodeStreamOptions.fields

/**
 * Code to run. The environment variables are called `envVars` here.
 *
 * @category requests
 */
export const ExecuteRequest = Schema.Struct({ code: Schema.String, ...codeOptions, envVars })

const RawRecord = Schema.Struct({ is_main_result: Schema.Boolean }, { key: Schema.String, value: Schema.Unknown })
  .annotations({ identifier: "RawResult" })

const named = new Set(Object.keys(Result.fields).filter((name) => name !== "isMainResult" && name !== "extra"))

/**
 * A {@link Result} as one flat object: every representation by name, those of other media types among them, and
 * `is_main_result`.
 *
 * @category answers
 */
export const RawResult: Schema.Schema<Result, typeof RawRecord.Type> = Schema.transform(RawRecord, Result, {
  strict: false,
  decode: ({ is_main_result, ...raw }) => {
    const entries = Object.entries(raw)
    return {
      ...Object.fromEntries(entries.filter(([name]) => named.has(name))),
      isMainResult: is_main_result,
      extra: Object.fromEntries(entries.filter(([name]) => !named.has(name)))
    }
  },
  encode: ({ extra, isMainResult, ...representations }) => ({
    ...extra,
    ...representations,
    is_main_result: isMainResult
  })
})

/**
 * What a run of code gave. `error` is what the code raised: that is an answer, and no failure of the request.
 *
 * @category answers
 */
export const ExecuteResponse = Schema.Struct({
  logs: Logs,
  results: Schema.Array(RawResult),
  error: Schema.optional(ErrorInfo),
  executionCount: Schema.optional(Schema.Finite),
  metadata: ExecutionMetadata
})

const { envs: commandEnvVars, hold: __, ...commandOptions } = RunTerminalStreamOptions.fields

/**
 * A command to run.
 *
 * @category requests
 */
export const TerminalRequest = Schema.Struct({ command: Schema.String, ...commandOptions, envVars: commandEnvVars })

const { envs: processEnvVars, ...processOptions } = StartProcessOptions.fields

/**
 * A program to start.
 *
 * @category requests
 */
export const ProcessRequest = Schema.Struct({ ...processOptions, envVars: processEnvVars })

/**
 * @category answers
 */
export const TerminalResponse = Schema.Struct({ output: Schema.String, exitCode: Schema.Finite })

const { hold: ___, ...batchOptions } = ExecuteBatchOptions.fields

/**
 * Jobs, and how they are run. The jobs alone, as an array, will do.
 *
 * @category requests
 */
export const BatchRequest = Schema.Union(
  Schema.Struct({ jobs: Schema.Array(BatchExecutionJob), ...batchOptions }),
  Schema.Array(BatchExecutionJob)
)

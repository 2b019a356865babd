/**
 * What E2B's three interfaces answer, as far as it is read here. Fields that are not named are ignored: every version of
 * the protocol has some more.
 */
import * as Schema from "effect/Schema"
import { RawResult } from "../api/Wire.js"

const Labels = Schema.optional(Schema.NullOr(Schema.Record({ key: Schema.String, value: Schema.String })))

const maybe = Schema.optional(Schema.NullOr(Schema.String))

/**
 * A sandbox that was made, or connected to.
 */
export const Connected = Schema.Struct({
  sandboxID: Schema.String,
  templateID: Schema.String,
  domain: maybe,
  envdAccessToken: maybe,
  trafficAccessToken: maybe
})

/**
 * A sandbox as it is.
 */
export const Described = Schema.Struct({
  ...Connected.fields,
  state: Schema.Literal("running", "paused"),
  startedAt: Schema.DateFromString,
  endAt: Schema.DateFromString,
  metadata: Labels
})

/**
 * Sandboxes.
 */
export const Listed = Schema.Array(Described)

/**
 * What a sandbox uses; at several times, the latest last.
 */
export const Measured = Schema.Array(Schema.Struct({
  timestamp: Schema.DateFromString,
  cpuCount: Schema.Finite,
  cpuUsedPct: Schema.Finite,
  memUsed: Schema.Finite,
  memTotal: Schema.Finite,
  memCache: Schema.Finite,
  diskUsed: Schema.Finite,
  diskTotal: Schema.Finite
}))

/**
 * A snapshot that was made.
 */
export const Snapshotted = Schema.Struct({
  snapshotID: Schema.String,
  names: Schema.optional(Schema.NullOr(Schema.Array(Schema.String)))
})

/**
 * The copies of a sandbox: each is one, or why there is none.
 */
export const Forked = Schema.Array(
  Schema.Struct({
    sandbox: Schema.optional(Schema.NullOr(Connected)),
    error: Schema.optional(Schema.NullOr(Schema.Struct({ message: Schema.optional(Schema.String) })))
  })
)

/**
 * What the control plane, `/files` and the code interpreter answer in place of a success.
 */
export const PlainError = Schema.Struct({ message: Schema.String })

/**
 * What a call of the Connect protocol answers in place of a success
 * (https://connectrpc.com/docs/protocol#error-end-stream).
 */
export const ConnectError = Schema.Struct({
  code: Schema.String,
  message: Schema.optionalWith(Schema.String, { default: () => "" })
})

/**
 * The last message of a stream.
 */
export const EndOfStream = Schema.Struct({ error: Schema.optional(Schema.NullOr(ConnectError)) })

const Int64 = Schema.Union(Schema.Finite, Schema.NumberFromString)

/** Fields that have their default value are left out of the JSON of protobuf. */
const whole = Schema.optionalWith(Schema.Int, { default: () => 0 })

/**
 * An entry of a folder.
 */
export const Entry = Schema.Struct({
  name: Schema.String,
  path: Schema.String,
  type: Schema.optionalWith(Schema.String, { default: () => "FILE_TYPE_UNSPECIFIED" }),
  size: Schema.optionalWith(Int64, { default: () => 0 }),
  mode: whole,
  permissions: Schema.optionalWith(Schema.String, { default: () => "" }),
  modifiedTime: Schema.optional(Schema.String),
  symlinkTarget: maybe
})

/**
 * An entry, by itself.
 */
export const OneEntry = Schema.Struct({ entry: Entry })

/**
 * Entries.
 */
export const Entries = Schema.Struct({ entries: Schema.optionalWith(Schema.Array(Entry), { default: () => [] }) })

/**
 * What was written.
 */
export const Written = Schema.Array(Schema.Struct({ path: Schema.String }))

const Bytes = Schema.Uint8ArrayFromBase64

/**
 * What happens to a process.
 */
export const ProcessMessage = Schema.Struct({
  event: Schema.optional(Schema.Struct({
    start: Schema.optional(Schema.Struct({ pid: Schema.Int })),
    data: Schema.optional(Schema.Struct({
      stdout: Schema.optional(Bytes),
      stderr: Schema.optional(Bytes),
      pty: Schema.optional(Bytes)
    })),
    end: Schema.optional(Schema.Struct({
      exitCode: whole,
      exited: Schema.optionalWith(Schema.Boolean, { default: () => false }),
      status: Schema.optionalWith(Schema.String, { default: () => "" })
    }))
  }))
})

/**
 * @see ProcessMessage
 */
export type ProcessMessage = typeof ProcessMessage.Type

/**
 * The processes that run.
 */
export const Processes = Schema.Struct({
  processes: Schema.optionalWith(
    Schema.Array(Schema.Struct({
      pid: Schema.Int,
      tag: maybe,
      config: Schema.Struct({
        cmd: Schema.String,
        args: Schema.optionalWith(Schema.Array(Schema.String), { default: () => [] }),
        cwd: maybe
      })
    })),
    { default: () => [] }
  )
})

/**
 * What happens in a folder.
 */
export const WatchMessage = Schema.Struct({
  start: Schema.optional(Schema.Struct({})),
  filesystem: Schema.optional(Schema.Struct({ name: Schema.String, type: Schema.String }))
})

/**
 * A context.
 */
export const Context = Schema.Struct({ id: Schema.String, language: Schema.String, cwd: maybe })

/**
 * Contexts.
 */
export const Contexts = Schema.Array(Context)

const Text = Schema.Struct({ text: Schema.String, timestamp: Schema.optional(Schema.Unknown) })

/**
 * A line of the answer of `/execute`.
 */
export const ExecuteRecord = Schema.Union(
  Schema.Struct({ type: Schema.Literal("stdout", "stderr"), ...Text.fields }),
  Schema.Struct({ type: Schema.Literal("number_of_executions"), execution_count: Schema.Int }),
  Schema.Struct({
    type: Schema.Literal("error"),
    name: Schema.String,
    value: Schema.String,
    traceback: Schema.optionalWith(Schema.String, { default: () => "" })
  }),
  Schema.Struct({ type: Schema.Literal("keepalive") }),
  Schema.Struct({ type: Schema.Literal("end_of_execution") }),
  Schema.Struct({ type: Schema.Literal("unexpected_end_of_execution") }),
  Schema.Struct({ type: Schema.Literal("result") }, { key: Schema.String, value: Schema.Unknown })
)

/**
 * @see ExecuteRecord
 */
export type ExecuteRecord = typeof ExecuteRecord.Type

/**
 * A displayed value, as one flat object.
 */
export const ResultRecord = RawResult

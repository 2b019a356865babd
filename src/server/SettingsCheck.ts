/**
 * Checks the settings of a server, and adds what they leave open.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SandboxSDKError } from "../Errors.js"
import { decodeArguments } from "../internal/arguments.js"
import type { QuotaLimits } from "../Quotas.js"
import type { Complete, ServerOptions } from "./Settings.js"

const whole = (min: number, max: number, unit: string) =>
  Schema.optional(
    Schema.Int.pipe(Schema.between(min, max, { description: `a whole number of ${unit} from ${min} to ${max}` }))
  )

const MAX_MS = 2_147_483_647

const Checked = Schema.Struct({
  host: Schema.optional(Schema.NonEmptyString.annotations({ description: "a host name or address" })),
  port: Schema.optional(Schema.Int.pipe(Schema.between(0, 65_535, { description: "a port from 0 to 65535" }))),
  limits: Schema.optional(Schema.Struct({
    maxJsonBytes: whole(1_024, 536_870_888, "bytes"),
    maxUploadBytes: whole(0, Number.MAX_SAFE_INTEGER, "bytes"),
    bodyTimeoutMs: whole(1, MAX_MS, "milliseconds"),
    maxHeaderBytes: whole(1_024, 16_777_216, "bytes"),
    maxUrlLength: whole(256, 16_777_216, "characters"),
    headersTimeoutMs: whole(1, MAX_MS, "milliseconds"),
    idleTimeoutMs: whole(1, MAX_MS, "milliseconds"),
    maxConnections: whole(1, 1_000_000, "connections"),
    openStreams: whole(1, 1_000_000, "streams")
  })),
  metrics: Schema.optional(Schema.Literal("key", "open", "off")),
  cors: Schema.optional(Schema.Union(Schema.Literal("any"), Schema.Array(Schema.String))),
  graceMs: whole(0, MAX_MS, "milliseconds"),
  idempotency: Schema.optional(Schema.Struct({
    directory: Schema.optional(Schema.NonEmptyString.annotations({ description: "the path of a folder" })),
    maxKeys: whole(1, 10_000_000, "keys"),
    maxBytes: whole(0, Number.MAX_SAFE_INTEGER, "bytes"),
    maxAgeMs: whole(1_000, Number.MAX_SAFE_INTEGER, "milliseconds")
  })),
  detachGraceMs: whole(0, MAX_MS, "milliseconds"),
  heartbeatMs: whole(10, MAX_MS, "milliseconds"),
  e2b: Schema.optional(Schema.Boolean),
  portsUrl: Schema.optional(
    Schema.String.pipe(Schema.pattern(/^https?:\/\/[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5})?\/?$/, {
      description: "the URL of a domain in lower case, such as \"https://sandboxes.example.org\""
    }))
  )
})

const decode = decodeArguments(Checked, "layerServer")

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|::1)$/i

/**
 * The settings, complete. Fails with `SandboxSDKError`.
 */
export const complete = (options: ServerOptions): Effect.Effect<Complete, SandboxSDKError> =>
  Effect.gen(function*() {
    const { apiKeys = [], metricsKey, quotas: _, ...checked } = options
    if (metricsKey !== undefined && !/^[\x21-\x7e]+$/.test(Redacted.value(metricsKey))) {
      return yield* new SandboxSDKError({
        code: "invalid_config",
        field: "metricsKey",
        message: "layerServer: metricsKey must be one or more visible ASCII characters, without spaces."
      })
    }
    const {
      cors,
      detachGraceMs = 30_000,
      e2b = false,
      graceMs = 5_000,
      heartbeatMs = 5_000,
      host = "127.0.0.1",
      idempotency = {},
      limits = {},
      metrics = "key",
      port = 3_000,
      portsUrl
    } = yield* decode(checked)
    const hasKeys = apiKeys.length > 0
    if (!hasKeys && !LOOPBACK.test(host)) {
      return yield* new SandboxSDKError({
        code: "invalid_config",
        field: "apiKeys",
        message:
          `layerServer: to listen at ${host}, where others can reach it, the server needs at least one API key; ` +
          "give `apiKeys`, or listen at 127.0.0.1."
      })
    }
    return {
      host,
      port,
      hasKeys,
      metrics,
      metricsKey,
      graceMs,
      detachGraceMs,
      heartbeatMs,
      e2b,
      idempotency: {
        directory: idempotency.directory,
        maxKeys: idempotency.maxKeys ?? 100_000,
        maxBytes: idempotency.maxBytes ?? 16 * 1024 * 1024,
        maxAgeMs: idempotency.maxAgeMs ?? 3_600_000
      },
      portsUrl: portsUrl === undefined ? undefined : new URL(portsUrl),
      cors: cors ?? (hasKeys ? "any" : []),
      bodies: {
        maxJsonBytes: limits.maxJsonBytes ?? 32 * 1024 * 1024,
        maxUploadBytes: limits.maxUploadBytes ?? 8 * 1024 * 1024 * 1024,
        timeoutMs: limits.bodyTimeoutMs ?? 60_000
      },
      maxHeaderBytes: limits.maxHeaderBytes ?? 32 * 1024,
      maxUrlLength: limits.maxUrlLength ?? 16_384,
      headersTimeoutMs: limits.headersTimeoutMs ?? 30_000,
      idleTimeoutMs: limits.idleTimeoutMs ?? 65_000,
      maxConnections: limits.maxConnections ?? 10_000,
      openStreams: limits.openStreams ?? 1_000
    }
  })

/** `Infinity` is no limit. */
const finite = (value: number): number | undefined => Number.isFinite(value) ? value : undefined

const withDefaults = (limits: QuotaLimits): QuotaLimits => ({
  requestsPerMinute: finite(limits.requestsPerMinute ?? 60_000),
  concurrentExecutions: finite(limits.concurrentExecutions ?? 1_000),
  sandboxes: finite(limits.sandboxes ?? 10_000),
  storageBytes: finite(limits.storageBytes ?? Infinity)
})

/**
 * The limits of each user.
 */
export const quotasOf = (quotas: ServerOptions["quotas"]): QuotaLimits | ((user: string) => QuotaLimits) =>
  typeof quotas === "function" ? (user) => withDefaults(quotas(user)) : withDefaults(quotas ?? {})

/**
 * The settings of a server.
 */
import * as Context from "effect/Context"
import type * as Redacted from "effect/Redacted"
import type { QuotaLimits } from "../Quotas.js"
import type { ApiKey } from "./ApiKeys.js"
import type { BodyLimits } from "./Body.js"
import type { IdempotencyLimits } from "./Idempotency.js"

/**
 * Limits of what a client may send, and hold open.
 *
 * @category models
 */
export interface ServerLimits {
  /** Bytes of a body of JSON: 32 MiB by default. */
  readonly maxJsonBytes?: number | undefined
  /** Bytes of a file that is uploaded: 8 GiB by default. */
  readonly maxUploadBytes?: number | undefined
  /** Milliseconds in which a body of JSON has to arrive, and in which more of an upload has to: 60000 by default. */
  readonly bodyTimeoutMs?: number | undefined
  /** Bytes of all header fields and the URL together: 32 KiB by default. */
  readonly maxHeaderBytes?: number | undefined
  /** Characters of a URL: 16384 by default. */
  readonly maxUrlLength?: number | undefined
  /** Milliseconds in which the header fields have to arrive: 30000 by default. */
  readonly headersTimeoutMs?: number | undefined
  /** Milliseconds for which a connection may be kept open between two requests: 65000 by default. */
  readonly idleTimeoutMs?: number | undefined
  /** Connections at a time: 10000 by default. */
  readonly maxConnections?: number | undefined
  /** Answers that are streams, of one user at a time: 1000 by default. */
  readonly openStreams?: number | undefined
}

/**
 * How requests with an `Idempotency-Key` are remembered, so that one that is made again is not carried out again.
 *
 * @category models
 */
export interface IdempotencyOptions {
  /**
   * A folder that outlives the server: the next one knows the requests of this one by it. Without it, it does not, which is
   * right where the sandboxes end with the server. {@link serve} takes its `dataDirectory`.
   */
  readonly directory?: string | undefined
  /** Keys of each user: 100000 by default. The oldest are forgotten first. */
  readonly maxKeys?: number | undefined
  /** Bytes of answers, of each user: 16 MiB by default. Of older ones, only that they were given is remembered. */
  readonly maxBytes?: number | undefined
  /** Milliseconds for which a request is remembered after its end: an hour by default. */
  readonly maxAgeMs?: number | undefined
}

/**
 * Settings of a server.
 *
 * @category models
 */
export interface ServerOptions {
  /** The address to listen at: 127.0.0.1 by default. Beyond this machine only with API keys. */
  readonly host?: string | undefined
  /** The port to listen at: 3000 by default; 0 is a free one, see {@link ServerAddress}. */
  readonly port?: number | undefined
  /**
   * Who may use the server; see {@link ApiKeys} for changes at run time. Without any, whoever reaches it may: it listens on
   * this machine alone then, and refuses requests that a web page of another origin makes.
   */
  readonly apiKeys?: ReadonlyArray<ApiKey | Redacted.Redacted> | undefined
  /**
   * What each user may have, or a function of the user. By default 60000 requests a minute, 1000 executions at a time and
   * 10000 sandboxes; an absent limit is the default, `Infinity` is none.
   */
  readonly quotas?: QuotaLimits | ((user: string) => QuotaLimits) | undefined
  /** Limits of what a client may send, and hold open. */
  readonly limits?: ServerLimits | undefined
  /**
   * Who may read `GET /metrics`: whoever has an API key, and sees what its own user does (`"key"`, the default); everybody,
   * and sees what all users do together (`"open"`); nobody (`"off"`). No user is named in them.
   */
  readonly metrics?: "key" | "open" | "off" | undefined
  /** A key for `GET /metrics` alone: who has it sees what all users do together. For the monitoring of the server. */
  readonly metricsKey?: Redacted.Redacted | undefined
  /**
   * The origins of web pages that may use the server (`"https://app.example.org"`), or `"any"`. With API keys, which no web
   * page has by itself, any by default; without, none.
   */
  readonly cors?: "any" | ReadonlyArray<string> | undefined
  /**
   * Where the ports of sandboxes are reached, each under a name of its own: `"https://sandboxes.example.org"` for
   * `https://8000-ID.sandboxes.example.org/`. All names below it have to lead to this server. Take a domain of its own, on
   * which nothing else is. Without it they are reached below `/api/sandboxes/ID/ports/`, where browsers keep pages from
   * cookies and storage.
   */
  readonly portsUrl?: string | undefined
  /** How long running requests may take to end when the server does, in milliseconds: 5000 by default. */
  readonly graceMs?: number | undefined
  /** How requests with an `Idempotency-Key` are remembered. */
  readonly idempotency?: IdempotencyOptions | undefined
  /**
   * How long what a request with an `Idempotency-Key` has started goes on when its client is gone, in milliseconds: 30000 by
   * default. Within that time a client whose connection broke can come back. A request without a key ends with its
   * connection.
   */
  readonly detachGraceMs?: number | undefined
  /**
   * How long an answer that is a stream is silent at most, in milliseconds: 5000 by default. Then a sign of life is sent: a
   * comment (server-sent events), a blank line (NDJSON).
   */
  readonly heartbeatMs?: number | undefined
  /**
   * Whether E2B's protocol is spoken too, so that programs that are written for E2B's own clients run here: `false` by
   * default, `true` in `sandbox serve`. They are led here by `E2B_API_URL` and `E2B_SANDBOX_URL`, both the URL of the server,
   * and `E2B_API_KEY`, one of its keys; those of some versions take none but `e2b_` and hexadecimal digits.
   */
  readonly e2b?: boolean | undefined
}

/**
 * Where a server listens.
 *
 * @category tags
 */
export class ServerAddress extends Context.Tag("sandbox-sdk/server/ServerAddress")<
  ServerAddress,
  { readonly host: string; readonly port: number; readonly url: string }
>() {}

/**
 * The settings, complete.
 */
export interface Complete {
  readonly host: string
  readonly port: number
  readonly hasKeys: boolean
  readonly bodies: BodyLimits
  readonly maxHeaderBytes: number
  readonly maxUrlLength: number
  readonly headersTimeoutMs: number
  readonly idleTimeoutMs: number
  readonly maxConnections: number
  readonly openStreams: number
  readonly metrics: "key" | "open" | "off"
  readonly metricsKey: Redacted.Redacted | undefined
  readonly cors: "any" | ReadonlyArray<string>
  readonly portsUrl: URL | undefined
  readonly graceMs: number
  readonly idempotency: IdempotencyLimits & { readonly directory: string | undefined }
  readonly detachGraceMs: number
  readonly heartbeatMs: number
  readonly e2b: boolean
}

/**
 * The tag.
 */
export class Settings extends Context.Tag("sandbox-sdk/server/Settings")<Settings, Complete>() {}

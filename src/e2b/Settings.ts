/**
 * The settings of the layer over E2B's protocol, checked and complete.
 */
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { SandboxSDKError } from "../Errors.js"
import { decodeArguments, normalizeDirectory } from "../internal/arguments.js"
import { Millis } from "../Millis.js"

/**
 * Settings of `layerE2B`.
 *
 * @category models
 */
export interface E2BOptions {
  /** The API key (`e2b_…`). Visible ASCII characters; it is kept redacted. */
  readonly apiKey: string | Redacted.Redacted
  /** The domain of the service, `"e2b.app"` by default: `https://api.DOMAIN`, and `https://PORT-SANDBOX.DOMAIN`. */
  readonly domain?: string | undefined
  /** Where the control plane is, when it is not `https://api.DOMAIN`. */
  readonly apiUrl?: string | undefined
  /** One URL for all sandboxes; which is meant, a header field says then. A server of one's own has the same as `apiUrl`. */
  readonly sandboxUrl?: string | undefined
  /** The folder of a sandbox that stands for `/workspace`: `"/home/user"` by default, the home of E2B's sandboxes. */
  readonly home?: string | undefined
  /** Milliseconds for one request; 60000 by default. Streams and runs are not limited by it. */
  readonly timeout?: number | undefined
  /** How often a request is repeated at most; 3 by default. */
  readonly maxRetries?: number | undefined
  /** Milliseconds before the first repetition, which grow from there; 1000 by default. */
  readonly retryDelay?: number | undefined
}

/**
 * The settings as they are used.
 */
export interface Settings {
  readonly apiKey: Redacted.Redacted
  readonly apiUrl: string
  readonly sandboxUrl: string | undefined
  readonly domain: string
  readonly home: string
  readonly timeout: number
  readonly maxRetries: number
  readonly retryDelay: number
}

const Options = Schema.Struct({
  apiKey: Schema.optional(Schema.Unknown),
  domain: Schema.optional(
    Schema.String.pipe(
      Schema.pattern(/^[a-z0-9-]+(\.[a-z0-9-]+)*(:\d{1,5})?$/i, { description: "a domain, such as \"e2b.app\"" })
    )
  ),
  apiUrl: Schema.optional(Schema.String),
  sandboxUrl: Schema.optional(Schema.String),
  home: Schema.optional(
    Schema.String.pipe(Schema.pattern(/^\//, { description: "the absolute path of a folder, such as \"/home/user\"" }))
  ),
  timeout: Schema.optional(Millis),
  maxRetries: Schema.optional(
    Schema.Int.pipe(Schema.between(0, 1_000, { description: "a whole number from 0 to 1000" }))
  ),
  retryDelay: Schema.optional(Millis)
})

const decode = decodeArguments(Options, "layerE2B")

const invalid = (field: string, problem: string): SandboxSDKError =>
  new SandboxSDKError({ code: "invalid_config", field, message: `layerE2B: ${problem}` })

const requireKey = (value: unknown): Effect.Effect<Redacted.Redacted, SandboxSDKError> => {
  const key = Redacted.isRedacted(value) ? Redacted.value(value) : value
  // RFC 9110, 5.5: what a header field can carry. What is wrong is said without the key.
  return typeof key === "string" && /^[\x21-\x7e]+$/.test(key)
    ? Effect.succeed(Redacted.make(key))
    : Effect.fail(invalid(
      "apiKey",
      "apiKey must be a string of visible ASCII characters, such as \"e2b_…\"; check that no line break is at its end."
    ))
}

const requireUrl = (field: string, value: string): Effect.Effect<string, SandboxSDKError> => {
  const url = URL.canParse(value) ? new URL(value) : undefined
  return url === undefined || !/^https?:$/.test(url.protocol) || url.username !== "" || url.password !== "" ||
      url.search !== "" || url.hash !== ""
    ? Effect.fail(invalid(
      field,
      `${field} must be an http:// or https:// URL without a user name, "?" and "#", such as "http://localhost:3000".`
    ))
    : Effect.succeed(`${url.origin}${url.pathname}`.replace(/\/+$/, ""))
}

/**
 * Checks the settings. Fails with `SandboxSDKError` `invalid_config`, whose `field` names the setting.
 */
export const make = (options: E2BOptions): Effect.Effect<Settings, SandboxSDKError> =>
  Effect.gen(function*() {
    const given = yield* Effect.mapError(
      decode(options),
      ({ field, message }) =>
        new SandboxSDKError({ code: "invalid_config", message, ...field === undefined ? {} : { field } })
    )
    const domain = given.domain ?? "e2b.app"
    return {
      apiKey: yield* requireKey(given.apiKey),
      apiUrl: yield* requireUrl("apiUrl", given.apiUrl ?? `https://api.${domain}`),
      sandboxUrl: given.sandboxUrl === undefined ? undefined : yield* requireUrl("sandboxUrl", given.sandboxUrl),
      domain,
      home: yield* normalizeDirectory("layerE2B", given.home ?? "/home/user", "home"),
      timeout: given.timeout ?? 60_000,
      maxRetries: given.maxRetries ?? 3,
      retryDelay: given.retryDelay ?? 1_000
    }
  })

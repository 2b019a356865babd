/**
 * The API keys that a server knows. It keeps their hashes alone, and compares those in a time that says nothing.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import { createHash, timingSafeEqual } from "node:crypto"
import { SandboxSDKError } from "../Errors.js"

/**
 * An API key. Who uses it is `user`: the keys of one user see the same sandboxes. Without it, every key is a user of its
 * own, known by a hash of the key, and so the same after a restart.
 *
 * @category models
 */
export interface ApiKey {
  readonly key: Redacted.Redacted
  readonly user?: string | undefined
}

/**
 * What is known of a key that may be shown: `id` names it without giving it away.
 *
 * @category models
 */
export interface KnownKey {
  readonly id: string
  readonly user: string
}

/**
 * The keys, at run time.
 *
 * @category models
 */
export interface ApiKeysService {
  /** Lets requests with this key in from now on. Fails with `SandboxSDKError` `invalid_config` for an empty one. */
  readonly add: (key: ApiKey | Redacted.Redacted) => Effect.Effect<KnownKey, SandboxSDKError>
  /** Refuses requests with the key of this id from now on; whether there was one. What runs with it goes on. */
  readonly revoke: (id: string) => Effect.Effect<boolean>
  /** The keys that are known. */
  readonly list: Effect.Effect<ReadonlyArray<KnownKey>>
  /** Whether requests need a key: once one has been known, also when all of them are revoked. */
  readonly required: Effect.Effect<boolean>
  /** Whose key this is. Fails with `SandboxSDKError` `unauthorized`. */
  readonly verify: (key: Redacted.Redacted) => Effect.Effect<KnownKey, SandboxSDKError>
}

/**
 * The service tag.
 *
 * @category tags
 */
export class ApiKeys extends Context.Tag("sandbox-sdk/server/ApiKeys")<ApiKeys, ApiKeysService>() {}

const hash = (purpose: string, key: string): Buffer => createHash("sha256").update(`${purpose}\0${key}`).digest()

interface Entry extends KnownKey {
  readonly hash: Buffer
}

const entryOf = (input: ApiKey | Redacted.Redacted): Effect.Effect<Entry, SandboxSDKError> => {
  const { key, user }: ApiKey = Redacted.isRedacted(input) ? { key: input } : input
  const text = Redacted.value(key)
  // Visible ASCII is all that a header field takes without being quoted (RFC 9110, 5.5).
  return /^[\x21-\x7e]+$/.test(text)
    ? Effect.succeed({
      hash: hash("key", text),
      id: `key_${hash("id", text).toString("hex").slice(0, 16)}`,
      user: user ?? `usr_${hash("user", text).toString("hex").slice(0, 16)}`
    })
    : Effect.fail(
      new SandboxSDKError({
        code: "invalid_config",
        field: "apiKeys",
        message: "An API key must be one or more visible ASCII characters, without spaces."
      })
    )
}

const unauthorized = (message: string): SandboxSDKError => new SandboxSDKError({ code: "unauthorized", message })

/**
 * Makes the service.
 *
 * @category constructors
 */
export const make = (
  keys: ReadonlyArray<ApiKey | Redacted.Redacted>
): Effect.Effect<ApiKeysService, SandboxSDKError> =>
  Effect.gen(function*() {
    const entries = new Map<string, Entry>()
    let required = false

    const add = (key: ApiKey | Redacted.Redacted) =>
      Effect.map(entryOf(key), (entry): KnownKey => {
        entries.set(entry.id, entry)
        required = true
        return { id: entry.id, user: entry.user }
      })

    yield* Effect.forEach(keys, add, { discard: true })

    return {
      add,
      revoke: (id) => Effect.sync(() => entries.delete(id)),
      list: Effect.sync(() => [...entries.values()].map(({ id, user }) => ({ id, user }))),
      required: Effect.sync(() => required),
      verify: (key) =>
        Effect.suspend(() => {
          const text = Redacted.value(key)
          if (text === "") {
            return Effect.fail(unauthorized("This needs an API key: send it as `Authorization: Bearer <api key>`."))
          }
          const given = hash("key", text)
          let found: Entry | undefined
          for (const entry of entries.values()) {
            // Every one is looked at, whichever it is.
            if (timingSafeEqual(entry.hash, given)) {
              found = entry
            }
          }
          return found === undefined
            ? Effect.fail(unauthorized("The API key is not known here, or has been revoked."))
            : Effect.succeed({ id: found.id, user: found.user })
        })
    }
  })

/**
 * The keys as a layer.
 *
 * @category layers
 */
export const layer = (
  keys: ReadonlyArray<ApiKey | Redacted.Redacted>
): Layer.Layer<ApiKeys, SandboxSDKError> => Layer.effect(ApiKeys, make(keys))

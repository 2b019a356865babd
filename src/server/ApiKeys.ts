/**
 * The API keys that a server knows. It keeps their hashes alone, and compares those in a time that says nothing.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { SandboxSDKError } from "../Errors.js"
import { acquireRelease } from "../internal/finalizing.js"

/**
 * An API key, or its SHA-256 (`"sha256:"` and 64 hexadecimal digits, as `printf %s KEY | sha256sum` gives them), so that
 * the key itself is nowhere on the server. A hash protects a key that nobody can guess: use long random ones.
 *
 * Who uses it is `user`: the keys of one user see the same sandboxes. Without it, every key is a user of its own, known by
 * a hash of the key, and so the same after a restart.
 *
 * @category models
 */
export type ApiKey =
  | { readonly key: Redacted.Redacted; readonly user?: string | undefined }
  | { readonly hash: string; readonly user?: string | undefined }

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
  /**
   * Lets requests with this key in from now on. One that is known already under another user is revoked first. Fails with
   * `SandboxSDKError` `invalid_config` for a malformed one.
   */
  readonly add: (key: ApiKey | Redacted.Redacted) => Effect.Effect<KnownKey, SandboxSDKError>
  /**
   * Refuses requests with the key of this id from now on; whether there was one. Requests with it that are being answered,
   * streams among them, are cut off (`unauthorized`) and what they run is ended, by when this succeeds. The sandboxes stay:
   * they belong to the user.
   */
  readonly revoke: (id: string) => Effect.Effect<boolean>
  /**
   * Makes these the keys: adds those that are new, and revokes those that are not among them. Fails with `SandboxSDKError`
   * `invalid_config` when one is malformed, and has changed nothing then.
   */
  readonly replace: (
    keys: ReadonlyArray<ApiKey | Redacted.Redacted>
  ) => Effect.Effect<
    { readonly added: ReadonlyArray<KnownKey>; readonly revoked: ReadonlyArray<KnownKey> },
    SandboxSDKError
  >
  /** The keys that are known. */
  readonly list: Effect.Effect<ReadonlyArray<KnownKey>>
  /** The key of this id, if it is known. */
  readonly find: (id: string) => Effect.Effect<Option.Option<KnownKey>>
  /** Whether requests need a key: once one has been known, also when all of them are revoked. */
  readonly required: Effect.Effect<boolean>
  /** Whose key this is. Fails with `SandboxSDKError` `unauthorized`. */
  readonly verify: (key: Redacted.Redacted) => Effect.Effect<KnownKey, SandboxSDKError>
  /**
   * Has `end` run, once, when the key of this id is revoked, until the scope closes. Fails with `SandboxSDKError`
   * `unauthorized` when it is not known any more.
   */
  readonly whileKnown: (
    id: string,
    end: Effect.Effect<void>
  ) => Effect.Effect<void, SandboxSDKError, Scope.Scope>
  /** The same, until what it gives is called. */
  readonly hold: (id: string, end: Effect.Effect<void>) => Either.Either<() => void, SandboxSDKError>
}

/**
 * The service tag.
 *
 * @category tags
 */
export class ApiKeys extends Context.Tag("sandbox-sdk/server/ApiKeys")<ApiKeys, ApiKeysService>() {}

const sha256 = (text: string): Buffer => createHash("sha256").update(text).digest()

interface Entry extends KnownKey {
  readonly hash: Buffer
  /** What is to be ended with it. */
  readonly held: Set<Effect.Effect<void>>
}

const invalid = (message: string) => new SandboxSDKError({ code: "invalid_config", field: "apiKeys", message })

const hashOf = (input: ApiKey): Effect.Effect<Buffer, SandboxSDKError> => {
  if ("hash" in input) {
    const [, digits] = /^sha256:([0-9a-f]{64})$/i.exec(input.hash) ?? []
    return digits === undefined
      ? Effect.fail(invalid("The hash of an API key must be \"sha256:\" and 64 hexadecimal digits."))
      : Effect.succeed(Buffer.from(digits, "hex"))
  }
  const text = Redacted.value(input.key)
  // Visible ASCII is all that a header field takes without being quoted (RFC 9110, 5.5).
  return /^[\x21-\x7e]+$/.test(text)
    ? Effect.succeed(sha256(text))
    : Effect.fail(invalid("An API key must be one or more visible ASCII characters, without spaces."))
}

const entryOf = (input: ApiKey | Redacted.Redacted): Effect.Effect<Entry, SandboxSDKError> =>
  Effect.gen(function*() {
    const key: ApiKey = Redacted.isRedacted(input) ? { key: input } : input
    const hash = yield* hashOf(key)
    if (key.user !== undefined && !/^[^\p{Cc}]+$/u.test(key.user)) {
      return yield* invalid("The user of an API key must be one or more characters, none of them a control character.")
    }
    const name = (purpose: string) => sha256(`${purpose}\0${hash.toString("hex")}`).toString("hex").slice(0, 16)
    return { hash, id: `key_${name("id")}`, user: key.user ?? `usr_${name("user")}`, held: new Set() }
  })

const unauthorized = (message: string): SandboxSDKError => new SandboxSDKError({ code: "unauthorized", message })

/**
 * What a request is told whose key is revoked while it is being answered.
 */
export const wasRevoked = unauthorized("The API key of this request has been revoked.")

const shown = ({ id, user }: Entry): KnownKey => ({ id, user })

/**
 * Makes the service.
 *
 * @category constructors
 */
export const make = (
  keys: ReadonlyArray<ApiKey | Redacted.Redacted>
): Effect.Effect<ApiKeysService, SandboxSDKError> =>
  Effect.gen(function*() {
    // Looked up by a hash that nobody else can compute, so the look-up says nothing of other keys, nor of how many there
    // are; and then compared with the one that was found, or with one that nobody has.
    const secret = randomBytes(32)
    const nobody = randomBytes(32)
    const placeOf = (hash: Buffer): string => createHmac("sha256", secret).update(hash).digest("base64")
    const places = new Map<string, Entry>()
    const entries = new Map<string, Entry>()
    let required = false

    const revoke = (id: string): Effect.Effect<boolean> =>
      Effect.suspend(() => {
        const entry = entries.get(id)
        if (entry === undefined) {
          return Effect.succeed(false)
        }
        entries.delete(id)
        places.delete(placeOf(entry.hash))
        return Effect.as(
          Effect.forEach([...entry.held], (end) => end, { concurrency: "unbounded", discard: true }),
          true
        )
      }).pipe(Effect.uninterruptible)

    const put = (entry: Entry): Effect.Effect<void> =>
      Effect.suspend(() => {
        const known = entries.get(entry.id)
        if (known?.user === entry.user) {
          return Effect.void
        }
        required = true
        return Effect.zipRight(
          known === undefined ? Effect.void : revoke(known.id),
          Effect.sync(() => {
            entries.set(entry.id, entry)
            places.set(placeOf(entry.hash), entry)
          })
        )
      })

    const replace: ApiKeysService["replace"] = (wanted) =>
      Effect.gen(function*() {
        const given = yield* Effect.forEach(wanted, entryOf)
        const next = new Map(given.map((entry) => [entry.id, entry]))
        const isKept = (entry: Entry) => next.get(entry.id)?.user === entry.user
        const revoked = [...entries.values()].filter((entry) => !isKept(entry))
        const added = [...next.values()].filter(({ id, user }) => entries.get(id)?.user !== user)
        yield* Effect.forEach(revoked, ({ id }) => revoke(id), { concurrency: "unbounded", discard: true })
        yield* Effect.forEach(added, put, { discard: true })
        return { added: added.map(shown), revoked: revoked.map(shown) }
      })

    /** In one step with the look-up: a key that is revoked knows all that is to be ended with it. */
    const hold: ApiKeysService["hold"] = (id, end) => {
      const entry = entries.get(id)
      if (entry === undefined) {
        return Either.left(wasRevoked)
      }
      entry.held.add(end)
      return Either.right(() => {
        entry.held.delete(end)
      })
    }

    const initial = yield* Effect.forEach(keys, entryOf)
    yield* Effect.forEach(initial, put, { discard: true })

    return {
      add: (key) => Effect.flatMap(entryOf(key), (entry) => Effect.as(put(entry), shown(entry))),
      revoke,
      replace,
      list: Effect.sync(() => [...entries.values()].map(shown)),
      find: (id) => Effect.sync(() => Option.map(Option.fromNullable(entries.get(id)), shown)),
      required: Effect.sync(() => required),
      verify: (key) =>
        Effect.suspend(() => {
          const text = Redacted.value(key)
          if (text === "") {
            return Effect.fail(unauthorized("This needs an API key: send it as `Authorization: Bearer <api key>`."))
          }
          const given = sha256(text)
          const found = places.get(placeOf(given))
          const isSame = timingSafeEqual(found?.hash ?? nobody, given)
          return found === undefined || !isSame
            ? Effect.fail(unauthorized("The API key is not known here, or has been revoked."))
            : Effect.succeed(shown(found))
        }),
      hold,
      whileKnown: (id, end) =>
        Effect.asVoid(acquireRelease(Effect.suspend(() => hold(id, end)), (letGo) => Effect.sync(letGo)))
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

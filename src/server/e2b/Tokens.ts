/**
 * Who makes a request: by API key at the control plane, by the token of one sandbox beyond it, or by a URL that is signed
 * with such a token.
 *
 * Nothing is kept of tokens: each is computed from the sandbox and the API key by which it was given out, and so is worth
 * nothing when that key is revoked, for any other sandbox, and after the server has ended; `connect` gives a new one.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import { createHash, createHmac, randomBytes, timingSafeEqual } from "node:crypto"
import { SandboxSDKError } from "../../Errors.js"
import { ApiKeys, type KnownKey } from "../ApiKeys.js"
import { LOCAL } from "../Security.js"

/**
 * What is asked of a signed URL.
 */
export interface Signed {
  readonly path: string
  readonly operation: "read" | "write"
  readonly username: string
  readonly signature: string
  readonly expiration: string | undefined
}

/**
 * The service.
 */
export interface TokensService {
  /** Whose API key this is. Fails with `unauthorized`. */
  readonly ofKey: (key: string | undefined) => Effect.Effect<KnownKey, SandboxSDKError>
  /** The token of a sandbox for who has asked with that key. */
  readonly make: (keyId: string, sandboxId: string) => string
  /** Who may use the sandbox by this token. Fails with `unauthorized`. */
  readonly ofToken: (sandboxId: string, token: string | undefined) => Effect.Effect<KnownKey, SandboxSDKError>
  /** Which sandbox a signed URL is for, and on whose behalf. Fails with `unauthorized`. */
  readonly ofSignature: (
    signed: Signed
  ) => Effect.Effect<{ readonly sandboxId: string; readonly caller: KnownKey }, SandboxSDKError>
}

/**
 * The tag.
 */
export class Tokens extends Context.Tag("sandbox-sdk/server/e2b/Tokens")<Tokens, TokensService>() {}

const unauthorized = (message: string) => new SandboxSDKError({ code: "unauthorized", message })

const isSame = (one: string, other: string): boolean => {
  const [a, b] = [one, other].map((text) => createHash("sha256").update(text).digest())
  return a !== undefined && b !== undefined && timingSafeEqual(a, b)
}

/** How many sandboxes are remembered that signed URLs may be for; the oldest is forgotten first. */
const REMEMBERED = 100_000

/** As their clients sign (`getSignature`): a hash of what is asked and of the token. */
const sign = ({ expiration, operation, path, username }: Signed, token: string): string => {
  const parts = [path, operation, username, token, ...expiration === undefined ? [] : [expiration]]
  return `v1_${createHash("sha256").update(parts.join(":")).digest("base64").replace(/=+$/, "")}`
}

/**
 * Makes it.
 */
export const layer: Layer.Layer<Tokens, never, ApiKeys> = Layer.effect(
  Tokens,
  Effect.gen(function*() {
    const keys = yield* ApiKeys
    const secret = randomBytes(32)
    // A signed URL does not say which sandbox it is for: these are tried.
    const given = new Map<string, { readonly sandboxId: string; readonly keyId: string }>()

    const compute = (keyId: string, sandboxId: string): string =>
      `${createHmac("sha256", secret).update(JSON.stringify([keyId, sandboxId])).digest("hex").slice(0, 40)}.${keyId}`

    const holder = (keyId: string): Effect.Effect<KnownKey, SandboxSDKError> =>
      Effect.flatMap(keys.required, (required) =>
        !required
          ? Effect.succeed(LOCAL)
          : Effect.flatMap(
            keys.find(keyId),
            Option.match({
              onNone: () =>
                Effect.fail(unauthorized("The API key by which this token was given out has been revoked.")),
              onSome: Effect.succeed
            })
          ))

    return {
      ofKey: (key) =>
        Effect.flatMap(
          keys.required,
          (required) => required ? keys.verify(Redacted.make(key ?? "")) : Effect.succeed(LOCAL)
        ),
      make: (keyId, sandboxId) => {
        const token = compute(keyId, sandboxId)
        given.delete(token)
        given.set(token, { sandboxId, keyId })
        for (const oldest of given.keys()) {
          if (given.size <= REMEMBERED) break
          given.delete(oldest)
        }
        return token
      },
      ofToken: (sandboxId, token) =>
        Effect.gen(function*() {
          if (!(yield* keys.required)) return LOCAL
          const [, keyId] = /^[0-9a-f]{40}\.(.+)$/.exec(token ?? "") ?? []
          return keyId === undefined || !isSame(compute(keyId, sandboxId), token ?? "")
            ? yield* unauthorized(
              "The access token of the sandbox is missing or wrong; Sandbox.connect gives a new one."
            )
            : yield* holder(keyId)
        }),
      ofSignature: (signed) =>
        Effect.gen(function*() {
          const now = yield* Clock.currentTimeMillis
          if (signed.expiration !== undefined && Number(signed.expiration) * 1_000 < now) {
            return yield* unauthorized("The signature of this URL has expired.")
          }
          const found = [...given].find(([token]) => isSame(sign(signed, token), signed.signature))
          if (found === undefined) {
            return yield* unauthorized("The signature of this URL is not known here.")
          }
          const [, { keyId, sandboxId }] = found
          return { sandboxId, caller: yield* holder(keyId) }
        })
    }
  })
)

/**
 * Names that nobody can guess.
 */
import * as Effect from "effect/Effect"
import { randomBytes } from "node:crypto"

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"

/**
 * A new id: 20 characters of base32 after the prefix, 100 random bits.
 */
export const makeId = (prefix: "sbx" | "ctx" | "exe" | "tpl" | "bld" | "snp"): Effect.Effect<string> =>
  Effect.sync(() => {
    let id = `${prefix}_`
    for (const byte of randomBytes(20)) {
      id += ALPHABET[byte & 31]
    }
    return id
  })

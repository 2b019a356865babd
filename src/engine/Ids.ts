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
    const bytes = randomBytes(20)
    for (const [index, byte] of bytes.entries()) bytes[index] = ALPHABET.charCodeAt(byte & 31)
    return `${prefix}_${bytes.toString("latin1")}`
  })

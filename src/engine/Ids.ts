/**
 * Names that nobody can guess.
 */
import * as Effect from "effect/Effect"
import { Buffer } from "node:buffer"
import { randomFillSync } from "node:crypto"

const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
const LENGTH = 20

// Asking for few random bytes takes as long as for many, and longer than all the rest of an id.
const pool = Buffer.alloc(LENGTH * 128)
let used = pool.length

/**
 * A new id: 20 characters of base32 after the prefix, 100 random bits.
 */
export const makeId = (prefix: "sbx" | "ctx" | "exe" | "tpl" | "bld" | "snp"): Effect.Effect<string> =>
  Effect.sync(() => {
    if (used === pool.length) {
      randomFillSync(pool)
      used = 0
    }
    const parts = [prefix, "_"]
    for (const end = used + LENGTH; used < end; used++) {
      parts.push(ALPHABET.charAt((pool[used] ?? 0) & 31))
      // Each byte is used once.
      pool[used] = 0
    }
    // One that is added up keeps all that it went through.
    return parts.join("")
  })

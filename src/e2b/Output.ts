/**
 * Output as events: text that was cut anywhere, within a limit of bytes.
 */
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type { DroppedOutput } from "../Execution.js"
import { type DecodedText, incompleteTail } from "../internal/utf8.js"

type Dropped = typeof DroppedOutput.Type

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const lenient = new TextDecoder("utf-8", { ignoreBOM: true })
const encoder = new TextEncoder()

const decode = (bytes: Uint8Array): DecodedText =>
  Either.match(Either.try(() => strict.decode(bytes)), {
    onLeft: () => ({ text: lenient.decode(bytes), base64: Encoding.encodeBase64(bytes) }),
    onRight: (text) => ({ text })
  })

const concat = (one: Uint8Array, other: Uint8Array): Uint8Array => {
  const whole = new Uint8Array(one.length + other.length)
  whole.set(one)
  whole.set(other, one.length)
  return whole
}

/**
 * The output of one run.
 */
export interface Output {
  /** The text of these bytes of a stream, and of what was held back of it: the beginning of a character. */
  readonly push: (name: "stdout" | "stderr", bytes: Uint8Array) => DecodedText | undefined
  /** The same of text. */
  readonly pushText: (name: "stdout" | "stderr", text: string) => DecodedText | undefined
  /** What is still held back, at the end. */
  readonly end: (name: "stdout" | "stderr") => DecodedText | undefined
  /** What the limit has cut; `undefined` where that is nothing. */
  readonly dropped: () => Dropped | undefined
}

/**
 * @param limit how many bytes of both streams together are let through; what lies beyond is counted.
 */
export const make = (limit = Infinity): Output => {
  const held = { stdout: new Uint8Array(), stderr: new Uint8Array() }
  const cut = { stdout: 0, stderr: 0 }
  let left = limit

  /** As much as there is room for, no character in two. */
  const within = (name: "stdout" | "stderr", bytes: Uint8Array): Uint8Array => {
    if (bytes.length <= left) {
      left -= bytes.length
      return bytes
    }
    const room = bytes.subarray(0, left)
    const kept = room.subarray(0, room.length - incompleteTail(room))
    cut[name] += bytes.length - kept.length
    left = 0
    return kept
  }

  return {
    push: (name, bytes) => {
      const all = held[name].length === 0 ? bytes : concat(held[name], bytes)
      const whole = all.length - incompleteTail(all)
      // Copied: what arrives may be a view of much more.
      held[name] = all.slice(whole)
      const kept = within(name, all.subarray(0, whole))
      return kept.length === 0 ? undefined : decode(kept)
    },
    pushText: (name, text) => {
      if (limit === Infinity) return text === "" ? undefined : { text }
      const bytes = encoder.encode(text)
      const kept = within(name, bytes)
      return kept.length === 0 ? undefined : { text: kept.length === bytes.length ? text : strict.decode(kept) }
    },
    end: (name) => {
      const kept = within(name, held[name])
      held[name] = new Uint8Array()
      return kept.length === 0 ? undefined : decode(kept)
    },
    dropped: () => cut.stdout + cut.stderr === 0 ? undefined : { ...cut }
  }
}

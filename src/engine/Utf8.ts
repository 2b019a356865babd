/**
 * Text out of bytes that were cut anywhere, without losing one.
 */
import { Buffer, isUtf8 } from "node:buffer"
import { type DecodedText, incompleteTail } from "../internal/utf8.js"

export { type DecodedText, incompleteTail }

const decode = (bytes: Buffer): DecodedText =>
  isUtf8(bytes)
    ? { text: bytes.toString("utf8") }
    : { text: bytes.toString("utf8"), base64: bytes.toString("base64") }

/**
 * A decoder of one stream. It holds back at most three bytes: the beginning of a character.
 */
export interface Utf8Decoder {
  /** The text of these bytes and of what was held back; `undefined` when all of it is held back. */
  readonly push: (bytes: Buffer) => DecodedText | undefined
  /** What is still held back, at the end of the stream. */
  readonly end: () => DecodedText | undefined
}

/**
 * Makes a decoder.
 */
export const makeUtf8Decoder = (): Utf8Decoder => {
  let held: Buffer = Buffer.alloc(0)
  return {
    push: (bytes) => {
      const all = held.length === 0 ? bytes : Buffer.concat([held, bytes])
      const tail = incompleteTail(all)
      // Copied: `bytes` may be a view of a buffer that is reused.
      held = tail === 0 ? Buffer.alloc(0) : Buffer.from(all.subarray(all.length - tail))
      const whole = tail === 0 ? all : all.subarray(0, all.length - tail)
      return whole.length === 0 ? undefined : decode(whole)
    },
    end: () => {
      const rest = held
      held = Buffer.alloc(0)
      return rest.length === 0 ? undefined : decode(rest)
    }
  }
}

/**
 * Text as UTF-8 that was cut anywhere.
 */

/**
 * A piece of text. `base64` has the exact bytes where they are no UTF-8 and `text` shows U+FFFD instead.
 */
export interface DecodedText {
  readonly text: string
  readonly base64?: string
}

/**
 * How many bytes at the end of `bytes` begin a character whose rest is still to come: 0 to 3 (RFC 3629, section 3).
 */
export const incompleteTail = (bytes: Uint8Array): number => {
  const last = bytes.length - 1
  for (let back = 0; back < 3 && back <= last; back++) {
    const byte = bytes[last - back] ?? 0
    if (byte < 0x80) {
      return 0
    }
    if (byte >= 0xc0) {
      const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
      return length > back + 1 ? back + 1 : 0
    }
  }
  return 0
}

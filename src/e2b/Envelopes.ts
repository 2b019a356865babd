/**
 * Messages in envelopes, as streams of the Connect protocol have them
 * (https://connectrpc.com/docs/protocol#streaming-request): a byte of flags, the length in four bytes (most significant
 * first), and so many bytes of JSON. The last message has the flag 2 and says how the stream has ended.
 *
 * The time is linear in the number of bytes, in whatever pieces they come: those of a message are joined once.
 */
import * as Either from "effect/Either"

/** Before each message: the flags and the length. */
const PREFIX_BYTES = 5

/** That a message is compressed, which nobody was told that we understand. */
const COMPRESSED = 1

/** That a message is the last one. */
const END_OF_STREAM = 2

/** No message is longer: a length beyond it is no length. */
const MAX_MESSAGE_BYTES = 64 * 1024 * 1024

/**
 * A message.
 */
export interface Envelope {
  readonly isLast: boolean
  readonly json: string
}

/**
 * Puts a message into its envelope.
 */
export const seal = (message: unknown): Uint8Array => {
  const json = new TextEncoder().encode(JSON.stringify(message))
  const whole = new Uint8Array(PREFIX_BYTES + json.length)
  new DataView(whole.buffer).setUint32(1, json.length)
  whole.set(json, PREFIX_BYTES)
  return whole
}

/**
 * Opens envelopes.
 */
export interface Opener {
  /** The messages that these bytes complete; or what is wrong with them, in words. */
  readonly push: (bytes: Uint8Array) => Either.Either<ReadonlyArray<Envelope>, string>
  /** Whether the bytes so far end with a message. */
  readonly atBoundary: () => boolean
}

/**
 * Makes an opener of one stream.
 */
export const makeOpener = (): Opener => {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  let pieces: Array<Uint8Array> = []
  let gathered = 0
  let wanted = PREFIX_BYTES

  const joined = (): Uint8Array => {
    const [only] = pieces
    if (only !== undefined && pieces.length === 1) return only
    const whole = new Uint8Array(gathered)
    let at = 0
    for (const piece of pieces) {
      whole.set(piece, at)
      at += piece.length
    }
    return whole
  }

  return {
    push: (bytes) =>
      Either.gen(function*() {
        const found: Array<Envelope> = []
        if (bytes.length > 0) {
          pieces.push(bytes)
          gathered += bytes.length
        }
        // Only once all of a message is there is anything put together.
        while (gathered >= wanted) {
          const whole = joined()
          const view = new DataView(whole.buffer, whole.byteOffset, whole.byteLength)
          let at = 0
          wanted = PREFIX_BYTES
          while (whole.length - at >= PREFIX_BYTES) {
            const flags = view.getUint8(at)
            const length = view.getUint32(at + 1)
            if (length > MAX_MESSAGE_BYTES) {
              return yield* Either.left(`sent a message of ${length} bytes.`)
            }
            if ((flags & COMPRESSED) !== 0) {
              return yield* Either.left("sent a compressed message, which nobody has asked for.")
            }
            if (whole.length - at < PREFIX_BYTES + length) {
              wanted = PREFIX_BYTES + length
              break
            }
            const json = whole.subarray(at + PREFIX_BYTES, at + PREFIX_BYTES + length)
            found.push({
              isLast: (flags & END_OF_STREAM) !== 0,
              json: yield* Either.try({ try: () => decoder.decode(json), catch: () => "sent bytes that are no UTF-8." })
            })
            at += PREFIX_BYTES + length
          }
          const rest = whole.subarray(at)
          pieces = rest.length === 0 ? [] : [rest]
          gathered = rest.length
        }
        return found
      }),
    atBoundary: () => gathered === 0
  }
}

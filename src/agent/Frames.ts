/**
 * The framing of `Protocol`: `u32le headerLength · u32le blobLength · header (UTF-8 JSON) · blob`.
 */
import { Buffer } from "node:buffer"
import { MAX_BLOB_BYTES, MAX_HEADER_BYTES } from "./Limits.js"

const PREFIX_BYTES = 8

/**
 * One frame as a buffer. Parts of the blob are not copied more than once.
 *
 * @param header a JSON object.
 * @param blob its bytes, if any.
 */
export const encodeFrame = (header: object, blob?: Uint8Array): Buffer => {
  const text = JSON.stringify(header)
  const headerLength = Buffer.byteLength(text)
  const blobLength = blob === undefined ? 0 : blob.length
  const frame = Buffer.allocUnsafe(PREFIX_BYTES + headerLength + blobLength)
  frame.writeUInt32LE(headerLength, 0)
  frame.writeUInt32LE(blobLength, 4)
  frame.write(text, PREFIX_BYTES)
  if (blob !== undefined) {
    frame.set(blob, PREFIX_BYTES + headerLength)
  }
  return frame
}

/**
 * What a {@link FrameParser} tells.
 */
export interface FrameHandler {
  /**
   * A header arrived; `blobLength` bytes belong to it. Returns true to get the blob piece by piece as it arrives
   * (`onPiece`), false to get it whole (`onFrame`).
   */
  readonly onHeader: (header: unknown, blobLength: number) => boolean
  /** A piece of a blob, in order. It is a view of the received bytes: use it before returning, or copy it. */
  readonly onPiece: (piece: Buffer) => void
  /** A whole blob; empty when there is none. */
  readonly onFrame: (blob: Buffer) => void
  /** The bytes are not the protocol. Nothing is told after this. */
  readonly onViolation: (reason: string) => void
}

/**
 * A parser that is fed bytes as they arrive, cut anywhere.
 */
export interface FrameParser {
  readonly push: (bytes: Buffer) => void
  /** Whether the bytes so far end between two frames. */
  readonly atBoundary: () => boolean
}

const parseHeader = (bytes: Buffer): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(bytes.toString("utf8")) }
  } catch {
    return undefined
  }
}

/**
 * The longest parts of a frame that are accepted, in bytes.
 */
export interface FrameLimits {
  readonly header: number
  readonly blob: number
}

/**
 * Makes a parser. Linear in the bytes: nothing is scanned or copied twice, however they are cut.
 *
 * @param limits those of what an agent sends, if not others.
 */
export const makeFrameParser = (
  handler: FrameHandler,
  limits: FrameLimits = { header: MAX_HEADER_BYTES, blob: MAX_BLOB_BYTES }
): FrameParser => {
  let state: "prefix" | "header" | "blob" | "violated" = "prefix"
  let wanted = PREFIX_BYTES
  let parts: Array<Buffer> = []
  let collected = 0
  let blobLength = 0
  let pieces = false

  const violate = (reason: string): void => {
    state = "violated"
    parts = []
    handler.onViolation(reason)
  }

  const expect = (next: "prefix" | "header" | "blob", bytes: number): void => {
    state = next
    wanted = bytes
    parts = []
    collected = 0
  }

  const complete = (bytes: Buffer): void => {
    switch (state) {
      case "prefix": {
        const headerLength = bytes.readUInt32LE(0)
        blobLength = bytes.readUInt32LE(4)
        if (headerLength > limits.header) {
          return violate(`a header of ${headerLength} bytes (at most ${limits.header})`)
        }
        if (blobLength > limits.blob) {
          return violate(`a blob of ${blobLength} bytes (at most ${limits.blob})`)
        }
        return expect("header", headerLength)
      }
      case "header": {
        const header = parseHeader(bytes)
        if (header === undefined) {
          return violate("a header that is not JSON")
        }
        pieces = handler.onHeader(header.value, blobLength)
        if (blobLength === 0 && !pieces) {
          handler.onFrame(bytes.subarray(0, 0))
        }
        return blobLength === 0 ? expect("prefix", PREFIX_BYTES) : expect("blob", blobLength)
      }
      case "blob": {
        handler.onFrame(bytes)
        return expect("prefix", PREFIX_BYTES)
      }
      case "violated":
        return
    }
  }

  return {
    atBoundary: () => state === "prefix" && collected === 0,
    push: (bytes) => {
      let rest = bytes
      // A header of no bytes is complete before any byte of it arrives, hence the second condition.
      while (state !== "violated" && (rest.length > 0 || (state === "header" && wanted === 0))) {
        const missing = wanted - collected
        const take = rest.length < missing ? rest.length : missing
        const part = rest.subarray(0, take)
        rest = rest.subarray(take)
        collected += take
        if (state === "blob" && pieces) {
          handler.onPiece(part)
          if (collected === wanted) {
            expect("prefix", PREFIX_BYTES)
          }
          continue
        }
        if (collected < wanted) {
          parts.push(part)
        } else if (parts.length === 0) {
          complete(part)
        } else {
          parts.push(part)
          complete(Buffer.concat(parts, wanted))
        }
      }
    }
  }
}

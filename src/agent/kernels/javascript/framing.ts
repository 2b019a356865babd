/**
 * Frames of the control socket: `u32le headerLength · u32le blobLength · header (UTF-8 JSON object) · blob`.
 */

const PREFIX = 8

/**
 * One frame.
 */
export interface Frame {
  readonly header: unknown
  readonly blob: Buffer
}

// Captured, so that code which replaces the globals cannot break the control channel.
const { parse, stringify } = JSON
const { assign, create } = Object
const { allocUnsafe, alloc, concat, from } = Buffer

/**
 * JSON of an object of plain fields, also when code has given all objects a `toJSON`.
 */
export const encodeJson = (fields: object): string => stringify(assign(create(null), fields))

/**
 * The bytes of a frame.
 */
export const encodeFrame = (header: object, blob: string | Buffer = ""): Buffer => {
  const head = from(encodeJson(header))
  const body = typeof blob === "string" ? from(blob) : blob
  const prefix = allocUnsafe(PREFIX)
  prefix.writeUInt32LE(head.length, 0)
  prefix.writeUInt32LE(body.length, 4)
  return concat([prefix, head, body])
}

/**
 * Puts frames together from chunks that are cut anywhere.
 */
export class FrameReader {
  private pending: Buffer = alloc(0)
  private readonly chunks: Array<Buffer> = []
  private length = 0

  /**
   * Adds bytes and gives the frames that are complete now.
   */
  push(chunk: Buffer): ReadonlyArray<Frame> {
    this.chunks.push(chunk)
    this.length += chunk.length
    const frames: Array<Frame> = []
    // Chunks of a long frame are joined once, when all of it is there.
    while (this.length >= this.needed()) {
      this.join()
      const needed = this.needed()
      if (needed > this.length) {
        break
      }
      const headerEnd = PREFIX + this.pending.readUInt32LE(0)
      frames.push({
        header: parse(this.pending.toString("utf8", PREFIX, headerEnd)),
        blob: this.pending.subarray(headerEnd, needed)
      })
      this.pending = this.pending.subarray(needed)
      this.length = this.pending.length
    }
    return frames
  }

  private needed(): number {
    return this.pending.length < PREFIX
      ? PREFIX
      : PREFIX + this.pending.readUInt32LE(0) + this.pending.readUInt32LE(4)
  }

  private join(): void {
    if (this.chunks.length > 0) {
      this.pending = concat([this.pending, ...this.chunks.splice(0)])
    }
  }
}

/**
 * What a caller has seen of a run.
 */

/** Bytes by where they came out: `stdout`, `stderr`, a file. */
export type Channels = Readonly<Record<string, Buffer>>

export class Witness {
  private readonly pieces = new Map<string, Array<Buffer>>()
  private nextSeq = 0
  /** What was told twice, or left out, by the numbers of the events. */
  readonly complaints: Array<string> = []
  /** How often something took place, where that can be counted. */
  times: number | undefined
  /** When something was seen last, by `performance.now()`. */
  lastSeen = performance.now()

  /** Something came out. */
  see(channel: string, bytes: string | Uint8Array): void {
    const pieces = this.pieces.get(channel) ?? []
    pieces.push(Buffer.from(bytes))
    this.pieces.set(channel, pieces)
    this.lastSeen = performance.now()
  }

  /** An event has this number. */
  number(seq: number): void {
    if (seq !== this.nextSeq) this.complaints.push(`event ${seq} where ${this.nextSeq} was due`)
    this.nextSeq = seq + 1
    this.lastSeen = performance.now()
  }

  seen(): Channels {
    return Object.fromEntries([...this.pieces].map(([channel, pieces]) => [channel, Buffer.concat(pieces)]))
  }
}

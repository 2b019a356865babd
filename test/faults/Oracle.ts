/**
 * Compares what was seen with what is known to have been said.
 */
import type { Channels } from "./Witness.js"

/** Bytes that never came, and bytes that came too often, or that nobody has said. */
export interface Difference {
  readonly lost: number
  readonly duplicated: number
  /** Where, and what stood there. */
  readonly where: ReadonlyArray<string>
}

const commonStart = (a: Buffer, b: Buffer): number => {
  const most = Math.min(a.length, b.length)
  let count = 0
  while (count < most && a[count] === b[count]) count += 1
  return count
}

const commonEnd = (a: Buffer, b: Buffer, most: number): number => {
  let count = 0
  while (count < most && a[a.length - 1 - count] === b[b.length - 1 - count]) count += 1
  return count
}

const excerpt = (bytes: Buffer, at: number): string =>
  JSON.stringify(bytes.subarray(Math.max(0, at - 10), at + 90).toString())

/**
 * The difference of one channel. What has come to its end must be all of it; what broke off must be its beginning.
 */
const difference = (
  said: Buffer,
  seen: Buffer,
  isWhole: boolean
): Omit<Difference, "where"> & { readonly at: number } => {
  const at = commonStart(said, seen)
  if (at === seen.length) {
    return { lost: isWhole ? said.length - at : 0, duplicated: 0, at }
  }
  if (isWhole) {
    const end = commonEnd(said, seen, Math.min(said.length, seen.length) - at)
    return { lost: said.length - at - end, duplicated: seen.length - at - end, at }
  }
  // It goes on elsewhere: further on in what was said, or with something that had been told before.
  const next = seen.subarray(at, at + 64)
  const later = said.indexOf(next, at)
  return later >= 0 ? { lost: later - at, duplicated: 0, at } : { lost: 0, duplicated: seen.length - at, at }
}

/**
 * The difference of all channels.
 *
 * @param isWhole whether it is to be all that was said, or may be a beginning of it.
 */
export const compare = (said: Channels, seen: Channels, isWhole: boolean): Difference => {
  let lost = 0
  let duplicated = 0
  const where: Array<string> = []
  for (const channel of new Set([...Object.keys(said), ...Object.keys(seen)])) {
    const expected = said[channel] ?? Buffer.alloc(0)
    const found = seen[channel] ?? Buffer.alloc(0)
    const one = difference(expected, found, isWhole)
    if (one.lost > 0 || one.duplicated > 0) {
      where.push(
        `${channel}: ${found.length} of ${expected.length} bytes, different from ${one.at} on: ` +
          `${excerpt(found, one.at)} in place of ${excerpt(expected, one.at)}`
      )
    }
    lost += one.lost
    duplicated += one.duplicated
  }
  return { lost, duplicated, where }
}

/**
 * Counts what happened in the last so many milliseconds, exactly: a sliding window. (A bucket that fills up lets twice
 * its size through in the first window.)
 */

/**
 * A window. Times are in milliseconds and never go back.
 */
export interface Window {
  /** Counts one and gives 0; or gives the milliseconds until there is room, and counts nothing. */
  readonly take: (now: number) => number
  /** How many more there is room for. */
  readonly remaining: (now: number) => number
  /** When all of it is free, if nothing more comes. */
  readonly resetAt: (now: number) => number
}

/**
 * Makes a window that holds `limit` in any `length` milliseconds.
 */
export const makeWindow = (limit: number, length: number): Window => {
  // Oldest first; what lies before `first` is past, and is cut off once it is more than the rest.
  let times: Array<number> = []
  let first = 0

  const forget = (now: number): void => {
    let time = times[first]
    while (time !== undefined && time + length <= now) {
      first += 1
      time = times[first]
    }
    if (first > 64 && first * 2 > times.length) {
      times = times.slice(first)
      first = 0
    }
  }

  return {
    take: (now) => {
      forget(now)
      const oldest = times[first]
      if (oldest !== undefined && times.length - first >= limit) {
        return oldest + length - now
      }
      times.push(now)
      return 0
    },
    remaining: (now) => {
      forget(now)
      return limit - (times.length - first)
    },
    resetAt: (now) => {
      forget(now)
      return first < times.length ? (times[times.length - 1] ?? now) + length : now
    }
  }
}

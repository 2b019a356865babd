/**
 * The timers and immediates that one run has started, to stop them when it is interrupted: code that is woken by them
 * would go on otherwise.
 */

const { clearImmediate, clearTimeout } = globalThis
const { get } = Reflect

const FIRST_SWEEP = 1024

const isLive = (timer: object): boolean => get(timer, "_destroyed") !== true

export class Timers {
  private timers: Array<object> = []
  private sweepAt = FIRST_SWEEP

  add(timer: object): void {
    // Called from within Node, where nothing may throw, even if code has replaced the methods of arrays.
    this.timers[this.timers.length] = timer
    if (this.timers.length >= this.sweepAt) {
      const live: Array<object> = []
      for (let i = 0; i < this.timers.length; i++) {
        const timer = this.timers[i]
        if (timer !== undefined && isLive(timer)) {
          live[live.length] = timer
        }
      }
      this.timers = live
      this.sweepAt = Math.max(FIRST_SWEEP, 2 * this.timers.length)
    }
  }

  /**
   * Stops all of them.
   */
  cancel(): void {
    const timers = this.timers
    this.timers = []
    for (let i = 0; i < timers.length; i++) {
      const timer = timers[i]
      if (timer === undefined) {
        continue
      }
      if (isTimeout(timer)) {
        clearTimeout(timer)
      } else if (isImmediate(timer)) {
        clearImmediate(timer)
      }
    }
  }
}

const isTimeout = (timer: object): timer is NodeJS.Timeout => timer.constructor.name === "Timeout"

const isImmediate = (timer: object): timer is NodeJS.Immediate => timer.constructor.name === "Immediate"

/**
 * The timers and immediates that one run has started, to stop them when it is interrupted: code that is woken by them
 * would go on otherwise.
 */

const { clearImmediate, clearTimeout } = globalThis

const FIRST_SWEEP = 1024

const isLive = (timer: object): boolean => Reflect.get(timer, "_destroyed") !== true

export class Timers {
  private timers: Array<object> = []
  private sweepAt = FIRST_SWEEP

  add(timer: object): void {
    this.timers.push(timer)
    if (this.timers.length >= this.sweepAt) {
      this.timers = this.timers.filter(isLive)
      this.sweepAt = Math.max(FIRST_SWEEP, 2 * this.timers.length)
    }
  }

  /**
   * Stops all of them.
   */
  cancel(): void {
    for (const timer of this.timers.splice(0)) {
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

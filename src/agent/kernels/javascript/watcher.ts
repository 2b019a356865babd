/**
 * The watcher thread: it interrupts what the main thread executes, and reminds it to flush.
 *
 * An interrupt first goes to the main thread as a message, which is enough for code that waits. If that is not taken
 * up within {@link PATIENCE}, the main thread executes code without a pause, and is terminated through the inspector,
 * again and again until the run has ended.
 *
 * An interrupt is one byte for the current run, or the run's number in decimal digits and a newline for that run alone,
 * which is exact even when it crosses the end of the run on its way.
 */
import { Session } from "node:inspector"
import * as net from "node:net"
import { parentPort, workerData } from "node:worker_threads"
import {
  ANSWERED,
  cellOf,
  CRITICAL,
  EARLY,
  IDLE,
  type Ping,
  POSTED,
  RUN,
  TERMINATING,
  UNFLUSHED
} from "./shared.js"
import { HOOK } from "./hook.js"
import { FLUSH_INTERVAL } from "./sink.js"

const INTERRUPTS = 4

/** Milliseconds that the main thread has to take up an interrupt by itself. */
const PATIENCE = 50


const { load, store, wait } = Atomics

export const watch = (): void => {
  const cells: unknown = workerData
  const port = parentPort
  if (!(cells instanceof Int32Array) || port === null) {
    return
  }
  const session = new Session()
  session.connectToMainThread()
  // Runs that are being interrupted now.
  const busy = new Set<number>()

  const call = (method: string): void =>
    session.post("Runtime.evaluate", { expression: `${HOOK}.${method}()`, silent: true, returnByValue: true }, () => {})

  const ping = (run: number): void => {
    const message: Ping = { run }
    port.postMessage(message)
  }

  /** Whether the main thread has taken up a ping in time, or has ended the run. */
  const answered = (run: number): boolean => {
    const before = load(cells, ANSWERED)
    ping(run)
    wait(cells, ANSWERED, before, PATIENCE)
    return load(cells, ANSWERED) !== before || load(cells, RUN) !== run
  }

  /** Terminates what the main thread executes, unless the run has ended meanwhile. */
  const terminate = (run: number, then: () => void): void => {
    // From here on the main thread enters no critical section; one that it is in has to end first.
    store(cells, TERMINATING, 1)
    wait(cells, CRITICAL, 1, PATIENCE)
    if (load(cells, CRITICAL) === 1 || load(cells, RUN) !== run) {
      store(cells, TERMINATING, 0)
      setImmediate(then)
      return
    }
    let over = false
    const finish = (): void => {
      if (!over) {
        over = true
        store(cells, TERMINATING, 0)
        then()
      }
    }
    store(cells, POSTED, 0)
    call("unwind")
    session.post("Runtime.terminateExecution", finish)
    store(cells, POSTED, 1)
    setTimeout(finish, 10 * PATIENCE)
  }

  const interrupt = (run: number): void => {
    if (busy.has(run)) {
      return
    }
    busy.add(run)
    const round = (): void => {
      if (answered(run) || load(cells, RUN) !== run) {
        busy.delete(run)
        // What waits behind something that was terminated goes on.
        ping(IDLE)
      } else {
        terminate(run, round)
      }
    }
    round()
  }

  const onTarget = (target: number | undefined): void => {
    const current = load(cells, RUN)
    if (target === undefined || target === current) {
      interrupt(current)
    } else {
      // Not known yet, or over. If it is not known because of what an earlier run left behind, that has to go.
      store(cells, EARLY, target)
      if (current === IDLE) {
        interrupt(IDLE)
      }
    }
  }

  let digits = ""
  const pipe = new net.Socket({ fd: INTERRUPTS, readable: true, writable: false })
  pipe.on("data", (chunk: Buffer) => {
    for (const byte of chunk) {
      if (byte >= 0x30 && byte <= 0x39) {
        digits += String.fromCharCode(byte)
      } else if (byte === 0x0a && digits !== "") {
        onTarget(cellOf(Number(digits)))
        digits = ""
      } else {
        digits = ""
        onTarget(undefined)
      }
    }
  })
  pipe.on("error", () => {})

  port.on("message", () => {
    setTimeout(() => {
      if (load(cells, UNFLUSHED) === 1) {
        call("flush")
      }
    }, FLUSH_INTERVAL)
  })
}

/**
 * The watcher thread: it reads what the agent says, interrupts what the main thread executes, and reminds it to flush.
 *
 * It reads the control socket because the main thread can be terminated at any point: a request that is on its way
 * through the main thread's event loop would be lost, one that waits in a message port is not.
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
import { MessagePort, parentPort, workerData } from "node:worker_threads"
import { FrameReader } from "./framing.js"
import { HOOK } from "./hook.js"
import { decodeRequest, decodeTicket } from "./request.js"
import {
  ANSWERED,
  cellOf,
  CONTINUED,
  CRITICAL,
  EARLY,
  IDLE,
  type Ping,
  POSTED,
  RUN,
  TERMINATING,
  UNFLUSHED
} from "./shared.js"
import { FLUSH_INTERVAL } from "./sink.js"

const CONTROL = 3
const INTERRUPTS = 4

/** Milliseconds that the main thread has to take up an interrupt by itself. */
const PATIENCE = 50

const { load, notify, store, wait } = Atomics

/** What the watcher is given at its start. */
export interface WatcherData {
  readonly cells: Int32Array
  /** Where it puts the runs that the agent asks for. */
  readonly requests: MessagePort
}

const isWatcherData = (value: unknown): value is WatcherData =>
  typeof value === "object" && value !== null && "cells" in value && value.cells instanceof Int32Array &&
  "requests" in value && value.requests instanceof MessagePort

export const watch = (): void => {
  const port = parentPort
  if (!isWatcherData(workerData) || port === null) {
    return
  }
  const { cells, requests } = workerData
  const session = new Session()
  session.connectToMainThread()
  // The last run that was asked for, begun or not.
  let lastRequest = IDLE
  // Runs that are being interrupted now.
  const busy = new Set<number>()

  const call = (method: string): void =>
    session.post("Runtime.evaluate", { expression: `${HOOK}.${method}()`, silent: true, returnByValue: true }, () => {})

  const ping = (run: number): void => {
    const message: Ping = { run }
    port.postMessage(message)
  }

  /** Whether the main thread takes up a ping in time. */
  const answered = (run: number): boolean => {
    const before = load(cells, ANSWERED)
    ping(run)
    wait(cells, ANSWERED, before, PATIENCE)
    return load(cells, ANSWERED) !== before
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
        clearTimeout(timer)
        store(cells, TERMINATING, 0)
        then()
      }
    }
    store(cells, POSTED, 0)
    call("unwind")
    session.post("Runtime.terminateExecution", finish)
    store(cells, POSTED, 1)
    const timer = setTimeout(finish, 10 * PATIENCE)
  }

  const interrupt = (run: number): void => {
    if (busy.has(run)) {
      return
    }
    busy.add(run)
    const round = (): void => {
      const taken = answered(run)
      const current = load(cells, RUN)
      if (run === IDLE && (taken || current !== IDLE)) {
        busy.delete(run)
      } else if (run !== current) {
        busy.delete(run)
        // What the run left behind must not keep the next one from starting.
        interrupt(IDLE)
      } else {
        terminate(run, round)
      }
    }
    round()
  }

  const onTarget = (target: number | undefined): void => {
    const current = load(cells, RUN)
    if (current !== IDLE && (target === undefined || target === current)) {
      interrupt(current)
      return
    }
    const early = target ?? lastRequest
    store(cells, EARLY, early)
    const now = load(cells, RUN)
    if (now === early) {
      // It began in the meantime.
      interrupt(early)
    } else if (now === IDLE) {
      // Not begun yet, or over. If it has not begun because of what an earlier run left behind, that has to go.
      interrupt(IDLE)
    }
  }

  const reader = new FrameReader()
  const control = new net.Socket({ fd: CONTROL, readable: true, writable: false })
  control.on("data", (chunk: Buffer) => {
    for (const { blob, header } of reader.push(chunk)) {
      const request = decodeRequest(header, blob)
      if (request !== undefined) {
        lastRequest = cellOf(request.run)
        requests.postMessage(request)
        ping(IDLE)
        continue
      }
      const ticket = decodeTicket(header)
      if (ticket !== undefined) {
        store(cells, CONTINUED, ticket)
        notify(cells, CONTINUED)
      }
    }
  })
  // Nobody is left to work for, and the main thread may be busy for ever.
  const end = (): void => {
    process.kill(process.pid, "SIGKILL")
  }
  control.on("error", end)
  control.on("close", end)

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

/**
 * The main thread: takes runs from the agent one by one, evaluates them, and tells how they ended.
 *
 * Nothing here waits on a promise: a termination throws away all promise callbacks that are due, also ours. Whatever a
 * termination hits, the watcher's next ping ends the run that it was meant for.
 */
import { syncBuiltinESMExports } from "node:module"
import { types } from "node:util"
import { MessageChannel, Worker } from "node:worker_threads"
import { makeAttribution } from "./attribution.js"
import { installChildProcesses } from "./childProcesses.js"
import { installConsole } from "./console.js"
import { Control } from "./control.js"
import { Critical } from "./critical.js"
import { encode, makeDisplay } from "./display.js"
import { Evaluator, type Outcome } from "./evaluate.js"
import { encodeJson } from "./framing.js"
import { HOOK } from "./hook.js"
import { InputUnavailable, installPrompts } from "./input.js"
import { makeModules } from "./modules.js"
import { installProcessExit, ProcessExit } from "./processExit.js"
import { rewrite, type SyntaxPosition } from "./rewrite.js"
import { Run } from "./run.js"
import { ANSWERED, cellOf, CELLS, EARLY, IDLE, type Ping, POSTED, RUN, UNFLUSHED } from "./shared.js"
import { installStdio } from "./stdio.js"
import { cellName, type ErrorReport, installStackTraces, rememberColumns, reportOf, syntaxReport } from "./traceback.js"
import { transpile } from "./typescript.js"
import type { WatcherData } from "./watcher.js"

const { add, load, notify, store } = Atomics
const { defineProperty, freeze } = Object
const { apply } = Reflect
const { isPromise } = types
const then = Promise.prototype.then
const soon = setImmediate

const interrupted: ErrorReport = {
  name: "Interrupted",
  value: "The run was interrupted.",
  traceback: "Interrupted: The run was interrupted."
}

const isPing = (value: unknown): value is Ping => typeof value === "object" && value !== null && "run" in value

/** What to prepare from source. */
type Prepared =
  | { readonly code: string; readonly showsValue: boolean | undefined; readonly unparsed: SyntaxPosition | undefined }
  | { readonly syntaxError: SyntaxPosition }

export const startKernel = (): void => {
  const language = process.env["SANDBOX_LANGUAGE"]
  delete process.env["SANDBOX_LANGUAGE"]
  const typescript = language === "typescript"

  const cells = new Int32Array(new SharedArrayBuffer(CELLS * Int32Array.BYTES_PER_ELEMENT))
  store(cells, RUN, IDLE)
  store(cells, EARLY, IDLE)
  const requests = new MessageChannel()
  const watcherData: WatcherData = { cells, requests: requests.port2 }
  const watcher = new Worker(__filename, {
    workerData: watcherData,
    transferList: [requests.port2],
    env: {},
    execArgv: [],
    stdout: true,
    stderr: true,
    resourceLimits: { maxOldGenerationSizeMb: 16, maxYoungGenerationSizeMb: 1, stackSizeMb: 1 }
  })

  const critical = new Critical(cells)
  const attribution = makeAttribution<Run>((run, timer) => run.timers.add(timer))
  const control = new Control(critical, requests.port1, cells)
  const evaluator = new Evaluator(attribution.onNextPromise)
  installProcessExit()
  const modules = makeModules()
  let active: Run | undefined
  let unwound = false

  const onBuffered = (): void => {
    if (load(cells, UNFLUSHED) === 0) {
      store(cells, UNFLUSHED, 1)
      watcher.postMessage(0)
    }
  }

  // What code says after its run has ended has nowhere to go.
  const nowhere = { write: () => {} }
  const mine = (): Run | undefined => {
    const run = attribution.current()
    return run === active ? run : undefined
  }
  const route = (fd: 1 | 2) => {
    const run = mine()
    return run === undefined ? nowhere : fd === 1 ? run.stdout : run.stderr
  }
  installConsole(installStdio(route), route)
  installChildProcesses(
    (fd) => (fd === 1 ? mine()?.stdout : mine()?.stderr)?.forChildren() ?? "ignore",
    () => mine()?.flush()
  )
  installStackTraces(__filename)
  installPrompts()
  const nextTick = process.nextTick
  // Ticks come before all else: a run that makes another one in each would never end, interrupted or not.
  process.nextTick = (callback: Function, ...args: Array<unknown>): void => {
    if (attribution.current()?.cancelled !== true) {
      apply(nextTick, process, [callback, ...args])
    }
  }
  syncBuiltinESMExports()

  /** Shows a result. When this returns, whatever the run prints next is told after the result. */
  const emit = (run: Run | undefined, result: string): void => {
    if (run !== undefined && run === active) {
      const ticket = critical.run(() => {
        run.flush()
        return control.sendTicketed({ ev: "result", run: run.request.run }, result)
      })
      control.order(ticket)
    }
  }

  /** Shows the last result of a run, which ends right after it. */
  const emitLast = (run: Run, result: string): void => {
    if (run === active) {
      critical.run(() => {
        run.flush()
        control.keep({ ev: "result", run: run.request.run }, result)
      })
    }
  }

  /** Ends a run: all output, then the error, then the word that it is over. Only the first call counts. */
  const finish = (run: Run, error: ErrorReport | undefined): void =>
    critical.run(() => {
      if (run !== active) {
        return
      }
      const id = run.request.run
      if (error === interrupted) {
        run.cancel()
      }
      run.close()
      active = undefined
      store(cells, RUN, IDLE)
      store(cells, UNFLUSHED, 0)
      if (error !== undefined) {
        control.send({ ev: "error", run: id }, encodeJson(error))
      }
      control.send({ ev: "done", run: id })
      evaluator.release()
      soon(pump)
    })

  const fail = (run: Run, thrown: unknown): void => {
    if (run === active) {
      finish(run, attribution.run(run, () => reportOf(thrown)))
    }
  }

  /** Ends a run when the displays that it waits for are there. */
  const settle = (run: Run): void => {
    if (run.held.length === 0) {
      finish(run, undefined)
      return
    }
    const held = Promise.all(run.held.splice(0))
    void apply(then, held, [() => settle(run), (error: unknown) => fail(run, error)])
  }

  const show = (run: Run, value: unknown): void => {
    if (value === undefined) {
      settle(run)
      return
    }
    defineProperty(globalThis, "_", { value, configurable: true, writable: true, enumerable: false })
    try {
      // While displays wait for promises, the run goes on after its value.
      const waiting = encode(value, true, (result) => run.held.length === 0 ? emitLast(run, result) : emit(run, result))
      if (waiting !== undefined) {
        run.held.push(waiting)
      }
      settle(run)
    } catch (error) {
      fail(run, error)
    }
  }

  /** Does a part of a run. If code replaced what this is made of, the run has to end all the same. */
  const guarded = (run: Run, body: () => void): void => {
    try {
      body()
    } catch (error) {
      finish(run, {
        name: "Error",
        value: "The interpreter was broken by the code.",
        traceback: reportOf(error).traceback
      })
    }
  }

  const onOutcome = (run: Run, prepared: { readonly showsValue: boolean | undefined }, outcome: Outcome): void => {
    const later = (body: () => void): void => {
      soon(() => {
        if (run === active) {
          guarded(run, () => attribution.run(run, body))
        }
      })
    }
    switch (outcome._tag) {
      case "Value": {
        const value = prepared.showsValue === false ? undefined : outcome.value
        if (isPromise(value)) {
          // `main()` as the last line: the run lasts until it has ended, as a program would.
          void apply(then, value, [
            (value: unknown) => later(() => show(run, value)),
            (error: unknown) => later(() => fail(run, error))
          ])
        } else {
          later(() => show(run, value))
        }
        return
      }
      case "Thrown":
        later(() => fail(run, outcome.error))
        return
      case "Invalid":
        soon(() => finish(run, syntaxReport(cellName(run.request.count), run.request.code, outcome.position)))
        return
    }
  }

  const prepare = (run: Run): Prepared => {
    let code = run.request.code
    if (typescript) {
      const transpiled = transpile(code, critical)
      if ("syntaxError" in transpiled) {
        return transpiled
      }
      code = transpiled.code
    }
    const cell = rewrite(code, { lenient: typescript }, critical)
    rememberColumns(cellName(run.request.count), cell.columns)
    return { code: cell.code, showsValue: cell.showsValue, unparsed: cell.syntaxError }
  }

  const start = (run: Run): void => {
    const cell = cellName(run.request.count)
    const prepared = prepare(run)
    if ("syntaxError" in prepared) {
      finish(run, syntaxReport(cell, run.request.code, prepared.syntaxError))
      return
    }
    attribution.run(run, () =>
      evaluator.evaluate(prepared.code, cell, (outcome) => {
        // V8 does not know module syntax in cells, and would blame the wrong place.
        const invalid = outcome._tag === "Invalid" && prepared.unparsed !== undefined &&
          /\b(?:import|export)\b/.test(outcome.position.message)
        onOutcome(
          run,
          prepared,
          invalid && prepared.unparsed !== undefined ? { _tag: "Invalid", position: prepared.unparsed } : outcome
        )
      }))
  }

  /** Begins the next run if none goes on. */
  const pump = (): void => {
    const run = critical.run(() => {
      if (active !== undefined) {
        return undefined
      }
      for (let request = control.take(); request !== undefined; request = control.take()) {
        try {
          active = new Run(request, critical, onBuffered)
        } catch (error) {
          control.send({ ev: "error", run: request.run }, encodeJson(reportOf(error)))
          control.send({ ev: "done", run: request.run })
          continue
        }
        store(cells, RUN, cellOf(request.run))
        return active
      }
      return undefined
    })
    if (run !== undefined) {
      if (load(cells, EARLY) === cellOf(run.request.run)) {
        finish(run, interrupted)
      } else {
        guarded(run, () => start(run))
      }
    }
  }

  watcher.on("message", (message: unknown) => {
    if (!isPing(message)) {
      return
    }
    if (unwound) {
      unwound = false
      attribution.rewind()
    }
    if (active !== undefined && message.run === cellOf(active.request.run)) {
      finish(active, interrupted)
    }
    add(cells, ANSWERED, 1)
    notify(cells, ANSWERED)
    pump()
  })

  /** An error that nobody caught ends its run if it is meant to, and is told on standard error otherwise. */
  const onUncaught = (error: unknown, owner: Run | undefined, label: string): void => {
    if (owner === undefined || owner !== active) {
      return
    }
    if (error instanceof ProcessExit || error instanceof InputUnavailable) {
      fail(owner, error)
    } else {
      owner.stderr.write(`${label} ${attribution.run(owner, () => reportOf(error)).traceback}\n`)
    }
  }
  process.setUncaughtExceptionCaptureCallback((error: unknown) => {
    if (process.listenerCount("uncaughtException") > 0) {
      apply(process.emit, process, ["uncaughtException", error, "uncaughtException"])
    } else {
      onUncaught(error, attribution.current(), "Uncaught")
    }
  })
  process.on("unhandledRejection", (reason, promise) => {
    if (process.listenerCount("unhandledRejection") === 1) {
      onUncaught(reason, attribution.ownerOf(promise), "Uncaught (in promise)")
    }
  })
  // The agent interrupts the whole process group; this process gets its interrupts from the watcher.
  process.on("SIGINT", () => {})

  const display = makeDisplay({
    emit: (result) => emit(mine(), result),
    hold: (promise) => mine()?.held.push(promise)
  })
  for (const [name, value] of Object.entries({ display, require: modules.require })) {
    defineProperty(globalThis, name, { value, configurable: true, writable: true, enumerable: false })
  }
  defineProperty(globalThis, HOOK, {
    value: freeze({
      import: modules.import,
      bind: modules.bind,
      meta: modules.meta,
      capture: evaluator.capture,
      /** Called by the watcher, in the middle of whatever goes on here, right before it terminates that. */
      unwind: (): void => {
        unwound = true
        attribution.unwind()
        while (load(cells, POSTED) === 0) {
          // The termination has to be queued before this returns, so that nothing runs between the two.
        }
      },
      /** Called by the watcher, in the middle of whatever goes on here. */
      flush: (): void => {
        store(cells, UNFLUSHED, 0)
        if (active !== undefined && !active.flushSoon()) {
          onBuffered()
        }
      }
    })
  })

  control.send({ ev: "ready" })
}

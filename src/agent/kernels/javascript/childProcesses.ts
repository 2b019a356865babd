/**
 * Child processes that inherit standard output or error get the streams of the run that starts them.
 */
import type * as ChildProcessModule from "node:child_process"
import { createRequire } from "node:module"

const { apply } = Reflect

/** Descriptors of the current run's streams; `ignore` when the run is over. */
export type ChildRoute = (fd: 1 | 2) => number | "ignore"

const childProcess: typeof ChildProcessModule = createRequire(__filename)("node:child_process")

const standardOf = (entry: unknown, index: number): 1 | 2 | undefined => {
  if (entry === "inherit") {
    return index === 1 || index === 2 ? index : undefined
  }
  const fd = typeof entry === "object" && entry !== null && "fd" in entry &&
      (entry === process.stdout || entry === process.stderr)
    ? entry.fd
    : entry
  return fd === 1 || fd === 2 ? fd : undefined
}

/**
 * The same `stdio` option with inherited output led to the run.
 */
export const routeStdio = (stdio: unknown, route: ChildRoute): unknown => {
  const entries: unknown = stdio === "inherit" ? ["inherit", "inherit", "inherit"] : stdio
  if (!Array.isArray(entries)) {
    return stdio
  }
  return entries.map((entry: unknown, index) => {
    const fd = standardOf(entry, index)
    return fd === undefined ? entry : route(fd)
  })
}

const isOptions = (value: unknown): value is object =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof URL)

/**
 * Puts it in place. `flush` is called before any child starts, so that output keeps its order.
 */
export const installChildProcesses = (route: ChildRoute, flush: () => void): void => {
  const prototype = childProcess.ChildProcess.prototype
  const spawn: unknown = Reflect.get(prototype, "spawn")
  if (typeof spawn === "function") {
    Reflect.set(prototype, "spawn", function(this: unknown, options: unknown) {
      flush()
      const routed = isOptions(options) && "stdio" in options
        ? { ...options, stdio: routeStdio(options.stdio, route) }
        : options
      return apply(spawn, this, [routed])
    })
  }
  for (const name of ["spawnSync", "execSync", "execFileSync"] as const) {
    const original: Function = childProcess[name]
    const replacement = (...args: ReadonlyArray<unknown>): unknown => {
      flush()
      return apply(
        original,
        childProcess,
        args.map((argument) =>
          isOptions(argument) && "stdio" in argument
            ? { ...argument, stdio: routeStdio(argument.stdio, route) }
            : argument
        )
      )
    }
    Object.defineProperty(replacement, "name", { value: name })
    Reflect.set(childProcess, name, replacement)
  }
}

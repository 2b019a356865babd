/**
 * The global `console`, on the streams of the run.
 */
import { Console } from "node:console"
import type { Writable } from "node:stream"
import { formatWithOptions } from "node:util"
import type { Route } from "./stdio.js"

const { apply } = Reflect

const PLAIN = { colors: false } as const

/**
 * Points all methods of the global console at the given streams. The common ones write at once, without the detour
 * over a stream.
 */
export const installConsole = (
  streams: { readonly stdout: Writable; readonly stderr: Writable },
  route: Route
): void => {
  const full = new Console({ ...streams, ignoreErrors: true, colorMode: false })
  // Node's own methods also keep their arguments for an inspector that is not there.
  for (const name of Object.getOwnPropertyNames(full)) {
    const method: unknown = Reflect.get(full, name)
    if (typeof method === "function") {
      Reflect.set(console, name, method)
    }
  }
  let groups = 0
  const counted = (name: "group" | "groupCollapsed" | "groupEnd", step: 1 | -1): void => {
    const method = full[name]
    Reflect.set(console, name, (...args: ReadonlyArray<unknown>) => {
      groups = Math.max(0, groups + step)
      apply(method, full, args)
    })
  }
  counted("group", 1)
  counted("groupCollapsed", 1)
  counted("groupEnd", -1)
  const direct = (name: "log" | "info" | "debug" | "error" | "warn", fd: 1 | 2): void => {
    const method = full[name]
    const replacement = (...args: ReadonlyArray<unknown>): void => {
      if (groups > 0) {
        apply(method, full, args)
      } else if (args.length === 1 && typeof args[0] === "string") {
        route(fd).write(args[0] + "\n")
      } else {
        route(fd).write(formatWithOptions(PLAIN, ...args) + "\n")
      }
    }
    Object.defineProperty(replacement, "name", { value: name })
    Reflect.set(console, name, replacement)
  }
  direct("log", 1)
  direct("info", 1)
  direct("debug", 1)
  direct("error", 2)
  direct("warn", 2)
}

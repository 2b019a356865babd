/**
 * Which run a piece of code belongs to: the run that started it, however many timers, promises and callbacks later.
 *
 * `AsyncLocalStorage` does this, and is used where it is built into the engine (Node 24 and later). Before, it is made
 * of async hooks, and these do not go together with terminating execution: a termination inside a promise callback
 * leaves Node's stack of async ids unbalanced, which Node answers by aborting the process; and they leave visible
 * properties on every promise that code prints. So there the same is done here, with own promise hooks that touch
 * neither, and {@link Attribution.unwind} puts Node's stack right before a termination. From Node 24 on that stack is out
 * of reach: the interpreter has to be started with `--no-force-async-hooks-checks`, so that Node does not insist on it.
 */
import { AsyncLocalStorage, createHook, executionAsyncResource } from "node:async_hooks"
import { createRequire } from "node:module"
import type * as Timers from "node:timers"
import { promiseHooks } from "node:v8"

const { apply } = Reflect
const timers: typeof Timers = createRequire(__filename)("node:timers")

export interface Attribution<A extends object> {
  /** The owner of the code that runs now. */
  readonly current: () => A | undefined
  /** Runs a function, and all that it starts, as code of an owner. */
  readonly run: <B>(owner: A, body: () => B) => B
  /** The owner of the code that made a promise. */
  readonly ownerOf: (promise: object) => A | undefined
  /** Calls back with the next promise that is made, once. */
  readonly onNextPromise: (callback: (promise: object) => void) => void
  /** Called right before the code that runs now is terminated. */
  readonly unwind: () => void
  /** Called once after a termination, outside of the code that was terminated. */
  readonly rewind: () => void
}

class Itself {
  constructor(value: object) {
    return value
  }
}

/** The part of Node's own binding that is needed. */
interface AsyncWrap {
  readonly clearAsyncIdStack: () => void
  readonly setPromiseHooks: (
    init: ((promise: object) => void) | undefined,
    before: ((promise: object) => void) | undefined,
    after: (() => void) | undefined,
    settled: undefined
  ) => void
  readonly async_hook_fields: Uint32Array
  readonly constants: Readonly<
    Record<"kInit" | "kBefore" | "kAfter" | "kDestroy" | "kPromiseResolve" | "kTotals", number>
  >
}

const isAsyncWrap = (binding: unknown): binding is AsyncWrap =>
  typeof binding === "object" && binding !== null &&
  "clearAsyncIdStack" in binding && typeof binding.clearAsyncIdStack === "function" &&
  "setPromiseHooks" in binding && typeof binding.setPromiseHooks === "function" &&
  "async_hook_fields" in binding && binding.async_hook_fields instanceof Uint32Array &&
  "constants" in binding && typeof binding.constants === "object"

const asyncWrap = (): AsyncWrap | undefined => {
  const binding: unknown = Reflect.get(process, "binding")
  if (typeof binding !== "function") {
    return undefined
  }
  const noDeprecation = process.noDeprecation
  process.noDeprecation = true
  try {
    const wrap: unknown = apply(binding, process, ["async_wrap"])
    return isAsyncWrap(wrap) ? wrap : undefined
  } catch {
    return undefined
  } finally {
    if (noDeprecation === undefined) {
      Reflect.deleteProperty(process, "noDeprecation")
    } else {
      process.noDeprecation = noDeprecation
    }
  }
}

const byStorage = <A extends object>(onTimer: (owner: A, timer: object) => void): Attribution<A> => {
  const storage = new AsyncLocalStorage<A>()
  for (const name of ["setTimeout", "setInterval", "setImmediate"] as const) {
    const original: Function = timers[name]
    const replacement = function(this: unknown, ...args: ReadonlyArray<unknown>): unknown {
      const timer: unknown = apply(original, this, args)
      const owner = storage.getStore()
      if (owner !== undefined && typeof timer === "object" && timer !== null) {
        onTimer(owner, timer)
      }
      return timer
    }
    Object.defineProperties(replacement, Object.getOwnPropertyDescriptors(original))
    Reflect.set(timers, name, replacement)
    Reflect.set(globalThis, name, replacement)
  }
  return {
    current: () => storage.getStore(),
    run: (owner, body) => storage.run(owner, body),
    ownerOf: () => storage.getStore(),
    onNextPromise: (callback) => {
      const stop: unknown = promiseHooks.onInit((promise) => {
        if (typeof stop === "function") {
          apply(stop, undefined, [])
        }
        callback(promise)
      })
    },
    unwind: () => {},
    rewind: () => {}
  }
}

const byHooks = <A extends object>(
  wrap: AsyncWrap,
  onTimer: (owner: A, timer: object) => void
): Attribution<A> => {
  // A private field on a foreign object: invisible, and as short-lived as the object.
  class Owned extends Itself {
    #owner: A
    constructor(value: object, owner: A) {
      super(value)
      this.#owner = owner
    }
    static of(value: object): A | undefined {
      return #owner in value ? value.#owner : undefined
    }
    static mark(value: object, owner: A): void {
      if (!(#owner in value)) {
        new Owned(value, owner)
      }
    }
  }

  // undefined: go by the async resource. null: certainly nobody's.
  let owner: A | null | undefined = undefined
  let outer: A | null | undefined = undefined
  const current = (): A | undefined => owner === undefined ? Owned.of(executionAsyncResource()) : owner ?? undefined
  let onPromise: ((promise: object) => void) | undefined
  const onInit = (promise: object): void => {
    const callback = onPromise
    if (callback !== undefined) {
      onPromise = undefined
      callback(promise)
    }
    mark(promise)
  }
  const mark = (value: object): void => {
    const by = current()
    if (by !== undefined) {
      Owned.mark(value, by)
    }
  }
  const init = (_id: number, type: string, _trigger: number, resource: object): void => {
    if (type === "PROMISE") {
      // Only when code uses async hooks of its own: then Node's promise hooks are in the place of ours.
      onInit(resource)
      return
    }
    const by = current()
    if (by !== undefined) {
      Owned.mark(resource, by)
      if (type === "Timeout" || type === "Immediate") {
        onTimer(by, resource)
      }
    }
  }
  createHook({ init }).enable()
  wrap.setPromiseHooks(
    onInit,
    (promise) => {
      outer = owner
      owner = Owned.of(promise) ?? null
    },
    () => {
      owner = outer
    },
    undefined
  )
  const fields = wrap.async_hook_fields
  const { kAfter, kBefore, kDestroy, kInit, kPromiseResolve, kTotals } = wrap.constants
  return {
    current,
    run: (by, body) => {
      const before = owner
      owner = by
      try {
        return body()
      } finally {
        owner = before
      }
    },
    ownerOf: (promise) => Owned.of(promise),
    onNextPromise: (callback) => {
      onPromise = callback
    },
    unwind: () => {
      owner = undefined
      outer = undefined
      wrap.clearAsyncIdStack()
      // Without hooks, by this count, Node does not insist on a balanced stack.
      fields[kTotals] = 0
    },
    rewind: () => {
      owner = undefined
      outer = undefined
      wrap.clearAsyncIdStack()
      fields[kTotals] = (fields[kInit] ?? 0) + (fields[kBefore] ?? 0) + (fields[kAfter] ?? 0) +
        (fields[kDestroy] ?? 0) + (fields[kPromiseResolve] ?? 0)
    }
  }
}

/**
 * The best way that this Node has. `onTimer` hears of each timer and immediate that an owner's code starts (from Node 24
 * on only of those that are not started through `timers/promises`).
 */
export const makeAttribution = <A extends object>(onTimer: (owner: A, timer: object) => void): Attribution<A> => {
  const wrap = asyncWrap()
  return wrap === undefined ? byStorage(onTimer) : byHooks(wrap, onTimer)
}

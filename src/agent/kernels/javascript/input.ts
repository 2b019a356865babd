/**
 * There is nobody to ask: standard input is at its end, and what waits for an answer says so instead of waiting.
 */
import { createRequire } from "node:module"

/**
 * Thrown where code asks for input.
 */
export class InputUnavailable extends Error {
  override readonly name = "InputUnavailable"

  constructor(what: string) {
    super(
      `${what} cannot be answered: code in a sandbox has no standard input. Pass the input as a variable or a file.`
    )
  }
}

let installed = false

/**
 * Makes the questions of `readline` on standard input fail; by itself they would never be answered.
 */
export const installReadline = (): void => {
  if (installed) {
    return
  }
  installed = true
  const load = createRequire(__filename)
  for (const name of ["node:readline", "node:readline/promises"]) {
    const prototype: unknown = load(name).Interface.prototype
    if (typeof prototype !== "object" || prototype === null) {
      continue
    }
    const original: unknown = Reflect.get(prototype, "question")
    if (typeof original === "function") {
      Reflect.set(prototype, "question", function(this: object, ...args: ReadonlyArray<unknown>) {
        if (Reflect.get(this, "input") === process.stdin) {
          throw new InputUnavailable("A question on standard input")
        }
        return Reflect.apply(original, this, args)
      })
    }
  }
}

/**
 * Defines the functions that ask a user in browsers and in Deno.
 */
export const installPrompts = (): void => {
  for (const name of ["prompt", "confirm", "alert"]) {
    if (name in globalThis) {
      continue
    }
    Object.defineProperty(globalThis, name, {
      value: (): never => {
        throw new InputUnavailable(`${name}()`)
      },
      configurable: true,
      writable: true,
      enumerable: false
    })
  }
}

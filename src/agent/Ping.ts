/**
 * Asking an agent for a sign of life: it is asked at once, and whoever wants the answer waits for that later.
 */
import * as Effect from "effect/Effect"
import type { Pending } from "./Files.js"
import type { EngineMessage } from "./Protocol.js"

/**
 * Waits for the answer, for so many milliseconds: whether there is one.
 */
export type Answered = (milliseconds: number) => Effect.Effect<boolean>

/**
 * Asks. An interpreter that is named, and in which nothing has run yet, is woken: it is about to be used.
 */
export type Ping = (contextId: string | undefined) => Effect.Effect<Answered>

/**
 * What the connection gives for it.
 */
export interface PingPort {
  /** Makes a number for a request, and remembers whom to tell; `undefined` when the agent is gone. */
  readonly register: (pending: Pending) => number | undefined
  readonly forget: (id: number) => void
  readonly send: (message: EngineMessage) => void
}

const dead: Answered = () => Effect.succeed(false)

/**
 * Makes it.
 */
export const makePing = (port: PingPort): Ping => (contextId) =>
  Effect.sync(() => {
    let answer: boolean | undefined
    let tell: ((answer: boolean) => void) | undefined
    const settle = (alive: boolean): void => {
      if (id !== undefined) port.forget(id)
      answer ??= alive
      tell?.(answer)
    }
    const id = port.register({ reply: () => settle(true), failed: () => settle(false) })
    if (id === undefined) return dead
    port.send({ op: "ping", id, ...(contextId === undefined ? {} : { ctx: contextId }) })
    return (milliseconds) =>
      Effect.async<boolean>((resume) => {
        if (answer !== undefined) return resume(Effect.succeed(answer))
        // Not a race of two fibers: somebody waits for this.
        const timer = setTimeout(() => settle(false), milliseconds)
        tell = (alive) => {
          clearTimeout(timer)
          resume(Effect.succeed(alive))
        }
        return Effect.sync(() => {
          clearTimeout(timer)
          tell = undefined
        })
      })
  })

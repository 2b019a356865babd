/**
 * The lines of standard input.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Queue from "effect/Queue"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CliError } from "../CliError.js"
import * as Input from "../Input.js"
import * as Output from "../Output.js"
import * as Signals from "../Signals.js"

/**
 * What comes next: a line (without its newline), Ctrl-C in place of one, or the end.
 */
export type Line =
  | { readonly _tag: "Line"; readonly text: string }
  | { readonly _tag: "Interrupt" }
  | { readonly _tag: "End" }

/**
 * Where lines come from.
 */
export interface Lines {
  /** Whether a person types them. */
  readonly isTyped: boolean
  /** The next one; a person is shown `prompt` first. */
  readonly next: (prompt: string) => Effect.Effect<Line, CliError>
  /** Lets Ctrl-C call `interrupt` while `effect` runs. */
  readonly guard: <A, E, R>(effect: Effect.Effect<A, E, R>, interrupt: () => void) => Effect.Effect<A, E, R>
}

/**
 * Lines that a person types, with history and editing. What is typed while a command runs waits for the next prompt.
 */
export const fromTerminal: Effect.Effect<Lines, never, Scope.Scope> = Effect.gen(function*() {
  const { createInterface } = yield* Effect.promise(() => import("node:readline"))
  const queue = yield* Queue.unbounded<Line>()
  const output = Output.isTerminal("stdout") ? process.stdout : process.stderr
  const terminal = yield* Effect.acquireRelease(
    Effect.sync(() => createInterface({ input: process.stdin, output, terminal: true, prompt: "" })),
    (terminal) => Effect.sync(() => terminal.close())
  )
  let running: (() => void) | undefined
  const interrupt = () => {
    if (running !== undefined) {
      running()
      return
    }
    // To the end of the line, then all before it away, as if by hand (Ctrl-E, Ctrl-U).
    terminal.write(null, { ctrl: true, name: "e" })
    terminal.write(null, { ctrl: true, name: "u" })
    output.write("^C\n")
    Queue.unsafeOffer(queue, { _tag: "Interrupt" })
  }
  terminal.on("line", (text) => Queue.unsafeOffer(queue, { _tag: "Line", text }))
  terminal.on("close", () => Queue.unsafeOffer(queue, { _tag: "End" }))
  terminal.on("SIGINT", interrupt)
  yield* Signals.handle((signal) => {
    if (signal === "SIGINT") {
      interrupt()
    }
    return signal === "SIGINT"
  })
  return {
    isTyped: true,
    next: (prompt) =>
      Effect.gen(function*() {
        terminal.setPrompt(prompt)
        if ((yield* Queue.size(queue)) === 0) {
          terminal.prompt(true)
        }
        const line = yield* Queue.take(queue)
        // While a command runs, typing must not bring back the prompt.
        terminal.setPrompt("")
        return line
      }),
    guard: (effect, interrupt) =>
      Effect.suspend(() => {
        running = interrupt
        return Effect.ensuring(
          effect,
          Effect.sync(() => {
            running = undefined
          })
        )
      })
  }
})

/**
 * Lines of a pipe or a file, each when it is there; without prompts.
 */
export const fromPipe: Effect.Effect<Lines, never, Scope.Scope> = Effect.map(
  Stream.toPull(Stream.splitLines(Stream.decodeText(Input.stream))),
  (pull): Lines => {
    let waiting: Array<string> = []
    const next: Effect.Effect<Line, CliError> = Effect.suspend(() => {
      const text = waiting.shift()
      return text !== undefined ? Effect.succeed<Line>({ _tag: "Line", text }) : Effect.matchEffect(pull, {
        onFailure: Option.match({
          onNone: () => Effect.succeed<Line>({ _tag: "End" }),
          onSome: Effect.fail<CliError>
        }),
        onSuccess: (lines) => {
          waiting = [...lines]
          return next
        }
      })
    })
    return { isTyped: false, next: () => next, guard: (effect) => effect }
  }
)

/**
 * Evaluation in V8's REPL mode: state is kept between cells, `const`, `let` and `class` may be declared again, and
 * `await` stands at top level.
 */
import { type Runtime, Session } from "node:inspector"
import { HOOK } from "./hook.js"
import type { SyntaxPosition } from "./rewrite.js"

export type Outcome =
  | { readonly _tag: "Value"; readonly value: unknown }
  | { readonly _tag: "Thrown"; readonly error: unknown }
  /** The source is not valid. */
  | { readonly _tag: "Invalid"; readonly position: SyntaxPosition }

const GROUP = "cell"

const hasCellFrame = (error: unknown, cell: string): boolean => {
  try {
    return error instanceof Error && String(error.stack).includes(`${cell}:`)
  } catch {
    return true
  }
}

const isSyntaxError = (error: unknown): error is SyntaxError => {
  try {
    return error instanceof SyntaxError
  } catch {
    return false
  }
}

export class Evaluator {
  private readonly session = new Session()
  private captured: unknown = undefined
  /** The promise of the evaluation that goes on. */
  private pending: object | undefined
  /** Promises of evaluations that were given up. */
  private readonly abandoned: Array<object> = []

  /** `onNextPromise` calls back with the next promise that is made. */
  constructor(private readonly onNextPromise: (callback: (promise: object) => void) => void) {
    this.session.connect()
  }

  /** Called by evaluated code with what it is to hand over; a property of the hook. */
  readonly capture = (value: unknown): void => {
    this.captured = value
  }

  /**
   * Evaluates a cell and calls `done`, at once or when it has been awaited. It is never called when the evaluation is
   * terminated.
   */
  evaluate(code: string, cell: string, done: (outcome: Outcome) => void): void {
    const parameters = {
      expression: `${code}\n//# sourceURL=${cell}`,
      objectGroup: GROUP,
      replMode: true,
      awaitPromise: true,
      silent: true
    }
    // The first promise is the one of the cell as a whole. The inspector reports to its callback if it is garbage
    // collected before it is settled, and does so in the middle of the collection, where no callback may run: Node
    // aborts. So it is held, after an interrupt for ever: it is small.
    let whole: object | undefined
    this.pending = undefined
    this.onNextPromise((promise) => {
      whole = promise
      this.pending = promise
    })
    this.session.post("Runtime.evaluate", parameters, (error: Error | null, answer: Runtime.EvaluateReturnType) => {
      if (this.pending === whole) {
        this.pending = undefined
      }
      // Without an answer it was terminated, or nothing is left that could ever continue it.
      if (error === null) {
        done(this.outcome(answer, cell))
      }
    })
  }

  /**
   * Lets go of what was evaluated.
   */
  release(): void {
    if (this.pending !== undefined) {
      this.abandoned[this.abandoned.length] = this.pending
      this.pending = undefined
    }
    this.captured = undefined
    this.session.post("Runtime.releaseObjectGroup", { objectGroup: GROUP })
  }

  private outcome(answer: Runtime.EvaluateReturnType, cell: string): Outcome {
    const details = answer.exceptionDetails
    if (details === undefined) {
      return { _tag: "Value", value: this.valueOf(answer.result) }
    }
    const error = details.exception === undefined ? new Error(details.text) : this.valueOf(details.exception)
    // Source that does not compile has a script but no frame in it.
    if (isSyntaxError(error) && details.scriptId !== undefined && !hasCellFrame(error, cell)) {
      return {
        _tag: "Invalid",
        position: { message: error.message, line: details.lineNumber + 1, column: details.columnNumber + 1 }
      }
    }
    return { _tag: "Thrown", error }
  }

  /** The value itself behind the inspector's description of it. */
  private valueOf(remote: Runtime.RemoteObject): unknown {
    if (remote.objectId === undefined) {
      return primitiveOf(remote)
    }
    this.captured = undefined
    this.session.post("Runtime.callFunctionOn", {
      functionDeclaration: `function (value) { ${HOOK}.capture(value) }`,
      objectId: remote.objectId,
      arguments: [{ objectId: remote.objectId }],
      silent: true
    })
    const value = this.captured
    this.captured = undefined
    return value
  }
}

const primitiveOf = (remote: Runtime.RemoteObject): unknown => {
  const text = remote.unserializableValue
  if (text === undefined) {
    return remote.subtype === "null" ? null : remote.value
  }
  return text.endsWith("n") ? BigInt(text.slice(0, -1)) : Number(text)
}

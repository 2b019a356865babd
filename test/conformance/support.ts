import type * as Vitest from "@effect/vitest"
import { expect } from "@effect/vitest"
import type { Scope } from "effect"
import { Cause, Effect, Exit, Option } from "effect"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import { Sandbox } from "../../src/Sandbox.js"
import type { SandboxSDK } from "../../src/SandboxSDK.js"

/** The `it` of a block that has the layer under test. */
export interface It {
  readonly scoped: Vitest.Vitest.Test<SandboxSDK | Scope.Scope>
  readonly effect: Vitest.Vitest.Test<SandboxSDK>
}

/** A part of the suite. */
export type Part = (it: It) => void

/** A sandbox for one test. */
export const python = Sandbox.make({ templateId: "python" })

/** Runs code in a sandbox of its own and gives what it printed and the text of its last expression. */
export const runOnce = (code: string) =>
  Effect.scoped(
    Effect.gen(function*() {
      const sandbox = yield* python
      const { execution } = yield* sandbox.runCode(code)
      return { text: execution.text, stdout: execution.logs.stdout.join(""), stderr: execution.logs.stderr.join("") }
    })
  )

/** The typed error that an effect fails with; anything else fails the test. */
export const failure = <A, E extends AnySandboxSDKError, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<E, never, R> =>
  Effect.flatMap(Effect.exit(effect), (exit) => {
    if (Exit.isSuccess(exit)) {
      return Effect.die(new Error(`expected a failure, got ${JSON.stringify(exit.value)}`))
    }
    const error = Cause.failureOption(exit.cause)
    return Option.isSome(error)
      ? Effect.succeed(error.value)
      : Effect.die(new Error(`expected a typed failure, got ${Cause.pretty(exit.cause)}`))
  })

/** Fails the test unless the effect fails with these fields (`_tag`, `code`, `field` …). */
export const failsWith = <A, E extends AnySandboxSDKError, R>(
  effect: Effect.Effect<A, E, R>,
  fields: Readonly<Record<string, unknown>>
): Effect.Effect<E, never, R> =>
  Effect.tap(failure(effect), (error) =>
    Effect.sync(() => {
      // Field by field: a difference between whole errors, with their stacks, is not readable.
      const seen = Object.fromEntries(Object.keys(fields).map((key) => [key, Reflect.get(error, key)]))
      expect({ message: error.message, ...seen }).toEqual({ message: error.message, ...fields })
    }))

/** Polls until a condition holds; the test's own time limit ends it otherwise. */
export const eventually = <E, R>(condition: Effect.Effect<boolean, E, R>): Effect.Effect<void, E, R> =>
  Effect.flatMap(
    condition,
    (holds) => holds ? Effect.void : Effect.zipRight(Effect.sleep("20 millis"), eventually(condition))
  )

export type TestScope = Scope.Scope

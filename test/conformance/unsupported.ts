/**
 * The suite for a layer over a protocol that has no words for some of what the service does.
 *
 * What is not there, the layer has to say itself, by its typed error with the name of what it is; a test that needs it is
 * skipped then, with that as the reason. What is named and is there all the same fails, and so does what is missing without
 * being named. Everything else has to hold.
 */
import { expect } from "@effect/vitest"
import { Effect, Layer, Predicate, Stream } from "effect"
import { isSandboxSDKError } from "../../src/Errors.js"
import { SandboxSDK, type Service } from "../../src/SandboxSDK.js"
import { makeLacking } from "./lacking.js"
import type { It, Part } from "./support.js"

/** What is not there. */
export interface Unsupported {
  /** Operations as a whole; the error's `field` is their name. */
  readonly operations: ReadonlyArray<keyof Service>
  /** Parts of others, by the error's `field`. */
  readonly fields: ReadonlyArray<string>
  /** Titles of tests of what the protocol does not tell, with what that is. */
  readonly untold: Readonly<Record<string, string>>
}

const lacking = makeLacking()

const isStream = (u: unknown): u is Stream.Stream<unknown, unknown> => Predicate.hasProperty(u, Stream.StreamTypeId)

const isEffect = (u: unknown): u is Effect.Effect<unknown, unknown> => Effect.isEffect(u)

const told = ({ fields, operations }: Unsupported) => {
  const names = new Set<string | undefined>([...operations, ...fields])
  return (error: unknown): Effect.Effect<void> =>
    isSandboxSDKError(error) && error._tag === "SandboxSDKError" && error.code === "unsupported" &&
      names.has(error.field)
      ? lacking.tell(error.message)
      : Effect.void
}

const watched = (note: (error: unknown) => Effect.Effect<void>) => (given: unknown): unknown =>
  isStream(given)
    ? Stream.tapError(given, note)
    : isEffect(given)
    ? Effect.tapError(given, note)
    : given

const wrap = (sdk: Service, unsupported: Unsupported): Service => {
  const watch = watched(told(unsupported))
  return new Proxy(sdk, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name)
      return typeof member === "function"
        ? (...input: ReadonlyArray<unknown>): unknown => watch(Reflect.apply(member, target, input))
        : watch(member)
    }
  })
}

/** A layer to make the suite with. */
export const watching = <E>(
  layer: Layer.Layer<SandboxSDK, E>,
  unsupported: Unsupported
): Layer.Layer<SandboxSDK, E> =>
  Layer.effect(SandboxSDK, Effect.map(SandboxSDK, (sdk) => wrap(sdk, unsupported))).pipe(Layer.provide(layer))

/** Skips what the layer says it cannot do. */
export const skippingUnsupported = (it: It, { untold }: Unsupported): It => lacking.skipping(it, untold)

/** That each operation which is not there says so. */
export const says = ({ operations }: Unsupported): Part => (it) => {
  for (const operation of operations) {
    it.scoped(`has no ${operation}, and says so`, () =>
      Effect.gen(function*() {
        const sdk = yield* SandboxSDK
        const member: unknown = Reflect.get(sdk, operation)
        const given: unknown = typeof member === "function" ? Reflect.apply(member, sdk, ["some-id", 80]) : member
        const made: Effect.Effect<unknown, unknown> = isStream(given)
          ? Stream.runDrain(given)
          : isEffect(given)
          ? given
          : Effect.die("it gives no effect")
        const error = yield* Effect.flip(made)
        expect(error).toMatchObject({ _tag: "SandboxSDKError", code: "unsupported", field: operation })
      }))
  }
}

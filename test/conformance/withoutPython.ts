/**
 * The suite for a layer whose sandboxes have no Python.
 *
 * Where a test only needs some sandbox, it gets one of JavaScript. Where it needs Python, the layer has to say so itself,
 * by its typed error; then the test is skipped, with that as the reason. Everything else has to hold.
 */
import { Deferred, Effect, Layer, Option, Stream } from "effect"
import type { TestContext } from "vitest"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import type { RunCodeOptions } from "../../src/Options.js"
import { SandboxSDK, type Service } from "../../src/SandboxSDK.js"
import type { It } from "./support.js"

/** Told that what is tested now needs Python; tests are made one after the other. */
let lacking = Effect.runSync(Deferred.make<string>())

const saysThatPythonIsMissing = (error: AnySandboxSDKError): boolean =>
  error._tag === "SandboxError" && /python/i.test(error.message) &&
  (error.code === "template_unavailable" || error.code === "language_unavailable" || error.field === "pty")

const note = (error: AnySandboxSDKError): Effect.Effect<void> =>
  saysThatPythonIsMissing(error) ? Effect.asVoid(Deferred.succeed(lacking, error.message)) : Effect.void

const wrap = (sdk: Service): Service => {
  const standIns = new Set<string>()
  const inPython = (id: string, options: RunCodeOptions | undefined): RunCodeOptions | undefined =>
    standIns.has(id) && options?.contextId === undefined && options?.language === undefined
      ? { ...options, language: "python" }
      : options
  /** A job that fails is a result, so that a batch does not fail for want of Python: this does. */
  const asked = (id: string, options: { readonly contextId?: string | undefined } | undefined) =>
    standIns.has(id) && options?.contextId === undefined
      ? Effect.ignore(Effect.tapError(sdk.runCode(id, "", { language: "python" }), note))
      : Effect.void
  return {
    ...sdk,
    createSandbox: (options) =>
      options.templateId === "python"
        ? Effect.tap(sdk.createSandbox({ ...options, templateId: "javascript" }), ({ sandbox }) =>
          Effect.sync(() => standIns.add(sandbox.id)))
        : Effect.tapError(sdk.createSandbox(options), note),
    runCode: (id, code, options) => Effect.tapError(sdk.runCode(id, code, inPython(id, options)), note),
    runCodeStream: (id, code, options) => Stream.tapError(sdk.runCodeStream(id, code, inPython(id, options)), note),
    runCodeAs: (id, code, schema, options) =>
      Effect.tapError(sdk.runCodeAs(id, code, schema, inPython(id, options)), note),
    executeBatch: (id, jobs, options) => Effect.zipRight(asked(id, options), sdk.executeBatch(id, jobs, options)),
    executeBatchStream: (id, jobs, options) =>
      Stream.concat(Stream.drain(Stream.fromEffect(asked(id, options))), sdk.executeBatchStream(id, jobs, options)),
    createCodeContext: (id, options) =>
      Effect.tapError(
        sdk.createCodeContext(
          id,
          standIns.has(id) && options?.language === undefined ? { ...options, language: "python" } : options
        ),
        note
      ),
    startProcess: (id, options) => Effect.tapError(sdk.startProcess(id, options), note),
    getTemplate: (id) => Effect.tapError(sdk.getTemplate(id), note)
  }
}

/** A layer to make the suite with. */
export const withoutPython = <E>(layer: Layer.Layer<SandboxSDK, E>): Layer.Layer<SandboxSDK, E> =>
  Layer.effect(SandboxSDK, Effect.map(SandboxSDK, wrap)).pipe(Layer.provide(layer))

/** Skips what the layer says it has no Python for. */
export const skippingPython = (it: It): It => {
  const made = <A, E, R>(context: TestContext, test: Effect.Effect<A, E, R>): Effect.Effect<void, E, R> =>
    Effect.gen(function*() {
      lacking = yield* Deferred.make<string>()
      // Whatever else the test makes of it: it has asked for what is not there.
      const reason = yield* Effect.raceFirst(Effect.as(test, undefined), Deferred.await(lacking)).pipe(
        Effect.catchAllCause((cause) =>
          Effect.flatMap(Deferred.poll(lacking), (told) => Option.isSome(told) ? told.value : Effect.failCause(cause))
        )
      )
      if (reason !== undefined) {
        context.skip(reason)
      }
    })
  return {
    scoped: (name, test, timeout) => it.scoped(name, (context) => made(context, test(context)), timeout),
    effect: (name, test, timeout) => it.effect(name, (context) => made(context, test(context)), timeout)
  }
}

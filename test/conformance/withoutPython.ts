/**
 * The suite for a layer whose sandboxes have no Python.
 *
 * Where a test only needs some sandbox, it gets one of JavaScript. Where it needs Python, the layer has to say so itself,
 * by its typed error; then the test is skipped, with that as the reason. Everything else has to hold.
 */
import { Effect, Layer, Stream } from "effect"
import type { AnySandboxSDKError } from "../../src/Errors.js"
import type { RunCodeOptions } from "../../src/Options.js"
import { SandboxSDK, type Service } from "../../src/SandboxSDK.js"
import { makeLacking } from "./lacking.js"
import type { It } from "./support.js"

const lacking = makeLacking()

const saysThatPythonIsMissing = (error: AnySandboxSDKError): boolean =>
  error._tag === "SandboxError" && /python/i.test(error.message) &&
  (error.code === "template_unavailable" || error.code === "language_unavailable" || error.field === "pty")

const note = (error: AnySandboxSDKError): Effect.Effect<void> =>
  saysThatPythonIsMissing(error) ? lacking.tell(error.message) : Effect.void

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
export const skippingPython = (it: It): It => lacking.skipping(it)

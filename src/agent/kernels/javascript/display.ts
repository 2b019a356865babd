/**
 * The global `display`: shows values while code runs.
 *
 * `display(value, …)` shows each value as the last expression of a run is shown. `display.html`, `display.svg`,
 * `display.markdown`, `display.latex`, `display.javascript` take a text or are tags of a template (the last two keep
 * backslashes); `display.json` takes plain data, `display.data` a table by column (`{ name: [values] }`);
 * `display.png`, `display.jpeg` and `display.pdf` take bytes or base64; `display.bundle` takes representations by media
 * type.
 *
 * A value says itself how it is shown by a method named `Symbol.for("sandbox.display")` or
 * `Symbol.for("Jupyter.display")` that gives representations by media type, or a promise of them.
 */
import { displayMethod, encodeBundle, encodeValue, isBundle, type MediaBundle } from "./representation.js"

export interface DisplayOptions {
  /** Sends an encoded result to the run that the calling code belongs to. */
  readonly emit: (result: string) => void
  /** Keeps the run going until the promise is settled. */
  readonly hold: (promise: PromiseLike<unknown>) => void
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === "object" && value !== null && "then" in value && typeof value.then === "function"

/**
 * Encodes a value, asking it first; calls `emit` at once or when its bundle is there. Gives a promise in the latter case.
 */
export const encode = (
  value: unknown,
  isMainResult: boolean,
  emit: (result: string) => void
): PromiseLike<void> | undefined => {
  const method = displayMethod(value)
  if (method === undefined) {
    emit(encodeValue(value, isMainResult))
    return undefined
  }
  const take = (bundle: unknown): void => {
    if (!isBundle(bundle)) {
      throw new TypeError("The display method of the value must give an object of representations by media type.")
    }
    emit(encodeBundle(bundle, isMainResult, value))
  }
  const given = method()
  if (isThenable(given)) {
    return given.then(take)
  }
  take(given)
  return undefined
}

const isTemplate = (value: unknown): value is TemplateStringsArray =>
  Array.isArray(value) && "raw" in value && Array.isArray(value.raw)

const textOf = (strings: unknown, values: ReadonlyArray<unknown>, raw: boolean): string =>
  isTemplate(strings) ? String.raw({ raw: raw ? strings.raw : strings }, ...values) : String(strings)

export const makeDisplay = ({ emit, hold }: DisplayOptions): object => {
  const display = (...values: ReadonlyArray<unknown>): PromiseLike<unknown> | undefined => {
    const waiting = values.flatMap((value) => encode(value, false, emit) ?? [])
    if (waiting.length === 0) {
      return undefined
    }
    const all = Promise.all(waiting)
    hold(all)
    return all.then(() => undefined)
  }
  const bundle = (representations: MediaBundle): void => emit(encodeBundle(representations, false))
  const text = (type: string, raw = false) => (strings: unknown, ...values: ReadonlyArray<unknown>): void =>
    bundle({ [type]: textOf(strings, values, raw) })
  const binary = (type: string) => (content: unknown): void => {
    if (typeof content !== "string" && !ArrayBuffer.isView(content) && !(content instanceof ArrayBuffer)) {
      throw new TypeError(`display of ${type} takes a Buffer, a typed array, an ArrayBuffer or a base64 string.`)
    }
    bundle({ [type]: content })
  }
  return Object.assign(display, {
    html: text("text/html"),
    svg: text("image/svg+xml"),
    markdown: text("text/markdown"),
    latex: text("text/latex", true),
    json: (value: unknown): void => bundle({ "application/json": value }),
    png: binary("image/png"),
    jpeg: binary("image/jpeg"),
    pdf: binary("application/pdf"),
    javascript: text("application/javascript", true),
    data: (columns: unknown): void => bundle({ "application/vnd.sandbox-sdk.data+json": columns }),
    bundle
  })
}

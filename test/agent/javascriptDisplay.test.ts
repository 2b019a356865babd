import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as Schema from "effect/Schema"
import { Result } from "../../src/Result.js"
import { Kernel } from "./support/javascriptKernel.js"

const CUT = "application/vnd.sandbox-sdk.cut+json"

describe("display", () => {
  let kernel: Kernel
  beforeAll(() => {
    kernel = new Kernel()
  })
  afterAll(() => kernel.close())

  const shown = async (code: string) => {
    const { error, results } = await kernel.run(code)
    expect(error).toBeUndefined()
    for (const result of results) {
      Schema.decodeUnknownSync(Result)(result)
    }
    return results
  }

  it("gives plain data as JSON too", async () => {
    expect(await shown("[{ a: 1, b: [null, 'x'] }]")).toEqual([
      { isMainResult: true, text: "[ { a: 1, b: [ null, 'x' ] } ]", json: [{ a: 1, b: [null, "x"] }], extra: {} }
    ])
    expect(await shown("new Map([[1, 2]])")).toEqual([{ isMainResult: true, text: "Map(1) { 1 => 2 }", extra: {} }])
    const [long] = await shown("({ x: 'y'.repeat(2 ** 20) })")
    expect(long).not.toHaveProperty("json")
    // Of a long string inspect shows a part.
    expect(long?.["extra"]).toEqual({ [CUT]: { json: String(long?.["text"]).length } })
    expect((await shown("new Array(2 ** 21).fill(0)"))[0]?.["extra"]).toHaveProperty([CUT, "json"])
  })

  it("shows values on the way, in order with the output", async () => {
    const { order, out, results } = await kernel.run(
      "console.log('a'); display(1, 'two'); console.log('b'); display({ c: 3 }); 'last'"
    )
    expect(out).toBe("a\nb\n")
    expect(order).toEqual(["output", "result", "result", "output", "result", "result", "done"])
    expect(results.map(({ isMainResult, text }) => [isMainResult, text])).toEqual([
      [false, "1"],
      [false, "'two'"],
      [false, "{ c: 3 }"],
      [true, "'last'"]
    ])
  })

  it.each([
    ["display.html`<b>${1 + 1}</b>`", { html: "<b>2</b>" }],
    ["display.html('<i>x</i>')", { html: "<i>x</i>" }],
    ["display.svg`<svg/>`", { svg: "<svg/>" }],
    ["display.markdown`# ${'t'}`", { markdown: "# t" }],
    ["display.latex`\\frac{1}{2}`", { latex: "\\frac{1}{2}" }],
    ["display.json({ a: [1] })", { json: { a: [1] } }],
    ["display.javascript`f('\\n')`", { javascript: "f('\\n')" }],
    ["display.data({ a: [1, null] })", { data: { a: [1, null] } }],
    ["display.png(Buffer.from([1, 2, 3]))", { png: "AQID" }],
    ["display.png(new Uint8Array([1, 2, 3]))", { png: "AQID" }],
    ["display.png('AQID')", { png: "AQID" }],
    ["display.jpeg(new Uint8Array([1, 2, 3]).buffer)", { jpeg: "AQID" }],
    ["display.bundle({ 'text/html': 'h', 'application/x-own': { y: 1 } })", {
      html: "h",
      extra: { "application/x-own": { y: 1 } }
    }]
  ])("%s", async (code, expected) => {
    expect(await shown(code)).toEqual([{ isMainResult: false, extra: {}, ...expected }])
  })

  it.each(["sandbox.display", "Jupyter.display"])("asks the method %s, also for a promise", async (symbol) => {
    const code = (method: string) =>
      `({ [Symbol.for(${
        JSON.stringify(symbol)
      })]${method}, [Symbol.for("nodejs.util.inspect.custom")]: () => "as text" })`
    const expected = [{ isMainResult: true, html: "<p>", text: "as text", extra: {} }]
    expect(await shown(code(": () => ({ 'text/html': '<p>' })"))).toEqual(expected)
    expect(await shown(code(": async () => { await null; return { 'text/html': '<p>' } }"))).toEqual(expected)
    expect(await shown(`await display(${code(": async () => ({ 'text/html': '<p>' })")})`)).toEqual([
      { ...expected[0], isMainResult: false }
    ])
  })

  it("fails the run when a display method fails", async () => {
    const { error } = await kernel.run("({ [Symbol.for('sandbox.display')]() { throw new Error('not drawn') } })")
    expect(error?.value).toBe("not drawn")
    const later = await kernel.run("({ async [Symbol.for('sandbox.display')]() { throw new Error('not drawn') } })")
    expect(later.error?.value).toBe("not drawn")
    expect((await kernel.run("display.png(5)")).error?.name).toBe("TypeError")
  })

  it("shows values that cannot be shown, and cuts those that are too long", async () => {
    const [throwing] = await shown("({ [Symbol.for('nodejs.util.inspect.custom')]() { throw new Error('shy') } })")
    expect(throwing?.["text"]).toBe("(the value cannot be shown: Error: shy)")
    const [long] = await shown(
      "({ [Symbol.for('nodejs.util.inspect.custom')]() { return 'x'.repeat(9 * 1024 * 1024) } })"
    )
    expect(String(long?.["text"]).length).toBeLessThan(8 * 1024 * 1024 + 100)
    expect(long?.["text"]).toMatch(/1048576 more characters were cut$/)
    expect(long?.["extra"]).toEqual({ [CUT]: { text: 9 * 1024 * 1024 } })
    const [huge] = await shown("display.bundle({ 'text/html': 'x'.repeat(30e6), 'text/markdown': 'm' })")
    expect(huge).toEqual({ isMainResult: false, markdown: "m", extra: { [CUT]: { html: 30e6 } } })
    // Each within its bounds, and more than the engine takes together.
    const [wide] = await shown(
      "display.bundle(Object.fromEntries(['html', 'markdown', 'latex'].map((name) => ['text/' + name, name[0].repeat(8e6)])))"
    )
    expect(wide?.["extra"]).toEqual({ [CUT]: { markdown: 8e6 } })
    expect(wide).toHaveProperty("latex")
  })

  it("shows nothing of a run that is over", async () => {
    await shown("setTimeout(() => display('late'), 5); undefined")
    expect(await shown("await new Promise((r) => setTimeout(r, 20)); undefined")).toEqual([])
  })
})

import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as fs from "node:fs"
import * as path from "node:path"
import { Kernel } from "./support/javascriptKernel.js"

describe.each(["javascript", "typescript"] as const)("evaluation in %s", (language) => {
  let kernel: Kernel
  beforeAll(() => {
    kernel = new Kernel({ language })
  })
  afterAll(() => kernel.close())
  const text = async (code: string) => {
    const { error, text } = await kernel.run(code)
    expect(error).toBeUndefined()
    return text
  }

  it("keeps state, and lets names be declared again", async () => {
    await text("const a = 1; let b = 2; class C { m() { return 1 } }; function f() { return a + b }")
    expect(await text("f()")).toBe("3")
    await text("const a = 10; let b = 20; class C { m() { return 2 } }")
    expect(await text("[a, b, new C().m(), f()]")).toBe("[ 10, 20, 2, 30 ]")
  })

  it("awaits at top level", async () => {
    expect(await text("const { x } = await Promise.resolve({ x: 5 }); x")).toBe("5")
    expect(await text("await new Promise((r) => setTimeout(() => r('slow'), 5))")).toBe("'slow'")
    expect(await text("for await (const v of [1, 2]) globalThis.last = v; last")).toBe("2")
  })

  it("waits for the promise that the code ends with", async () => {
    const { out, text } = await kernel.run(
      "async function main() { await null; console.log('in main'); return 7 }\nmain()"
    )
    expect(out).toBe("in main\n")
    expect(text).toBe("7")
  })

  it.each([
    ["undefined", undefined],
    ["null", "null"],
    ["-0", "-0"],
    ["NaN", "NaN"],
    ["123n", "123n"],
    ["Symbol('s')", "Symbol(s)"],
    ["'it'", "'it'"],
    ["new Map([[1, { a: 2 }]])", "Map(1) { 1 => { a: 2 } }"],
    ["{ a: 1 }", "{ a: 1 }"],
    ["const v = 5", undefined],
    ["globalThis.w = 5", undefined],
    ["6;", "6"],
    ["({ then: 5 })", "{ then: 5 }"],
    ["(() => 1)", "[Function (anonymous)]"]
  ])("shows %s as %s", async (code, expected) => {
    expect(await text(code)).toBe(expected)
  })

  it("shows promises without a trace of the interpreter", async () => {
    expect((await kernel.run("console.log(Promise.resolve(3))")).out).toBe("Promise { 3 }\n")
  })

  it("holds the last value in _", async () => {
    await text("6 * 7")
    expect(await text("_ + 1")).toBe("43")
    await text("const noValue = 1")
    expect(await text("_")).toBe("43")
  })

  it("names line and column of a syntax error, and goes on", async () => {
    const { error } = await kernel.run("const ok = 1\nlet = ;\n")
    expect(error?.name).toBe("SyntaxError")
    expect(error?.value).toMatch(/line 2, column \d+/)
    expect(error?.traceback).toContain("let = ;")
    expect((await kernel.run("foo(")).error?.value).toMatch(/line 1, column 5/)
    expect(await text("1")).toBe("1")
  })

  it("reports errors with the lines of the user alone", async () => {
    const { error } = await kernel.run("function f() {\n  throw new TypeError('deep')\n}\nf()")
    const cell = `cell-${kernel.nextRun - 1}`
    expect(error).toEqual({
      name: "TypeError",
      value: "deep",
      traceback: `TypeError: deep\n    at f (${cell}:2:9)\n    at ${cell}:4:1`
    })
  })

  it("reports errors after an await, of rejected promises and of values that are no errors", async () => {
    expect((await kernel.run("await null; throw new RangeError('later')")).error).toMatchObject({
      name: "RangeError",
      value: "later"
    })
    expect((await kernel.run("await Promise.reject(new Error('no'))")).error?.value).toBe("no")
    const unawaited = await kernel.run("Promise.reject(new Error('no'))")
    expect(unawaited.error?.value).toBe("no")
    expect(unawaited.err).toBe("")
    expect((await kernel.run("throw 42")).error).toEqual({ name: "Thrown", value: "42", traceback: "Uncaught 42" })
    expect((await kernel.run("throw undefined")).error?.value).toBe("undefined")
    expect((await kernel.run("throw { code: 5 }")).error?.value).toBe("{ code: 5 }")
    expect((await kernel.run("throw null")).error?.value).toBe("null")
  })

  it("shows causes and the errors of an AggregateError", async () => {
    const { error } = await kernel.run(
      "try { JSON.parse('{') } catch (e) { throw new Error('outer', { cause: new TypeError('middle', { cause: e }) }) }"
    )
    expect(error?.traceback).toMatch(/outer[^]*\[cause\]: TypeError: middle[^]*\[cause\]: SyntaxError/)
    const all = await kernel.run(
      "await Promise.any([Promise.reject(new Error('one')), Promise.reject(new Error('two'))])"
    )
    expect(all.error?.name).toBe("AggregateError")
    expect(all.error?.traceback).toMatch(/one[^]*two/)
  })

  it("reports errors that defend themselves", async () => {
    const code = "throw new Proxy(new Error('x'), { get() { throw new Error('trap') }, getPrototypeOf() { throw 1 } })"
    expect((await kernel.run(code)).error?.name).toEqual(expect.any(String))
    const hostile =
      "class E extends Error { get message() { throw 1 } get name() { throw 2 } get stack() { throw 3 } }\nthrow new E()"
    expect((await kernel.run(hostile)).error).toMatchObject({ name: "Error", value: "" })
    expect(await text("1")).toBe("1")
  })

  it("keeps its own frames out of stacks that code prints", async () => {
    const { err } = await kernel.run("console.error(new Error('shown'))")
    expect(err).toBe(`Error: shown\n    at cell-${kernel.nextRun - 1}:1:15\n`)
  })

  it("ends the run at process.exit, keeps the state", async () => {
    await text("const kept = 'kept'")
    const { died, error, out } = await kernel.run("console.log('before'); process.exit(3)")
    expect(died).toBeUndefined()
    expect(out).toBe("before\n")
    expect(error).toMatchObject({ name: "ProcessExit", value: expect.stringContaining("process.exit(3)") })
    const later = await kernel.run("setTimeout(() => process.exit(4), 1); await new Promise(() => {})")
    expect(later.error).toMatchObject({ name: "ProcessExit", value: expect.stringContaining("process.exit(4)") })
    expect(await text("kept")).toBe("'kept'")
  })

  it("survives errors that nobody catches, and tells of them on standard error", async () => {
    const { err } = await kernel.run(
      "setTimeout(() => { throw new Error('in timer') }, 1); Promise.reject(new Error('in promise')); await new Promise((r) => setTimeout(r, 20))"
    )
    expect(err).toContain("Uncaught Error: in timer")
    expect(err).toContain("Uncaught (in promise) Error: in promise")
    await kernel.run("setTimeout(() => { throw new Error('late') }, 5); Promise.reject(1); 0")
    const next = await kernel.run("await new Promise((r) => setTimeout(r, 30)); 'fine'")
    expect(next).toMatchObject({ err: "", text: "'fine'" })
  })

  it("sets variables for one run and puts back what was there", async () => {
    await text("process.env.KEPT = 'old'; delete process.env.FRESH; delete process.env.SEEN")
    const { text: during } = await kernel.run(
      "process.env.SEEN = 'mine'; [process.env.KEPT, process.env.FRESH, process.env.SANDBOX_LANGUAGE]",
      { env: { KEPT: "new", FRESH: "1" } }
    )
    expect(during).toBe("[ 'new', '1', undefined ]")
    expect(await text("[process.env.KEPT, process.env.FRESH, process.env.SEEN]")).toBe("[ 'old', undefined, 'mine' ]")
  })

  it("answers questions with an error, and gives no input", async () => {
    expect((await kernel.run("prompt('name?')")).error?.name).toBe("InputUnavailable")
    const question = `import { createInterface } from "node:readline/promises"
await createInterface({ input: process.stdin, output: process.stdout }).question("name? ")`
    expect((await kernel.run(question)).error?.name).toBe("InputUnavailable")
    expect(await text("require('fs').readFileSync(0, 'utf8')")).toBe("''")
  })

  it("works on after code has replaced what it can reach", async () => {
    const other = new Kernel({ language })
    await other.run(
      "Array.prototype.push = () => { throw new Error('no') }; JSON.stringify = () => 'x'; JSON.parse = () => ({});" +
        "globalThis.setTimeout = globalThis.setImmediate = () => {}; Buffer.from = () => {};" +
        "process.stdout.write = () => true; Atomics.wait = Atomics.load = () => 1; Promise.prototype.then = () => {};" +
        "delete globalThis.console; 1"
    )
    const { died } = await Promise.race([
      other.run("1 + 1"),
      new Promise<{ readonly died: string }>((resolve) => setTimeout(() => resolve({ died: "stuck" }), 5000))
    ])
    expect(died).not.toBe("stuck")
    other.close()
  })
})

describe("modules", () => {
  let kernel: Kernel
  beforeAll(async () => {
    kernel = new Kernel()
    const write = (name: string, content: string) => {
      const file = path.join(kernel.workspace, name)
      fs.mkdirSync(path.dirname(file), { recursive: true })
      fs.writeFileSync(file, content)
    }
    write("local.mjs", "export default 'd'; export const named = 'n'; export const here = import.meta.url")
    write("local.cjs", "module.exports = { fromCjs: __filename }")
    write("data.json", "{\"x\": [1, 2]}")
    write("throws.mjs", "export function f() {\n  throw new Error('in library')\n}")
    write(
      "node_modules/dual/package.json",
      JSON.stringify({ name: "dual", exports: { ".": { import: "./i.mjs", require: "./r.cjs" } } })
    )
    write("node_modules/dual/i.mjs", "export const kind = 'import'")
    write("node_modules/dual/r.cjs", "exports.kind = 'require'")
    write("node_modules/esm-only/package.json", JSON.stringify({ name: "esm-only", exports: { import: "./i.mjs" } }))
    write("node_modules/esm-only/i.mjs", "export const only = 1")
    write("sub/inner.mjs", "export const inner = 'inner'")
  })
  afterAll(() => kernel.close())

  it.each([
    ["import fs from 'node:fs'\ntypeof fs.readFileSync", "'function'"],
    ["import { join as j, sep } from 'path'; j('a', 'b') + sep", "'a/b/'"],
    ["import * as os from 'os'; typeof os.cpus", "'function'"],
    ["import d, { named } from './local.mjs'; d + named", "'dn'"],
    ["import d, * as ns from './local.mjs'; d + ns.named", "'dn'"],
    ["import { 'named' as quoted } from './local.mjs'; quoted", "'n'"],
    ["import './local.mjs'; 1", "1"],
    ["import data from './data.json' with { type: 'json' }; data.x", "[ 1, 2 ]"],
    ["(await import('./data.json', { with: { type: 'json' } })).default.x", "[ 1, 2 ]"],
    ["import('./local.mjs').then((m) => m.named)", "'n'"],
    ["import { kind } from 'dual'; [kind, require('dual').kind]", "[ 'import', 'require' ]"],
    ["import { only } from 'esm-only'; only", "1"],
    ["import { fromCjs } from './local.cjs'; typeof fromCjs", "'string'"],
    ["const { fromCjs: c } = require('./local.cjs'); typeof c", "'string'"],
    ["require.resolve('dual').endsWith('r.cjs')", "true"],
    ["import.meta.url.startsWith('file:///') && import.meta.dirname === process.cwd()", "true"],
    ["import.meta.resolve('./local.mjs').endsWith('/workspace/local.mjs')", "true"],
    ["export const exported = 1; exported", "1"],
    ["export default { a: 1 }", "{ a: 1 }"],
    ["export default function () {}", "[Function (anonymous)]"],
    ["export default function named2() { return 3 }\nnamed2()", "3"],
    ["export class K { v = 4 }\nnew K().v", "4"],
    ["export { named3 }; const named3 = 1; named3", "1"],
    ["export * from './local.mjs'; 2", "2"]
  ])("%s", async (code, expected) => {
    const { err, error, text } = await kernel.run(code)
    expect({ err, error, text }).toEqual({ err: "", error: undefined, text: expected })
  })

  it("keeps imported names for the next run", async () => {
    await kernel.run("import { named as later } from './local.mjs'")
    expect((await kernel.run("later")).text).toBe("'n'")
  })

  it("says what a module does not export, and what is not there", async () => {
    const missing = await kernel.run("import { nope } from './local.mjs'")
    expect(missing.error).toMatchObject({
      name: "SyntaxError",
      value: "The requested module './local.mjs' does not provide an export named 'nope'"
    })
    expect((await kernel.run("import x from 'not-installed'")).error?.value).toContain("not-installed")
  })

  it("keeps frames of libraries, and the lines of code below imports", async () => {
    const { error } = await kernel.run("import {\n  f\n} from './throws.mjs'; f()\n")
    expect(error?.traceback).toMatch(/at f \(file:.*throws\.mjs:2:9\)\n {4}at cell-\d+:3:24$/)
  })

  it("resolves from the current directory", async () => {
    await kernel.run("process.chdir('sub')")
    expect((await kernel.run("import { inner } from './inner.mjs'; inner")).text).toBe("'inner'")
    expect((await kernel.run("import { kind as k } from 'dual'; k")).text).toBe("'import'")
    await kernel.run("process.chdir('..')")
  })
})

describe("TypeScript", () => {
  let kernel: Kernel
  beforeAll(() => {
    kernel = new Kernel({ language: "typescript" })
    fs.writeFileSync(path.join(kernel.workspace, "m.mjs"), "export const v = 1")
  })
  afterAll(() => kernel.close())

  it("removes types and keeps what has a value", async () => {
    expect((await kernel.run("interface P { x: number }\nconst p: P = { x: 1 } satisfies P;\n(p as any).x!")).text)
      .toBe("1")
    await kernel.run("enum Color { Red, Green = 'g' }\nfunction id<T>(x: T): T { return x }")
    expect((await kernel.run("[Color.Red, Color.Green, Color[0], id<number>(3)]")).text).toBe("[ 0, 'g', 'Red', 3 ]")
    expect(
      (await kernel.run(
        "class A { constructor(private readonly n: number) {} get() { return this.n } }\nnew A(4).get()"
      )).text
    )
      .toBe("4")
  })

  it("keeps imports for the next run, and lets types be imported", async () => {
    await kernel.run("import { v, SomeType } from './m.mjs'\nimport type { Other } from './gone.mjs'")
    expect((await kernel.run("v")).text).toBe("1")
  })

  it("keeps line numbers", async () => {
    const { error } = await kernel.run("interface A {\n  x: number\n}\ntype B =\n  | 1\n  | 2\nthrow new Error('here')")
    expect(error?.traceback).toMatch(/cell-\d+:7:7$/)
  })

  it("names line and column of a syntax error", async () => {
    const { error } = await kernel.run("const a: number = 1\nconst b: = 2")
    expect(error).toMatchObject({ name: "SyntaxError", value: expect.stringContaining("line 2") })
    expect(error?.traceback).toContain("const b: = 2")
  })
})

import { describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Critical } from "../../src/agent/kernels/javascript/critical.js"
import { applyEdits, mapEdits } from "../../src/agent/kernels/javascript/edits.js"
import { encodeFrame, FrameReader } from "../../src/agent/kernels/javascript/framing.js"
import { plainJson } from "../../src/agent/kernels/javascript/plainJson.js"
import { rewrite } from "../../src/agent/kernels/javascript/rewrite.js"
import { CELLS } from "../../src/agent/kernels/javascript/shared.js"

const critical = new Critical(new Int32Array(new SharedArrayBuffer(CELLS * 4)))
const cell = (source: string) => rewrite(source, { lenient: false }, critical)
const lines = (text: string) => text.split(/\r\n|[\n\r\u2028\u2029]/).length

const plainStatement = fc.constantFrom(
  "const a = 1",
  "let b = `x\n${1 + 1}\ny`",
  "// import x from \"y\"",
  "/* export\nconst */ 1",
  "\"import z from 'z'\"",
  "function f(x) {\n  return x * 2\n}",
  "class C { #p = 1; static { } }",
  "for await (const x of []) { x }",
  "label: for (;;) break label",
  "if (1) {\n  2\n}",
  "const { p, q: [r] } = { p: 1, q: [2] }",
  "a?.b ?? 5",
  "/import/.test(\"import\")",
  "await 5",
  "({ import: 1, export: 2 }).import",
  ""
)

const moduleStatement = fc.constantFrom(
  "import d from \"m\"",
  "import { a as b,\n  c } from \"m\"",
  "import\n  * as ns\n  from 'm';",
  "import d2, * as ns2 from \"m\"",
  "import \"m\"",
  "import data from './x.json' with { type: 'json' }",
  "export const e = 1",
  "export { }",
  "export {\n}\nfrom\n'm'",
  "export * from 'm'",
  "const m = await import(\n'm'\n)",
  "f(import.meta.url, import('x'))"
)

describe("rewriting imports", () => {
  it("leaves code without imports and exports as it is", () => {
    fc.assert(
      fc.property(fc.array(plainStatement, { maxLength: 6 }), fc.constantFrom("\n", ";\n", "\r\n"), (parts, glue) => {
        const source = `;${parts.join(glue)}`
        expect(cell(source).code).toBe(source)
      })
    )
  })

  it("keeps the number of lines, and every line that has no import", () => {
    fc.assert(
      fc.property(fc.array(fc.oneof(plainStatement, moduleStatement), { maxLength: 8 }), (parts) => {
        const source = parts.map((part, index) => `${part}\nmark(${index})`).join("\n")
        const { code } = cell(source)
        expect(lines(code)).toBe(lines(source))
        const marks = (text: string) =>
          text.split("\n").flatMap((line, n) => /^mark\(\d+\)$/.test(line) ? [[n, line]] : [])
        expect(marks(code)).toEqual(marks(source))
      })
    )
  })

  it("never fails on any text", () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[a-z{}()"'`;*/ import]{0,40}$/)), (source) => {
      expect(lines(cell(source).code)).toBeGreaterThanOrEqual(lines(source))
    }))
  })

  it("leaves what cannot be parsed as it is, with the position", () => {
    const { code, showsValue, syntaxError } = cell("let a = 1\nimport x frm 'y'")
    expect(code).toBe("let a = 1\nimport x frm 'y'")
    expect(showsValue).toBeUndefined()
    expect(syntaxError).toMatchObject({ line: 2, column: 10 })
  })

  it.each([
    ["1 + 1", true],
    ["f();", true],
    ["'text'", true],
    ["await f()", true],
    ["x++", true],
    ["export default 5", true],
    ["{ a: 1 }", true],
    ["x = 5", false],
    ["x ??= 5", false],
    ["const x = 5", false],
    ["5; function f() {}", false],
    ["for (;;) { 5 }", false],
    ["if (x) { 5 }", false],
    ["", false]
  ])("says whether %j shows a value", (source, shows) => {
    expect(cell(source).showsValue).toBe(shows)
  })

  it("maps columns back behind what became longer", () => {
    const source = "import a from 'm'; a.b()"
    const { code, columns } = cell(source)
    expect(columns?.(1, code.indexOf("a.b()") + 1)).toBe(source.indexOf("a.b()") + 1)
    const wrapped = cell("{ a: f() }")
    expect(wrapped.columns?.(1, wrapped.code.indexOf("f()") + 1)).toBe(6)
  })
})

describe("edits", () => {
  const withEdits = fc.array(
    fc.tuple(fc.stringMatching(/^[a-c\n]{1,6}$/), fc.option(fc.stringMatching(/^[x-z]{0,9}$/)))
  )

  it("keep lines, and map every column that was not replaced to where it was", () => {
    fc.assert(fc.property(withEdits, (parts) => {
      const source = parts.map(([text]) => text).join("")
      let offset = 0
      const edits = parts.flatMap(([text, replacement]) => {
        const start = offset
        offset += text.length
        return replacement === null ? [] : [{ start, end: offset, text: replacement }]
      })
      const code = applyEdits(source, edits)
      expect(lines(code)).toBe(lines(source))
      const columns = mapEdits(source, edits)
      const kept = new Set<string>()
      source.split("\n").forEach((line, n) => [...line].forEach((c, column) => kept.add(`${n + 1}:${column + 1}:${c}`)))
      code.split("\n").forEach((line, n) =>
        [...line].forEach((c, column) => {
          if (/[a-c]/.test(c)) {
            expect(kept).toContain(`${n + 1}:${columns(n + 1, column + 1)}:${c}`)
          }
        })
      )
    }))
  })
})

describe("frames", () => {
  it("come out as they went in, cut anywhere", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.dictionary(fc.string(), fc.jsonValue()), fc.uint8Array()), { maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 20 }), { minLength: 1 }),
        (frames, cuts) => {
          const headers = frames.map(([header]): unknown => JSON.parse(JSON.stringify(header)))
          const bytes = Buffer.concat(frames.map(([header, blob]) => encodeFrame(header, Buffer.from(blob))))
          const reader = new FrameReader()
          const read = []
          for (let offset = 0, n = 0; offset < bytes.length; n++) {
            const cut = cuts[n % cuts.length] ?? 1
            read.push(...reader.push(bytes.subarray(offset, offset + cut)))
            offset += cut
          }
          expect(read.map(({ header }) => header)).toEqual(headers)
          expect(read.map(({ blob }) => [...blob])).toEqual(frames.map(([, blob]) => [...blob]))
        }
      )
    )
  })
})

describe("plain data", () => {
  it("is what JSON gives back as it was", () => {
    fc.assert(fc.property(fc.oneof(fc.array(fc.jsonValue()), fc.dictionary(fc.string(), fc.jsonValue())), (value) => {
      fc.pre(!JSON.stringify(value).includes("__proto__"))
      const negativeZero = (v: unknown): boolean =>
        Object.is(v, -0) || (typeof v === "object" && v !== null && Object.values(v).some(negativeZero))
      fc.pre(!negativeZero(value))
      expect(plainJson(value)).toEqual({ json: value, isTooLong: false })
    }))
  })

  const cyclic: Array<unknown> = []
  cyclic.push(cyclic)
  const hostile = {
    a_function: { f: () => 1 },
    undefined_in_an_array: [undefined],

    a_hole: [1, , 2],
    not_a_number: { n: Number.NaN },
    a_date: { d: new Date() },
    a_getter: {
      get a() {
        throw new Error("touched")
      }
    },
    a_map: new Map(),
    a_cycle: cyclic,
    a_bigint: { big: 1n },
    too_much_text: { text: "x".repeat(2 ** 20) },
    a_proxy: new Proxy({}, {
      ownKeys: () => {
        throw new Error("touched")
      }
    }),
    text: "text",
    null: null
  }
  // Named, and looked up in the test: a runner that prints the values for a title would touch them.
  it.each(Object.keys(hostile))("does not take %s", (name) => {
    const value: unknown = Object.getOwnPropertyDescriptor(hostile, name)?.value
    expect(plainJson(value)).not.toHaveProperty("json")
  })
})

import { describe, expect, it } from "@effect/vitest"
import { Arbitrary, FastCheck as fc, Schema } from "effect"
import * as Chart from "../src/Chart.js"
import { CodeContext } from "../src/CodeContext.js"
import {
  Execution,
  ExecutionEvent,
  ExecutionMetadata,
  ExecutionResult,
  Logs,
  OutputMessage,
  TerminalEvent
} from "../src/Execution.js"
import { FileInfo, FileListResponse } from "../src/File.js"
import * as Options from "../src/Options.js"
import { Resources } from "../src/Resources.js"
import { Result } from "../src/Result.js"
import { SandboxInfo } from "../src/SandboxInfo.js"
import { SandboxTemplate, TemplateConfig, TemplatePage } from "../src/Template.js"

/** Over the wire and back: the same text again, however the value is made. */
const roundTrips = <A, I>(schema: Schema.Schema<A, I>) => {
  const encode = Schema.encodeSync(schema)
  const decode = Schema.decodeUnknownSync(schema, { onExcessProperty: "error" })
  fc.assert(
    fc.property(Arbitrary.make(schema), (value) => {
      const text = JSON.stringify(encode(value))
      const back = decode(JSON.parse(text))
      expect(JSON.stringify(encode(back))).toBe(text)
      expect(Schema.is(schema)(back)).toBe(true)
    }),
    { numRuns: 50 }
  )
}

describe("every domain schema survives JSON", () => {
  it("Chart", () => roundTrips(Chart.Chart))
  it("SuperChart", () => roundTrips(Chart.SuperChart))
  it("Result", () => roundTrips(Result))
  it("Logs", () => roundTrips(Logs))
  it("FileInfo", () => roundTrips(FileInfo))
  it("FileListResponse", () => roundTrips(FileListResponse))
  it("CodeContext", () => roundTrips(CodeContext))
  it("TemplateConfig", () => roundTrips(TemplateConfig))
  it("SandboxTemplate", () => roundTrips(SandboxTemplate))
  it("TemplatePage", () => roundTrips(TemplatePage))
  it("SandboxInfo", () => roundTrips(SandboxInfo))
  it("Resources", () => roundTrips(Resources))
  it("OutputMessage", () => roundTrips(OutputMessage))
  it("Execution", () => roundTrips(Execution))
  it("ExecutionEvent", () => roundTrips(ExecutionEvent))
  it("TerminalEvent", () => roundTrips(TerminalEvent))
  it("ExecutionResult", () => roundTrips(ExecutionResult))
  it("CreateSandboxOptions", () => roundTrips(Options.CreateSandboxOptions))
  it("ListSandboxesOptions", () => roundTrips(Options.ListSandboxesOptions))
  it("RunCodeStreamOptions", () => roundTrips(Options.RunCodeStreamOptions))
  it("RunTerminalStreamOptions", () => roundTrips(Options.RunTerminalStreamOptions))
  it("CreateCodeContextOptions", () => roundTrips(Options.CreateCodeContextOptions))
  it("ExecutionMetadata", () => roundTrips(ExecutionMetadata))
})

describe("Result", () => {
  const result = new Result({
    isMainResult: true,
    text: "<Figure>",
    png: "iVBORw0=",
    json: { a: [1, null] },
    extra: { "application/geo+json": { type: "Point" }, text: "not the text", is_main_result: false }
  })

  it("formats lists what is there, other media types last", () => {
    expect(result.formats()).toEqual(["text", "png", "json", "application/geo+json", "text", "is_main_result"])
    expect(new Result({ isMainResult: false, extra: {} }).formats()).toEqual([])
  })

  it("raw is flat, and an extra media type never hides a field", () => {
    expect(result.raw).toEqual({
      is_main_result: true,
      text: "<Figure>",
      png: "iVBORw0=",
      json: { a: [1, null] },
      "application/geo+json": { type: "Point" }
    })
  })

  it("has an empty text, or a null, as a representation like any other", () => {
    const empty = new Result({ isMainResult: true, text: "", json: null, extra: {} })
    expect(empty.formats()).toEqual(["text", "json"])
    expect(empty.raw).toEqual({ is_main_result: true, text: "", json: null })
  })

  it("what JSON.stringify writes of it, its schema reads", () => {
    fc.assert(fc.property(Arbitrary.make(Result), (any) => {
      const back = Schema.decodeUnknownSync(Result)(JSON.parse(JSON.stringify(any)))
      expect(back).toBeInstanceOf(Result)
      expect(JSON.stringify(back)).toBe(JSON.stringify(any))
    }))
  })
})

describe("Execution", () => {
  const shown = (text: string | undefined, isMainResult: boolean) =>
    new Result({ isMainResult, extra: {}, ...(text === undefined ? {} : { text }) })
  const logs = { stdout: ["a\n"], stderr: [] }

  it("text is that of the main result, wherever it stands", () => {
    expect(new Execution({ results: [shown("1", false), shown("2", true), shown("3", false)], logs }).text).toBe("2")
    expect(new Execution({ results: [shown("", true)], logs }).text).toBe("")
    expect(new Execution({ results: [shown("1", false)], logs }).text).toBeUndefined()
    expect(new Execution({ results: [shown(undefined, true)], logs }).text).toBeUndefined()
  })

  it("what JSON.stringify writes of it, its schema reads", () => {
    fc.assert(fc.property(Arbitrary.make(Execution), (any) => {
      const back = Schema.decodeUnknownSync(Execution)(JSON.parse(JSON.stringify(any)))
      expect(back).toBeInstanceOf(Execution)
      expect(back.text).toBe(any.text)
      expect(JSON.stringify(back)).toBe(JSON.stringify(any))
    }))
  })
})

describe("Chart", () => {
  const axes = {
    xTicks: [0, 1],
    xTickLabels: ["0", "1"],
    xScale: "linear",
    yTicks: [0],
    yTickLabels: ["0"],
    yScale: "linear"
  } as const

  it("is told by its type", () => {
    const chart = Schema.decodeUnknownSync(Chart.Chart)({
      type: "line",
      title: "t",
      ...axes,
      elements: [{ label: "a", points: [[0, 1], ["2024-01-01", null]] }]
    })
    expect(chart.type === "line" && chart.elements[0]?.points[1]).toEqual(["2024-01-01", null])
  })

  it.each([
    { type: "donut", elements: [] },
    { type: "pie", elements: [{ label: "a", angle: "1", radius: 1 }] },
    { type: "line", elements: [] },
    { type: "superchart", elements: [{ type: "superchart", elements: [] }] },
    // What JSON makes of 1e999.
    { type: "pie", elements: [{ label: "a", angle: Infinity, radius: 1 }] }
  ])("refuses %j", (input) => {
    expect(Schema.decodeUnknownEither(Chart.Chart)(input)._tag).toBe("Left")
  })
})

describe("options", () => {
  const accepts = (schema: Schema.Schema.AnyNoContext, value: unknown) =>
    Schema.decodeUnknownEither(schema, { onExcessProperty: "error" })(value)._tag === "Right"

  it("names of environment variables are those of POSIX", () => {
    fc.assert(fc.property(fc.string(), (name) => {
      fc.pre(name !== "__proto__")
      expect(accepts(Options.EnvVars, { [name]: "" })).toBe(
        /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) && !name.endsWith("\n")
      )
    }))
  })

  it("time limits are whole, positive, and no longer than a timer takes", () => {
    for (const good of [1, 60_000, 2_147_483_647]) {
      expect(accepts(Options.Millis, good)).toBe(true)
    }
    for (const bad of [0, -1, 1.5, NaN, Infinity, 2_147_483_648, "1", null]) {
      expect(accepts(Options.Millis, bad)).toBe(false)
    }
  })

  it("hosts have a port", () => {
    for (const good of ["a.org:443", "10.0.0.1:1", "[2001:db8::1]:65535", "localhost:8080"]) {
      expect(accepts(Options.Network, { allow: [good] })).toBe(true)
    }
    for (const bad of ["a.org", "a.org:", "a.org:0", "a.org:65536", "a b:1", "2001:db8::1:80", "http://a:1", ":80"]) {
      expect(accepts(Options.Network, { allow: [bad] })).toBe(false)
    }
  })
})

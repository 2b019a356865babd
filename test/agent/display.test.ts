import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Buffer } from "node:buffer"
import { execFile } from "node:child_process"
import * as Path from "node:path"
import type { Result } from "../../src/Result.js"
import type { Agent } from "./harness.js"
import { startContext } from "./harness.js"

const results = (agent: Agent, code: string) =>
  Effect.map(agent.run("c", code), (outcome) => {
    expect(outcome.errors).toEqual([])
    return outcome.results
  })

const isPng = (result: Result | undefined) =>
  Buffer.from(result?.png ?? "", "base64").subarray(1, 4).toString("latin1") === "PNG"

describe("values", () => {
  it.scoped("are shown in every representation that they offer", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const shown = yield* results(
        agent,
        [
          "class A:",
          "  def __repr__(self): return 'A()'",
          "  def _repr_html_(self): return '<b>é</b>'",
          "  def _repr_markdown_(self): return '# m'",
          "  def _repr_svg_(self): return '<svg/>'",
          "  def _repr_png_(self): return b'\\x89PNG'",
          "  def _repr_jpeg_(self): return b'\\xff\\xd8'",
          "  def _repr_pdf_(self): return b'%PDF'",
          "  def _repr_latex_(self): return '$x$'",
          "  def _repr_json_(self): return {'a': [1, None, float('nan')]}, {'meta': 1}",
          "  def _repr_javascript_(self): return 'alert()'",
          "display(A())",
          "class B:",
          "  def _repr_mimebundle_(self, include=None, exclude=None):",
          "    return {'text/plain': 'b', 'text/html': '<i>', 'image/gif': b'GIF', 'application/x+json': {'k': 1}}, {}",
          "  def _repr_html_(self): return 'not this one'",
          "B()"
        ].join("\n")
      )
      expect(shown[0]).toMatchObject({
        isMainResult: false,
        text: "A()",
        html: "<b>é</b>",
        markdown: "# m",
        svg: "<svg/>",
        png: Buffer.from("\x89PNG", "latin1").toString("base64"),
        jpeg: "/9g=",
        pdf: "JVBERg==",
        latex: "$x$",
        json: { a: [1, null, null] },
        javascript: "alert()"
      })
      expect(shown[1]).toMatchObject({
        isMainResult: true,
        text: "b",
        html: "<i>",
        extra: { "image/gif": "R0lG", "application/x+json": { k: 1 } }
      })
    }))

  it.scoped("that misbehave are shown as far as they can be", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const shown = yield* results(
        agent,
        [
          "class Bad:",
          "  def __repr__(self): raise ValueError('no')",
          "  def _repr_html_(self): raise RuntimeError",
          "  def _repr_png_(self): return 5",
          "  def _repr_json_(self): return self",
          "class Any:",
          "  def __getattr__(self, name): return lambda *a, **k: 'anything'",
          "  def __repr__(self): return 'any'",
          "loop = []; loop.append(loop)",
          "class J:",
          "  def _repr_json_(self): return loop",
          "  def __repr__(self): return '\\udc80'",
          "class S(str): pass",
          "display(Bad, Bad(), Any(), J(), S('s'), 'x' * 9_000_000)",
          "class H:",
          "  def _repr_html_(self): return 'y' * 9_000_000",
          "  def __repr__(self): return 'h'",
          "H()"
        ].join("\n")
      )
      expect(shown[0]?.formats()).toEqual(["text"])
      expect(shown[1]).toMatchObject({ text: "<Bad: repr() raised ValueError>" })
      expect(shown[1]?.html).toBe(undefined)
      expect([shown[2]?.text, shown[2]?.formats()]).toEqual(["any", ["text"]])
      expect(shown[3]?.text).toMatch(/^\uFFFD+$/)
      expect(shown[4]?.text).toBe("'s'")
      expect(shown[5]?.text?.length).toBeLessThan(8_500_000)
      expect(shown[5]?.text).toContain("(611394 more characters)")
      expect(shown[6]).toMatchObject({
        text: "h",
        extra: { "application/vnd.sandbox-sdk.cut+json": { html: 9_000_000 } }
      })
      expect(shown[6]?.html).toBe(undefined)
    }))

  it.scoped("of pandas come with their columns as data", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const [frame] = yield* results(
        agent,
        [
          "import pandas as pd, numpy as np, decimal",
          "df = pd.DataFrame({'i': [1, 2, 3], 'f': [1.5, np.nan, np.inf], 's': ['a', None, 'c'],",
          "  't': pd.to_datetime(['2020-01-01', None, '2021-02-03T04:05:06']), 'o': [decimal.Decimal('1.5'), b'x', (1, 2)],",
          "  'b': [True, False, True], 'n': pd.array([1, None, 3], dtype='Int64'), 'c': pd.Categorical(['u', 'v', 'u'])})",
          "df[5] = [np.int8(1)] * 3",
          "pd.concat([df, df[['i']]], axis=1)"
        ].join("\n")
      )
      expect(frame?.html).toContain("<table")
      expect(frame?.text).toContain("2020-01-01")
      expect(frame?.data).toEqual({
        i: [1, 2, 3],
        f: [1.5, null, null],
        s: ["a", null, "c"],
        t: ["2020-01-01T00:00:00", null, "2021-02-03T04:05:06"],
        o: ["1.5", "eA==", [1, 2]],
        b: [true, false, true],
        n: [1, null, 3],
        c: ["u", "v", "u"],
        5: [1, 1, 1],
        "i.1": [1, 2, 3]
      })
    }))
})

describe("figures", () => {
  it.scoped("are shown once, at the end of the run or by show(), and closed", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const plain = yield* results(agent, "import matplotlib.pyplot as plt\nplt.plot([1, 2])")
      expect(plain.map((result) => [result.isMainResult, isPng(result), result.chart?.type])).toEqual([
        [true, false, undefined],
        [false, true, "line"]
      ])
      expect(yield* results(agent, "None")).toEqual([])
      const main = yield* results(agent, "fig, ax = plt.subplots(); ax.plot([3, 4]); fig")
      expect(main.map((result) => [result.isMainResult, isPng(result), result.chart?.type])).toEqual([
        [true, true, "line"]
      ])
      const two = yield* agent.run(
        "c",
        "plt.plot([1]); print('a', flush=True); plt.show(); print('b', flush=True); plt.figure(); plt.pie([1]); None"
      )
      expect(two.stderr.toString()).toBe("")
      expect(two.order).toEqual([
        "1:a\n",
        "result:<Figure size 640x480 with 1 Axes>",
        "1:b\n",
        "result:<Figure size 640x480 with 1 Axes>"
      ])
      expect(two.results.map((result) => result.chart?.type)).toEqual(["line", "pie"])
      expect((yield* agent.run("c", "plt.plot([1]); 1/0")).results).toEqual([])
      expect(yield* results(agent, "None")).toEqual([])
    }))

  it.scoped("are described as charts", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      yield* agent.run("c", "import matplotlib.pyplot as plt, numpy as np, datetime, pandas as pd")
      const chart = (code: string) => Effect.map(results(agent, `${code}\nNone`), (shown) => shown[0]?.chart)

      expect(
        yield* chart(
          "plt.plot([1, 2, float('nan'), 4], [1, 10, 5, 100], label='s'); plt.plot([1, 2], [3, 4]); plt.axhline(2)\n" +
            "plt.yscale('log'); plt.title('T'); plt.xlabel('Time (s)'); plt.ylabel('Size [kB]')\nplt.xticks([1, 2, 4])"
        )
      ).toMatchObject({
        type: "line",
        title: "T",
        xLabel: "Time (s)",
        xUnit: "s",
        yLabel: "Size [kB]",
        yUnit: "kB",
        xScale: "linear",
        xTicks: [1, 2, 4],
        xTickLabels: ["1", "2", "4"],
        yScale: "log",
        elements: [
          // Where there is no number the line is broken.
          { label: "s", points: [[1, 1], [2, 10], [null, 5], [4, 100]] },
          { label: "", points: [[1, 3], [2, 4]] }
        ]
      })
      expect(
        yield* chart("plt.scatter([1, 2], [3, 4], label='d'); plt.colorbar(plt.cm.ScalarMappable(), ax=plt.gca())")
      )
        .toMatchObject({ type: "scatter", elements: [{ label: "d", points: [[1, 3], [2, 4]] }] })
      expect(yield* chart("plt.plot([datetime.datetime(2020, 1, 1), datetime.datetime(2020, 1, 2, 3)], ['a', 'b'])"))
        .toMatchObject({
          type: "line",
          xScale: "datetime",
          yScale: "categorical",
          elements: [{ points: [["2020-01-01T00:00:00", "a"], ["2020-01-02T03:00:00", "b"]] }]
        })
      expect(yield* chart("pd.Series([1, 2], index=pd.date_range('2020-01-01', periods=2)).plot()")).toMatchObject({
        xScale: "datetime",
        elements: [{ points: [["2020-01-01T00:00:00", 1], ["2020-01-02T00:00:00", 2]] }]
      })
      expect(
        yield* chart(
          "x = np.arange(2); plt.bar(x - .2, [1, 2], .4, label='A'); plt.bar(x + .2, [3, 4], .4, label='B'); plt.xticks(x, ['p', 'q'])"
        )
      ).toMatchObject({
        type: "bar",
        elements: [
          { label: "p", group: "A", value: 1 },
          { label: "q", group: "A", value: 2 },
          { label: "p", group: "B", value: 3 },
          { label: "q", group: "B", value: 4 }
        ]
      })
      expect(yield* chart("plt.barh(['a', 'b'], [1, 2.5])")).toMatchObject({
        type: "bar",
        elements: [{ label: "a", group: "", value: 1 }, { label: "b", group: "", value: 2.5 }]
      })
      expect(yield* chart("plt.pie([1, 3], labels=['x', 'y'])")).toMatchObject({
        type: "pie",
        elements: [{ label: "x", angle: 90, radius: 1 }, { label: "y", angle: 270, radius: 1 }]
      })
      expect(yield* chart("plt.boxplot([[1, 2, 3, 10], [2, 3, 4]], labels=['m', 'n'], patch_artist=True)"))
        .toMatchObject({
          type: "box_and_whisker",
          elements: [
            { label: "m", min: 1, firstQuartile: 1.75, median: 2.5, thirdQuartile: 4.75, max: 4.75, outliers: [10] },
            { label: "n", min: 2, firstQuartile: 2.5, median: 3, thirdQuartile: 3.5, max: 4, outliers: [] }
          ]
        })
      expect(
        yield* chart("fig, axes = plt.subplots(1, 2); axes[0].plot([1]); axes[1].imshow([[1, 2]]); fig.suptitle('S')")
      )
        .toMatchObject({
          type: "superchart",
          title: "S",
          elements: [{ type: "line" }, { type: "unknown", elements: [] }]
        })
      expect(yield* chart("plt.hist([1, 2, 2, 3], bins=2)")).toMatchObject({
        type: "bar",
        elements: [{ label: "1.5", value: 1 }, { label: "2.5", value: 3 }]
      })
    }), 60_000)

  it.scoped("are described as charts, whatever was drawn beside", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      yield* agent.run("c", "import matplotlib.pyplot as plt, numpy as np, pandas as pd")
      const chart = (code: string) => Effect.map(results(agent, `${code}\nNone`), (shown) => shown[0]?.chart)
      const line = (label: string, points: ReadonlyArray<ReadonlyArray<number | string>>) => ({ label, points })

      // Bars of a stack begin where the ones below end; lying ones say so.
      expect(
        yield* chart("plt.barh(['a'], [1], label='x'); plt.barh(['a'], [3], left=[1], label='y'); plt.xscale('log')")
      )
        .toEqual({
          type: "bar",
          orientation: "horizontal",
          xScale: "log",
          yScale: "categorical",
          elements: [{ label: "a", group: "x", value: 1 }, { label: "a", group: "y", value: 3, base: 1 }]
        })
      // Error bars and the base of stems are no series of their own, and their names are kept.
      expect(yield* chart("plt.errorbar([1, 2], [3, 4], yerr=.1, capsize=2, label='e')")).toMatchObject({
        type: "line",
        elements: [line("e", [[1, 3], [2, 4]])]
      })
      expect(yield* chart("plt.stem([1, 2], [3, 4], label='s')")).toMatchObject({
        elements: [line("s", [[1, 3], [2, 4]])]
      })
      expect(yield* chart("plt.bar(['a', 'b'], [1, 2], yerr=[.1, .2])")).toMatchObject({ type: "bar" })
      // Names that only the legend was given.
      expect(yield* chart("plt.plot([1, 2]); plt.plot([3, 4]); plt.legend(['one', 'two'])")).toMatchObject({
        elements: [line("one", [[0, 1], [1, 2]]), line("two", [[0, 3], [1, 4]])]
      })
      expect(yield* chart("plt.pie([1, 3], wedgeprops=dict(width=.3)); plt.legend(['x', 'y'])")).toMatchObject({
        type: "pie",
        elements: [{ label: "x", angle: 90 }, { label: "y", angle: 270 }]
      })
      expect(yield* chart("plt.hist([[1, 2], [2, 2]], bins=1, label=['p', 'q'])")).toMatchObject({
        elements: [{ group: "p", value: 2 }, { group: "q", value: 2 }]
      })
      // Bars and a line on the same axes, and on two axes over each other.
      expect(yield* chart("plt.bar(['a', 'b'], [1, 2]); plt.plot(['a', 'b'], [2, 1], label='l')")).toMatchObject({
        type: "superchart",
        elements: [{ type: "bar" }, { type: "line", elements: [line("l", [["a", 2], ["b", 1]])] }]
      })
      expect(yield* chart("f, a = plt.subplots(); a.plot([1, 2]); a.twinx().scatter([0], [9])")).toMatchObject({
        type: "superchart",
        elements: [{ type: "line" }, { type: "scatter", elements: [line("", [[0, 9]])] }]
      })
      // Ticks as a reader would write them.
      expect(yield* chart("plt.loglog([1, 10], [1, 1000]); plt.yticks([1, 1000])")).toMatchObject({
        xScale: "log",
        xTicks: [1, 10],
        xTickLabels: ["10^0", "10^1"],
        yTicks: [1, 1000]
      })
      // What is none of the types is called unknown, and nothing is made up.
      for (
        const code of ["plt.contourf([[1, 2], [3, 4]])", "plt.axes(projection='3d').plot([1], [2], [3])", "plt.axes()"]
      ) {
        expect([code, yield* chart(code)]).toEqual([code, { type: "unknown", elements: [] }])
      }
      expect(yield* chart("plt.figure()")).toBeUndefined()
    }), 60_000)
})

describe("what is too long", () => {
  const CUT = "application/vnd.sandbox-sdk.cut+json"

  it.scoped("is left out, and told with its length", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const [long] = yield* results(
        agent,
        [
          "class Long:",
          "  def __repr__(self): return 'r' * (9 * 2 ** 20)",
          "  def _repr_html_(self): return 'h' * (8 * 2 ** 20 + 1)",
          "  def _repr_markdown_(self): return 'm'",
          "Long()"
        ].join("\n")
      )
      expect(long?.text).toMatch(/… \(1048576 more characters\)$/)
      expect([long?.html, long?.markdown]).toEqual([undefined, "m"])
      expect(long?.extra[CUT]).toEqual({ text: 9 * 2 ** 20, html: 8 * 2 ** 20 + 1 })
      // Each within its bounds, and more than the engine takes together: a character of these is six in JSON.
      const [wide] = yield* results(
        agent,
        [
          "class Wide:",
          "  def __repr__(self): return 'wide'",
          "  def _repr_html_(self): return 'é' * (7 * 2 ** 20)",
          "  def _repr_markdown_(self): return 'é' * (5 * 2 ** 18)",
          "  def _repr_latex_(self): return 'x' * 10",
          "Wide()"
        ].join("\n")
      )
      expect([wide?.html, wide?.markdown?.length, wide?.latex]).toEqual([undefined, 5 * 2 ** 18, "x".repeat(10)])
      expect(wide?.extra[CUT]).toEqual({ html: 7 * 2 ** 20 })
      // The interpreter and the sandbox are as they were.
      const [list] = yield* results(agent, "['x' * 2 ** 20]")
      expect(list?.json).toBeUndefined()
      expect(list?.extra[CUT]).toEqual({ json: 2 ** 20 + 4 })
      const [frame] = yield* results(agent, "import pandas as pd; pd.DataFrame({'a': range(500001)})")
      expect([frame?.data, frame?.extra[CUT]]).toEqual([undefined, { data: 500_001 }])
      const [figure] = yield* results(
        agent,
        "import matplotlib.pyplot as plt; plt.plot(range(200001)); None"
      )
      expect([isPng(figure), figure?.chart, figure?.extra[CUT]]).toEqual([true, undefined, { chart: 200_001 }])
    }), 60_000)
})

describe("values of libraries", () => {
  it.scoped("of numpy and PIL are shown as what they are", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const [scalar] = yield* results(agent, "import numpy as np; np.float64(1.5)")
      expect(scalar?.json).toBe(1.5)
      expect((yield* results(agent, "np.int64(2) ** 40"))[0]?.json).toBe(2 ** 40)
      expect((yield* results(agent, "np.bool_(True)"))[0]?.json).toBe(true)
      expect((yield* results(agent, "np.float64('nan')"))[0]?.json).toBeUndefined()
      const [image] = yield* results(agent, "from PIL import Image; Image.new('RGB', (2, 2), 'red')")
      expect(isPng(image)).toBe(true)
      expect(image?.text).toContain("PIL.Image")
    }), 60_000)

  // polars is no package of Debian. Where there is a package index, this is about the real one.
  it.scoped("of the published polars come with their columns as data", (context) =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const folder = Path.join(agent.workspace, "site")
      const pip = ["-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check", "--retries", "0"]
      const isThere = yield* Effect.async<boolean>((resume) => {
        execFile(
          "/usr/bin/python3",
          [...pip, "--timeout", "5", "--only-binary", ":all:", "--target", folder, "polars==1.44.2"],
          { timeout: 90_000 },
          (error) => resume(Effect.succeed(error === null))
        )
      })
      if (!isThere) return context.skip("no package index gives polars")
      const [frame] = yield* results(
        agent,
        [
          "import sys; sys.path.insert(0, '/workspace/site')",
          "import polars, datetime",
          "polars.DataFrame({'n': [1, None], 'f': [1.5, float('nan')], 's': ['grün', None], 'b': [True, None],",
          "  'd': [datetime.date(2024, 1, 2), None], 't': [datetime.datetime(2024, 1, 2, 3, 4, 5), None],",
          "  'l': [[1, 2], None], 'o': [{'x': 1}, None]})"
        ].join("\n")
      )
      expect(frame?.html).toContain("<table")
      expect(frame?.data).toEqual({
        n: [1, null],
        f: [1.5, null],
        s: ["grün", null],
        b: [true, null],
        d: ["2024-01-02", null],
        t: ["2024-01-02T03:04:05", null],
        l: [[1, 2], null],
        o: [{ x: 1 }, null]
      })
    }), 120_000)

  // Elsewhere a stand-in, with the parts of its API that are used (`shape`, `to_dict`).
  it.scoped("of polars come with their columns as data", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const [frame] = yield* results(
        agent,
        [
          "import sys, types, datetime",
          "polars = types.ModuleType('polars')",
          "class DataFrame:",
          "  def __init__(self, columns): self.columns_, self.shape = columns, (len(list(columns.values())[0]), len(columns))",
          "  def to_dict(self, as_series=True): assert not as_series; return self.columns_",
          "  def _repr_html_(self): return '<table>'",
          "polars.DataFrame = DataFrame; sys.modules['polars'] = polars",
          "DataFrame({'n': [1, None], 'd': [datetime.date(2024, 1, 2), None]})"
        ].join("\n")
      )
      expect(frame).toMatchObject({ html: "<table>", data: { n: [1, null], d: ["2024-01-02", null] } })
    }))
})

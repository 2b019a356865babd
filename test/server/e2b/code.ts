/**
 * The code interpreter.
 */
import { describe, expect, it } from "vitest"
import { eventually } from "../support.js"
import type { Given } from "./operations.js"

export const code = (given: () => Given): void => {
  describe("code", () => {
    it("runCode: output and the value of the last line", async () => {
      const { sandbox } = given()
      const execution = await sandbox.runCode("print('hello')\nx = 41\nx + 1")
      expect(execution.text).toBe("42")
      expect(execution.logs.stdout.join("")).toBe("hello\n")
      expect(execution.error).toBeUndefined()
    })

    it("runCode: variables stay, and executions are counted", async () => {
      const { sandbox } = given()
      const first = await sandbox.runCode("kept = 'kept'")
      const second = await sandbox.runCode("kept")
      expect(second.text).toBe("kept")
      expect(second.executionCount).toBe((first.executionCount ?? 0) + 1)
    })

    it("runCode: starts at home", async () => {
      expect((await given().sandbox.runCode("import os; os.getcwd()")).text).toBe("/home/user")
    })

    it("runCode: finds files that were written outside of home", async () => {
      const { sandbox } = given()
      await sandbox.files.write("/tmp/for-the-code", "found")
      expect((await sandbox.runCode("open('/tmp/for-the-code').read()")).text).toBe("found")
    })

    it("runCode: what the code raises", async () => {
      const { error } = await given().sandbox.runCode("1 / 0")
      expect(error).toMatchObject({ name: "ZeroDivisionError", value: "division by zero" })
      expect(error?.traceback).toContain("ZeroDivisionError")
    })

    it("runCode: a syntax error", async () => {
      expect((await given().sandbox.runCode("def")).error?.name).toBe("SyntaxError")
    })

    it("runCode: a string has no quotes", async () => {
      expect((await given().sandbox.runCode("'te' + 'xt'")).text).toBe("text")
    })

    it("runCode: JSON and data frames", async () => {
      const { sandbox } = given()
      const json = await sandbox.runCode("class Shown:\n  def _repr_json_(self): return {'a': [1]}\nShown()")
      expect(json.results[0]?.json).toEqual({ a: [1] })
      const frame = await sandbox.runCode("import pandas as pd\npd.DataFrame({'a': [1, 2]})")
      expect(frame.results[0]?.html).toMatch(/<table/)
      expect(frame.results[0]?.data).toEqual({ a: [1, 2] })
    })

    it("runCode: much output", async () => {
      const { logs } = await given().sandbox.runCode("for n in range(100_000): print(n)")
      expect(logs.stdout.join("") === Array.from({ length: 100_000 }, (_, n) => `${n}\n`).join("")).toBe(true)
    })

    it("runCode: callbacks", async () => {
      const { sandbox } = given()
      const seen: Array<string> = []
      await sandbox.runCode("import sys\nprint('o')\nprint('e', file=sys.stderr)\ndisplay(7)\nraise KeyError('k')", {
        onStdout: ({ line }) => {
          seen.push(`out ${line.trim()}`)
        },
        onStderr: ({ line }) => {
          seen.push(`err ${line.trim()}`)
        },
        onResult: ({ text }) => {
          seen.push(`result ${text}`)
        },
        onError: ({ name }) => {
          seen.push(`error ${name}`)
        }
      })
      expect([...seen].sort()).toEqual(["err e", "error KeyError", "out o", "result 7"])
    })

    it("runCode: rich results", async () => {
      const { sandbox } = given()
      const { results } = await sandbox.runCode(
        "class Rich:\n  def _repr_html_(self): return '<b>x</b>'\n  def _repr_markdown_(self): return '**x**'\nRich()"
      )
      expect(results[0]).toMatchObject({ isMainResult: true, html: "<b>x</b>", markdown: "**x**" })
      expect(results[0]?.formats()).toEqual(expect.arrayContaining(["html", "markdown"]))
    })

    it("runCode: a picture and its chart", async () => {
      const { sandbox } = given()
      const { results } = await sandbox.runCode(
        "import matplotlib.pyplot as plt\nplt.bar(['a', 'b'], [1, 2])\nplt.title('T')\nplt.show()"
      )
      expect(results[0]?.png).toMatch(/^iVBOR/)
      expect(results[0]?.chart).toMatchObject({ type: "bar", title: "T" })
    })

    it("runCode: variables of one run", async () => {
      const { sandbox } = given()
      expect((await sandbox.runCode("import os; os.environ.get('ONCE')", { envs: { ONCE: "once" } })).text).toBe("once")
      expect((await sandbox.runCode("import os; os.environ['COLOUR']")).text).toBe("blue")
    })

    it("runCode: other languages, each with a context of its own", async () => {
      const { sandbox } = given()
      const javascript = await sandbox.runCode("const y = 20; console.log('js'); y + 1", { language: "javascript" })
      expect([javascript.text, javascript.logs.stdout.join("")]).toEqual(["21", "js\n"])
      expect((await sandbox.runCode("y", { language: "javascript" })).text).toBe("20")
      const typescript = await sandbox.runCode("const z: number = 3; z * 2", { language: "typescript" })
      expect(typescript.text).toBe("6")
      const bash = await sandbox.runCode("echo from bash; pwd", { language: "bash" })
      expect(bash.logs.stdout.join("")).toBe("from bash\n/home/user\n")
    })

    it("runCode: a language that is not here is told so", async () => {
      await expect(given().sandbox.runCode("1", { language: "cobol" })).rejects.toThrow(/501/)
    })

    it("runCode: a very long line and characters beyond ASCII arrive whole", async () => {
      const { sandbox } = given()
      const { logs } = await sandbox.runCode("print('żółć 🎉' * 50000)")
      expect(logs.stdout.join("")).toBe(`${"żółć 🎉".repeat(50_000)}\n`)
    })

    it("runCode: bytes that are no UTF-8 are shown, and what follows is whole", async () => {
      const { sandbox } = given()
      const { logs } = await sandbox.runCode(
        "import sys; sys.stdout.buffer.write(b'a\\xff\\xfeb\\n'); sys.stdout.flush(); print('next')"
      )
      expect(logs.stdout.join("")).toBe("a\ufffd\ufffdb\nnext\n")
    })

    it("runCode: a time limit stops the code, and the context goes on", async () => {
      const { client, sandbox } = given()
      await sandbox.runCode("survivor = 5")
      await expect(sandbox.runCode("import time\nwhile True: time.sleep(0.1)", { timeoutMs: 1_000 })).rejects
        .toBeInstanceOf(
          client.TimeoutError
        )
      expect((await sandbox.runCode("survivor")).text).toBe("5")
    })

    it("runCode: runs in one context wait for each other", async () => {
      const { sandbox } = given()
      await sandbox.runCode("order = []")
      await Promise.all(
        [1, 2, 3].map((at) =>
          sandbox.runCode(`import time\norder.append('begin ${at}')\ntime.sleep(0.2)\norder.append('end ${at}')`)
        )
      )
      const { text } = await sandbox.runCode("all(order[i][-1] == order[i + 1][-1] for i in (0, 2, 4))")
      expect(text).toBe("True")
    })

    it("runCode: an interpreter that ends is told as an error, and the next run has a new one", async () => {
      const { sandbox } = given()
      const { error } = await sandbox.runCode("import os; os._exit(7)")
      expect(error?.name).toBe("UnexpectedEndOfExecution")
      expect((await sandbox.runCode("1 + 1")).text).toBe("2")
    })

    it("contexts: made, used, listed, restarted, removed", async () => {
      const { client, sandbox } = given()
      const context = await sandbox.createCodeContext({ cwd: "/tmp", language: "python" })
      expect(context).toMatchObject({ language: "python", cwd: "/tmp" })
      expect((await sandbox.runCode("import os; own = 1; os.getcwd()", { context })).text).toBe("/tmp")
      expect((await sandbox.runCode("own")).error?.name).toBe("NameError")
      expect((await sandbox.listCodeContexts()).map(({ id }) => id)).toContain(context.id)
      await sandbox.restartCodeContext(context)
      expect((await sandbox.runCode("own", { context })).error?.name).toBe("NameError")
      await sandbox.removeCodeContext(context.id)
      expect((await sandbox.listCodeContexts()).map(({ id }) => id)).not.toContain(context.id)
      await expect(sandbox.runCode("1", { context })).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("contexts: one that is not there", async () => {
      const { client, sandbox } = given()
      await expect(sandbox.removeCodeContext("nowhere")).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("kill while code runs: the run is told as broken, and the sandbox is gone", async () => {
      const { client } = given()
      const other = await client.Sandbox.create()
      const run = other.runCode("print('up', flush=True)\nimport time; time.sleep(100)", {
        onStdout: () => {
          void other.kill()
        }
      })
      expect((await run).error?.name).toBe("UnexpectedEndOfExecution")
      await eventually(async () => !(await other.isRunning()))
    })

    it("a sandbox that is gone: code fails as their own error", async () => {
      const { client } = given()
      const other = await client.Sandbox.create()
      await other.kill()
      const error = await other.runCode("1").then(() => undefined, (error: unknown) => error)
      expect(error instanceof client.TimeoutError || error instanceof client.NotFoundError).toBe(true)
    })
  })
}

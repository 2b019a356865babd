import { expect } from "@effect/vitest"
import { Chunk, Effect, Fiber, Ref, Stream } from "effect"
import type { ExecutionEvent } from "../../src/Execution.js"
import { Sandbox } from "../../src/Sandbox.js"
import type { Part } from "./support.js"
import { eventually, python as make } from "./support.js"

const bytesOf = (events: Iterable<ExecutionEvent>, tag: "Stdout" | "Stderr"): Buffer =>
  Buffer.concat([...events].flatMap((event) =>
    event._tag !== tag
      ? []
      : [event.base64 === undefined ? Buffer.from(event.text) : Buffer.from(event.base64, "base64")]
  ))

export const output: Part = (it) => {
  it.scoped("streams events in order: numbered from 0 without gaps, ended by exactly one end", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const events = Chunk.toReadonlyArray(
        yield* Stream.runCollect(sandbox.runCodeStream("import sys\nprint('o')\nprint('e', file=sys.stderr)\n1/0"))
      )
      expect(events.map((event) => event.seq)).toEqual(events.map((_, index) => index))
      const tags = events.map((event) => event._tag)
      expect(tags[0]).toBe("Started")
      expect(tags.at(-1)).toBe("Ended")
      expect(tags.filter((tag) => tag === "Ended")).toHaveLength(1)
      expect(tags).toEqual(expect.arrayContaining(["Stdout", "Stderr", "Error", "ExecutionCount"]))
      expect(tags.indexOf("Stdout")).toBeLessThan(tags.indexOf("Error"))
    }))

  it.scoped("shows each line while the code still runs", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const lines = yield* Ref.make<ReadonlyArray<string>>([])
      const fiber = yield* Effect.fork(
        sandbox.runCode(
          "import os, time\nprint('first')\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('second')",
          {
            onStdout: ({ line }) => Ref.update(lines, (all) => [...all, line])
          }
        )
      )
      yield* eventually(Effect.map(Ref.get(lines), (all) => all.length === 1))
      expect(yield* lines).toEqual(["first\n"])
      yield* sandbox.writeFile("go", "")
      yield* Fiber.join(fiber)
      expect(yield* lines).toEqual(["first\n", "second\n"])
    }))

  it.scoped("calls back for output, results and errors, one at a time and in order", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const seen: Array<string> = []
      yield* Effect.exit(
        sandbox.runCode("import sys\nprint('a')\ndisplay(1)\nprint('no newline', end='')\nraise ValueError('x')", {
          onStdout: ({ error, line }) => {
            seen.push(`out ${JSON.stringify(line)} ${error}`)
          },
          onResult: (result) => Effect.sync(() => seen.push(`result ${result.text}`)),
          onError: ({ name, value }) => {
            seen.push(`error ${name} ${value}`)
          }
        })
      )
      expect(seen).toEqual([
        "out \"a\\n\" false",
        "result 1",
        "out \"no newline\" false",
        "error ValueError x"
      ])
    }))

  it.scoped("gives timestamps in microseconds since the epoch", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const before = Date.now() * 1000 - 2000
      let timestamp = 0
      yield* sandbox.runCode("print(1)", {
        onStdout: (message) => {
          timestamp = message.timestamp
        }
      })
      expect(timestamp).toBeGreaterThan(before)
      expect(timestamp).toBeLessThan(Date.now() * 1000 + 2000)
    }))

  it.scoped("leaves logs empty and still calls back with captureOutput: false", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const lines: Array<string> = []
      const { execution } = yield* sandbox.runCode("print('x')\n1", {
        captureOutput: false,
        onStdout: ({ line }) => {
          lines.push(line)
        }
      })
      expect(lines).toEqual(["x\n"])
      expect(execution.logs).toEqual({ stdout: [], stderr: [] })
      expect(execution.text).toBe("1")
    }))

  it.scoped("tells what maxOutputSize has cut, and never cuts a character in two", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const { execution, metadata } = yield* sandbox.runCode("print('é' * 1000, end='')", { maxOutputSize: 101 })
      expect(execution.logs.stdout.join("")).toBe("é".repeat(50))
      expect(metadata.dropped).toEqual({ stdout: 1900, stderr: 0 })
      const whole = yield* sandbox.runCode("print('é' * 1000, end='')")
      expect(whole.metadata.dropped).toBeUndefined()
    }))

  it.scoped("delivers every byte, also those that are no UTF-8, and characters that arrive in pieces", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const code = `
import os, sys, time
for byte in "aé€😀\\n".encode():
    os.write(1, bytes([byte])); time.sleep(0.002)
os.write(1, bytes(range(256)))
os.write(2, bytes(range(255, -1, -1)))`
      const events = yield* Stream.runCollect(sandbox.runCodeStream(code))
      const expected = Buffer.concat([Buffer.from("aé€😀\n"), Buffer.from(Array.from({ length: 256 }, (_, n) => n))])
      expect(bytesOf(events, "Stdout").equals(expected)).toBe(true)
      expect(bytesOf(events, "Stderr").equals(Buffer.from(Array.from({ length: 256 }, (_, n) => 255 - n)))).toBe(true)
      const text = [...events].flatMap((event) => event._tag === "Stdout" ? [event.text] : []).join("")
      expect(text.startsWith("aé€😀\n")).toBe(true)
    }))

  it.scoped("never credits to a run what an earlier one left behind: a thread, a child process", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      yield* sandbox.runCode(`
import subprocess, threading, time
def later():
    for n in range(200):
        print("late thread"); time.sleep(0.005)
threading.Thread(target=later, daemon=True).start()
child = subprocess.Popen(["sh", "-c", "for i in $(seq 200); do echo late child; sleep 0.005; done"])
print("first run")`)
      const second = yield* sandbox.runCode(
        "import time\nfor n in range(20):\n    print('second run'); time.sleep(0.01)"
      )
      expect(second.execution.logs.stdout.join("")).toBe("second run\n".repeat(20))
    }))

  it.scoped("runs what is in one context in order, and contexts side by side", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const other = yield* sandbox.createCodeContext()
      yield* sandbox.runCode("seen = []")
      // What is sent at the same time may arrive in any order: each is sent when the one before is there, while that runs or
      // waits.
      const runs = yield* Effect.forEach(Array.from({ length: 10 }, (_, n) => n), (n) =>
        Effect.gen(function*() {
          const run = yield* Effect.fork(sandbox.runCode(`import time; time.sleep(0.05); seen.append(${n})`))
          yield* eventually(Effect.map(sandbox.listExecutions(), (all) => all.length === n + 2))
          return run
        }))
      yield* Fiber.joinAll(runs)
      expect((yield* sandbox.runCode("seen")).execution.text).toBe("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]")
      // Each waits for a file that only the other makes: one after the other they would never end.
      const meet = (mine: string, theirs: string) =>
        `import os, time\nopen('${mine}', 'w').close()\nwhile not os.path.exists('${theirs}'): time.sleep(0.01)`
      yield* Effect.all([
        sandbox.runCode(meet("a", "b")),
        sandbox.runCode(meet("b", "a"), { contextId: other.id })
      ], { concurrency: 2 })
    }))

  it.scoped("keeps the order of output and displayed values", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const events = yield* Stream.runCollect(
        sandbox.runCodeStream("for n in range(50):\n    print(n)\n    display(n)")
      )
      const order = [...events].flatMap((event) =>
        event._tag === "Stdout"
          ? event.text.split("\n").slice(0, -1)
          : event._tag === "Result"
          ? [event.result.text]
          : []
      )
      expect(order).toEqual(Array.from({ length: 50 }, (_, n) => [`${n}`, `${n}`]).flat())
    }))

  it.scoped("delivers many and large displayed values, also to a slow consumer", () =>
    Effect.gen(function*() {
      const sandbox = yield* make
      const events = yield* sandbox.runCodeStream("for n in range(40): display(str(n) * 200_000)").pipe(
        Stream.tap((event) => event._tag === "Result" ? Effect.sleep("2 millis") : Effect.void),
        Stream.runCollect
      )
      const lengths = [...events].flatMap((event) => event._tag === "Result" ? [event.result.text?.length] : [])
      expect(lengths).toEqual(Array.from({ length: 40 }, (_, n) => `${n}`.length * 200_000 + 2))
    }))

  it.scoped("streams 20 MB of lines without losing one", () =>
    Effect.gen(function*() {
      const sandbox = yield* Sandbox.make({ templateId: "python" })
      let bytes = 0
      let newlines = 0
      yield* Stream.runForEach(
        sandbox.runCodeStream("for n in range(200_000):\n    print(f'{n:099d}')"),
        (event) =>
          Effect.sync(() => {
            if (event._tag === "Stdout") {
              bytes += event.text.length
              newlines += event.text.split("\n").length - 1
            }
          })
      )
      expect({ bytes, newlines }).toEqual({ bytes: 20_000_000, newlines: 200_000 })
    }))
}

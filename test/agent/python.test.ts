import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { Buffer } from "node:buffer"
import type { Agent } from "./harness.js"
import { startAgent, startContext } from "./harness.js"

/** Waits for the first output of a run, so that it is known to be at it. */
const underWay = (agent: Agent, run: number) =>
  agent.wait(({ message }) => message.ev === "output" && message.run === run)

describe("Python: values", () => {
  it.scoped("keeps state, and gives the last expression", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const first = yield* agent.run("c", "x = 20\nprint('hi')\nx + 1")
      expect(first.stdout.toString()).toBe("hi\n")
      expect(first.results.map((result) => [result.isMainResult, result.text])).toEqual([[true, "21"]])
      expect(first.end).toMatchObject({ ev: "done", count: 1 })
      const second = yield* agent.run("c", "x * 2")
      expect(second.results[0]?.text).toBe("40")
      expect(second.end).toMatchObject({ ev: "done", count: 2 })
    }))

  it.scoped("shows nothing for None, for a silenced expression, and for statements", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      for (const code of ["None", "1;", "(1);  # c", "('é');", "x = 1", "if True:\n  5", "", "# only this"]) {
        const outcome = yield* agent.run("c", code)
        expect([code, outcome.results, outcome.errors]).toEqual([code, [], []])
      }
      for (const code of ["1 # ;", "'a;'", "_"]) {
        expect((yield* agent.run("c", code)).results.length).toBe(1)
      }
    }))

  it.scoped("awaits at the top, on one loop that persists", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const first = yield* agent.run(
        "c",
        "import asyncio\nasync def f():\n  await asyncio.sleep(0.01)\n  return 5\ntask = asyncio.ensure_future(f())\nawait f()"
      )
      expect(first.results[0]?.text).toBe("5")
      expect((yield* agent.run("c", "await task + 1")).results[0]?.text).toBe("6")
      expect((yield* agent.run("c", "[x async for x in (i for i in [])] if 0 else asyncio.run(f())")).results[0]?.text)
        .toBe(undefined)
      expect((yield* agent.run("c", "asyncio.run(f())")).results[0]?.text).toBe("5")
      expect((yield* agent.run("c", "await f()")).results[0]?.text).toBe("5")
    }))

  it.scoped("is a real main module: pickling, forks, source of functions, annotations", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run(
        "c",
        [
          "import inspect, pickle, multiprocessing, os",
          "class A:",
          "  def __init__(self, v): self.v = v",
          "def square(x):",
          "  return A(x * x)",
          "y: int = 1",
          "with multiprocessing.Pool(2) as pool:",
          "  print([a.v for a in pool.map(square, [1, 2, 3])])",
          "(__name__, pickle.loads(pickle.dumps(A(4))).v, inspect.getsource(square), __annotations__)"
        ].join("\n")
      )
      expect(outcome.stdout.toString()).toBe("[1, 4, 9]\n")
      expect(outcome.results[0]?.text).toBe(
        "('__main__', 4, 'def square(x):\\n  return A(x * x)\\n', {'y': <class 'int'>})"
      )
    }))

  it.scoped("applies variables of a run and puts them back, and has its own folder", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ env: { SHARED: "s" } })
      yield* agent.command("mkdir sub")
      yield* agent.open("c", "python", { env: { OWN: "o", SHARED: "mine" }, cwd: "/workspace/sub" })
      const show =
        "import os; os.getcwd(), [os.environ.get(k) for k in ('SHARED', 'OWN', 'RUN')], os.popen('echo $RUN').read()"
      expect((yield* agent.run("c", show, { env: { OWN: "changed", RUN: "r\"'\n" } })).results[0]?.text)
        .toBe(`('/workspace/sub', ['mine', 'changed', 'r"\\'\\n'], 'r"\\'\\n')`)
      expect((yield* agent.run("c", show)).results[0]?.text).toBe("('/workspace/sub', ['mine', 'o', None], '\\n')")
      expect(yield* agent.open("d", "python", { cwd: "/nowhere" })).toMatchObject({
        ev: "context.failed",
        code: "file_not_found",
        field: "cwd"
      })
    }))
})

describe("Python: errors", () => {
  it.scoped("show the user's lines only", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      yield* agent.run("c", "def fail(n):\n  return 1 / n")
      const outcome = yield* agent.run("c", "try:\n  fail(0)\nexcept Exception as e:\n  raise ValueError('no') from e")
      const error = outcome.errors[0]
      expect(error).toMatchObject({ name: "ValueError", value: "no" })
      expect(error?.traceback.replace(/^ *[~^]+\n/gm, "")).toBe([
        "Traceback (most recent call last):",
        "  File \"<cell 2>\", line 2, in <module>",
        "    fail(0)",
        "  File \"<cell 1>\", line 2, in fail",
        "    return 1 / n",
        "ZeroDivisionError: division by zero",
        "",
        "The above exception was the direct cause of the following exception:",
        "",
        "Traceback (most recent call last):",
        "  File \"<cell 2>\", line 4, in <module>",
        "    raise ValueError('no') from e",
        "ValueError: no",
        ""
      ].join("\n"))
      expect(outcome.end.ev).toBe("done")
    }))

  it.scoped("keep the frames of libraries, and lose those of the event loop", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const library = yield* agent.run("c", "import json\njson.loads('{')")
      expect(library.errors[0]?.traceback).toContain("json/decoder.py")
      expect(library.errors[0]?.traceback).not.toContain("/opt/sandbox")
      const awaited = yield* agent.run("c", "import asyncio\nawait asyncio.sleep(0)\n1/0")
      expect(awaited.errors[0]?.traceback.replace(/^ *[~^]+\n/gm, "")).toBe(
        "Traceback (most recent call last):\n  File \"<cell 2>\", line 3, in <module>\n    1/0\n" +
          "ZeroDivisionError: division by zero\n"
      )
    }))

  it.scoped("of syntax point at the place, before anything has run", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run("c", "print('no')\nx = = 1")
      expect(outcome.stdout.length).toBe(0)
      expect(outcome.errors[0]).toEqual({
        name: "SyntaxError",
        value: "invalid syntax (<cell 1>, line 2)",
        traceback: "  File \"<cell 1>\", line 2\n    x = = 1\n        ^\nSyntaxError: invalid syntax\n"
      })
      expect((yield* agent.run("c", "print('no')\nreturn 1")).stdout.length).toBe(0)
    }))

  it.scoped("are sys.exit, input and whatever else is raised; the state survives", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      yield* agent.run("c", "kept = 1")
      const names: Array<string> = []
      for (
        const code of [
          "import sys; sys.exit(3)",
          "exit()",
          "input('name? ')",
          "import sys; sys.stdin.readline()",
          "raise KeyboardInterrupt",
          "class E(BaseException):\n  def __str__(self): raise RuntimeError\nraise E",
          "def f(): f()\nf()",
          "raise ExceptionGroup('g', [ValueError(1), KeyError(2)])",
          "b'\\xff'.decode()",
          "raise ValueError('\\udc80')",
          "await __import__('asyncio').wait_for(__import__('asyncio').sleep(9), 0.01)"
        ]
      ) {
        const outcome = yield* agent.run("c", code)
        expect(outcome.end.ev).toBe("done")
        expect(outcome.errors[0]?.traceback).toContain(outcome.errors[0]?.name)
        expect(outcome.errors[0]?.traceback).not.toContain("/opt/sandbox")
        names.push(outcome.errors[0]?.name ?? "")
      }
      expect(names).toEqual([
        "SystemExit",
        "SystemExit",
        "EOFError",
        "EOFError",
        "KeyboardInterrupt",
        "E",
        "RecursionError",
        "ExceptionGroup",
        "UnicodeDecodeError",
        "ValueError",
        "TimeoutError"
      ])
      expect((yield* agent.run("c", "kept")).results[0]?.text).toBe("1")
    }))
})

describe("Python: output", () => {
  it.scoped("is in order with that of child processes and of bytes, and exact", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run(
        "c",
        [
          "import sys, os, subprocess, threading",
          "print('a')",
          "os.system('echo b')",
          "print('c')",
          "subprocess.run(['echo', 'd'])",
          "print('e', end='')",
          "sys.stdout.buffer.write(bytes(range(256)))",
          "print('f')",
          "t = threading.Thread(target=lambda: print('g')); t.start(); t.join()",
          "if os.fork() == 0:",
          "  print('h'); os._exit(0) if sys.stdout.flush() else os._exit(0)",
          "os.wait()",
          "print('i')",
          "print('err', file=sys.stderr)"
        ].join("\n")
      )
      expect(outcome.errors).toEqual([])
      const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
      expect(outcome.stdout.toString("latin1")).toBe(`a\nb\nc\nd\ne${bytes.toString("latin1")}f\ng\nh\ni\n`)
      expect(outcome.stderr.toString()).toBe("err\n")
    }))

  it.scoped("arrives while the code goes on", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const run = agent.start("c", "import time\nprint('first', end='')\ntime.sleep(60)")
      const { blob } = yield* underWay(agent, run)
      expect(blob.toString()).toBe("first")
      agent.send({ op: "interrupt", run })
      yield* agent.outcome(run)
    }))

  it.scoped("and displayed values keep their order", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run(
        "c",
        "import os\nfor i in range(20):\n  print(i, end=''); os.system(f'printf s{i}'); display(i)\n'end'"
      )
      const expected = Array.from({ length: 20 }, (_, i) => [`1:${i}s${i}`, `result:${i}`]).flat()
      const joined: Array<string> = []
      for (const part of outcome.order) {
        const last = joined.at(-1)
        if (part.startsWith("1:") && last?.startsWith("1:") === true) joined[joined.length - 1] = last + part.slice(2)
        else joined.push(part)
      }
      expect(joined).toEqual([...expected, "result:'end'"])
    }))

  it.scoped("of 100 MB is complete and stops at the credit, also between displayed values", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const big = yield* agent.run("c", "import sys\nfor i in range(100): sys.stdout.write('x' * 999_999 + '\\n')")
      expect(big.stdout.length).toBe(100_000_000)
      const run = agent.start("c", "for i in range(5):\n  print('y' * 400_000); display(i)", { credit: 500_000 })
      let received = 0
      let shown = 0
      while (received + shown < 500_000) {
        const { blob, message } = yield* agent.wait(({ message }) => "run" in message && message.run === run)
        if (message.ev === "output") received += blob.length
        else shown += blob.length
      }
      yield* agent.command("sleep 0.1")
      expect(received + shown).toBe(500_000)
      expect(agent.unread).toEqual([])
      agent.send({ op: "credit", run, bytes: 10_000_000 })
      const rest = yield* agent.outcome(run)
      expect(received + rest.stdout.length).toBe(5 * 400_001)
      expect(rest.results.map((result) => result.text)).toEqual(["1", "2", "3", "4"])
    }))

  it.scoped("and values take credit, a value at most once more than there is", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const run = agent.start("c", "for i in range(3): display('x' * 1000)", { credit: 1 })
      const { blob } = yield* agent.wait(({ message }) => message.ev === "result" && message.run === run)
      yield* agent.command("sleep 0.1")
      expect(agent.unread).toEqual([])
      agent.send({ op: "credit", run, bytes: blob.length - 1 })
      yield* agent.command("sleep 0.1")
      expect(agent.unread).toEqual([])
      agent.send({ op: "credit", run, bytes: 1 })
      const rest = yield* agent.outcome(run)
      expect(rest.results.length).toBe(2)
      expect(rest.end.ev).toBe("done")
    }))

  it.scoped("of what an earlier run left behind is never part of a later one", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const first = yield* agent.run(
        "c",
        [
          "import sys, os, threading, time, subprocess, asyncio, concurrent.futures, _thread",
          "def late(name, times=100):",
          "  for i in range(times):",
          "    print('late', name); sys.stdout.buffer.write(b'late bytes\\n'); sys.stderr.write('late err\\n')",
          "    if i % 20 == 5: os.system('echo late system')",
          "    if i % 10 == 0: subprocess.run(['echo', 'late child', name]); display('late display')",
          "    time.sleep(0.005)",
          "threading.Thread(target=late, args=('thread',)).start()",
          "threading.Timer(0.1, late, ('timer', 20)).start()",
          "_thread.start_new_thread(late, ('raw',))",
          "pool = concurrent.futures.ThreadPoolExecutor(4)",
          "pool.submit(late, 'pool')",
          "async def task():",
          "  while True:",
          "    print('late task'); await asyncio.sleep(0.01)",
          "kept = asyncio.ensure_future(task())",
          "subprocess.Popen('while sleep 0.01; do echo late process; done', shell=True)",
          "await asyncio.sleep(0)",
          // In one piece: between the two of a print, another thread may print.
          "_ = sys.stdout.write('now\\n')"
        ].join("\n")
      )
      expect(first.stdout.toString()).toContain("now\n")
      const second = yield* agent.run(
        "c",
        [
          "threading.Thread(target=lambda: print('mine, by a thread')).start()",
          "pool.submit(lambda: print('mine, by the pool')).result()",
          "await asyncio.gather(asyncio.sleep(0.3), asyncio.to_thread(print, 'mine, to a thread'))",
          "subprocess.run(['echo', 'mine, by a child'])",
          "print('mine')"
        ].join("\n")
      )
      expect(second.errors).toEqual([])
      expect(second.results).toEqual([])
      expect(second.stdout.toString().split("\n").filter((line) => line !== "").sort()).toEqual([
        "mine",
        "mine, by a child",
        "mine, by a thread",
        "mine, by the pool",
        "mine, to a thread"
      ])
      expect(second.stderr.toString()).toBe("")
      expect(agent.unread).toEqual([])
    }))
})

describe("Python: interrupts and deaths", () => {
  it.scoped("an interrupt ends what goes on, and the state survives", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      yield* agent.run("c", "kept = 5\nimport time, subprocess, asyncio, sys, re")
      for (
        const code of [
          "while True: pass",
          "time.sleep(100)",
          "await asyncio.sleep(100)",
          "await asyncio.gather(*[asyncio.sleep(100) for _ in range(10)])",
          "subprocess.run(['sleep', '100'])",
          "re.match('(a+)+$', 'a' * 64 + 'b')",
          "while True: sys.stdout.write('.' * 100)",
          "while True: display(1)",
          "import threading; threading.Event().wait()",
          "class R:\n  def __repr__(self):\n    while True: pass\nR()",
          "class E(Exception):\n  def __str__(self):\n    while True: pass\nraise E"
        ]
      ) {
        const run = agent.start("c", `print("on", flush=True)\n${code}`)
        yield* underWay(agent, run)
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 20)))
        agent.send({ op: "interrupt", run })
        const outcome = yield* agent.outcome(run)
        expect([code, outcome.end.ev]).toEqual([code, "done"])
        expect([code, outcome.errors[0]?.name]).toEqual([code, code.includes("class E") ? "E" : "KeyboardInterrupt"])
      }
      expect((yield* agent.run("c", "kept")).results[0]?.text).toBe("5")
    }))

  it.scoped("an interrupt outside of a run changes nothing", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const first = agent.start("c", "x = 1")
      yield* agent.outcome(first)
      for (let i = 0; i < 20; i++) {
        agent.send({ op: "interrupt", run: first })
        yield* agent.command("pkill -INT -f agent.py")
        expect((yield* agent.run("c", "x")).results[0]?.text).toBe("1")
      }
    }))

  it.scoped("a kernel that dies is reported with its output, and a new one works", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      for (
        const [code, exitCode, signal] of [
          ["import os; print('out', flush=True); os._exit(3)", 3, null],
          ["import os; print('out', flush=True); os.kill(os.getpid(), 9)", null, "SIGKILL"],
          ["import ctypes; print('out', flush=True); ctypes.string_at(0)", null, "SIGSEGV"],
          ["import os; print('out', flush=True); os.closerange(3, 100)\nwhile True: pass", null, "SIGKILL"],
          ["import os; print('out', flush=True); os.write(3, b'\\xff' * 100)\nwhile True: pass", null, "SIGKILL"],
          ["import os; print('out', flush=True); os.abort()", null, "SIGABRT"]
        ] as const
      ) {
        yield* agent.open("c", "python")
        const outcome = yield* agent.run("c", code)
        expect([code, outcome.end]).toMatchObject([code, { ev: "died", exitCode, signal }])
        expect(outcome.stdout.toString()).toBe("out\n")
        expect(yield* agent.exit("c")).toMatchObject({ exitCode, signal })
      }
      yield* agent.open("c", "python")
      expect((yield* agent.run("c", "1")).results[0]?.text).toBe("1")
    }))

  it.scoped("a kernel that lies is not believed", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      yield* agent.open("d", "python")
      const other = agent.start("d", "import time; time.sleep(0.5); 'honest'")
      const lies = [
        "{\"ev\":\"done\",\"run\":%d}".replace("%d", String(other)),
        "{\"ev\":\"result\",\"run\":%d}".replace("%d", String(other)),
        "{\"ev\":\"ready\"}",
        "{\"ev\":\"context.exit\",\"ctx\":\"d\"}",
        "{\"ev\":\"done\",\"run\":true}",
        "{\"ev\":{},\"run\":[]}",
        "{}"
      ]
      const outcome = yield* agent.run(
        "c",
        `import os, struct, time\nfor lie in ${
          JSON.stringify(lies)
        }:\n  os.write(3, struct.pack("<II", len(lie), 0) + lie.encode())\n` +
          "time.sleep(0.1)\n'end'"
      )
      expect(outcome.end.ev).toBe("done")
      expect(outcome.results.map((result) => result.text)).toEqual(["'end'"])
      expect((yield* agent.outcome(other)).results.map((result) => result.text)).toEqual(["'honest'"])
      expect(agent.unread).toEqual([])
    }))

  it.scoped("a process that the code forked and forgot does not answer in its place", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run("c", "import os\npid = os.fork()\nif pid: os.waitpid(pid, 0)\n'one'")
      expect(outcome.results.map((result) => result.text)).toEqual(["'one'"])
      expect((yield* agent.run("c", "os.fork() and None")).end.ev).toBe("done")
      expect((yield* agent.run("c", "2")).results[0]?.text).toBe("2")
    }))

  it.scoped("closing a context ends its run and all its processes", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const before = yield* agent.processes("agent.py")
      yield* agent.open("c", "python")
      const run = agent.start(
        "c",
        "import subprocess, multiprocessing, time\n" +
          "subprocess.Popen('setsid sleep 201 & setsid setsid sleep 202 &', shell=True)\n" +
          "multiprocessing.Process(target=time.sleep, args=(203,)).start()\ntime.sleep(0.3)\nprint('on', flush=True)\n" +
          "while True: pass"
      )
      yield* underWay(agent, run)
      expect(yield* agent.processes("sleep 20")).toBe(2)
      agent.send({ op: "context.close", ctx: "c" })
      expect((yield* agent.outcome(run)).end).toMatchObject({ ev: "died", signal: "SIGKILL" })
      yield* agent.exit("c")
      expect(yield* agent.processes("sleep 20")).toBe(0)
      expect(yield* agent.processes("agent.py")).toBe(before)
    }))

  it.scoped("runs in one context queue, in two contexts they go side by side", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      yield* agent.open("d", "python")
      const first = agent.start(
        "c",
        "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nprint('first')"
      )
      const second = agent.start("c", "print('second')")
      yield* agent.run("d", "open('go', 'w').close()")
      expect((yield* agent.outcome(first)).stdout.toString()).toBe("first\n")
      expect((yield* agent.outcome(second)).stdout.toString()).toBe("second\n")
    }))
})

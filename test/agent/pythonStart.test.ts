/**
 * What an interpreter for Python is like when code begins: as any Python, although the agent, of which it is a fork, was
 * started with as little as it needs.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import * as Fs from "node:fs"
import * as Path from "node:path"
import { startAgent, startContext } from "./harness.js"

/** What a program can see of how its Python was started, without what differs between two programs. */
const LOOK = `
import builtins, site, subprocess, sys
__shown = [
  repr(sys.flags), tuple(sys.flags), [part for part in sys.path if part], sys.prefix, sys.base_prefix, sys.executable,
  sys.warnoptions, sys._xoptions, subprocess._args_from_interpreter_flags(), getattr(sys, "orig_argv", [])[:1],
  site.ENABLE_USER_SITE, sorted(set(dir(builtins)) - {"_", "display"}), repr(exit), repr(copyright), type(help).__name__
]`

const VERSION = execFileSync("/usr/bin/python3", ["-c", "import sys; print('python%d.%d' % sys.version_info[:2])"])
  .toString().trim()

/** A virtual environment that has a say in what every Python of its own does when it starts. */
const makeEnvironment = (folder: string): void => {
  const packages = Path.join(folder, "venv", "lib", VERSION, "site-packages")
  Fs.mkdirSync(packages, { recursive: true })
  Fs.mkdirSync(Path.join(folder, "venv", "bin"))
  Fs.symlinkSync("/usr/bin/python3", Path.join(folder, "venv", "bin", "python3"))
  Fs.writeFileSync(Path.join(folder, "venv", "pyvenv.cfg"), "home = /usr/bin\ninclude-system-site-packages = false\n")
  Fs.writeFileSync(Path.join(packages, "theirs.py"), "value = 5\n")
  Fs.writeFileSync(
    Path.join(packages, "theirs.pth"),
    "import os; os.write(1, b'noise'); open('/workspace/begun-%d' % os.getpid(), 'w').close()\n"
  )
}

describe("an interpreter for Python", () => {
  it.scoped("is what any isolated Python is", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const inside = yield* agent.run("c", `${LOOK}\nprint(__shown)`)
      const plain = yield* agent.command("env -i PATH=\"$PATH\" /usr/bin/python3 -I -c \"$CODE\"", {
        env: { CODE: `${LOOK}\nprint(__shown)` }
      })
      expect(inside.stdout.toString()).toBe(plain.stdout.toString())
      expect(inside.stdout.toString()).toContain("no_site=0")
    }))

  it.scoped("gives what it starts the options that it has itself", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const { results } = yield* agent.run("c", "import sys, subprocess\nsubprocess._args_from_interpreter_flags()")
      expect(results.map(({ text }) => text)).toEqual(["['-I']"])
    }))

  it.scoped("has what an environment adds, whose code runs once, and not before somebody wants an interpreter", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ python: "/opt/sandbox/venv/bin/python3", prepare: makeEnvironment })
      expect((yield* agent.command("ls")).stdout.toString()).toBe("")
      for (const context of ["first", "second"]) {
        yield* agent.open(context, "python")
        const run = yield* agent.run(context, "import os, sys, theirs\n[theirs.value, sys.prefix, os.listdir()]")
        expect(run.errors).toEqual([])
        expect(run.results.map(({ text }) => text)).toEqual(["[5, '/opt/sandbox/venv', ['begun-1']]"])
        expect(run.stdout.toString()).toBe("")
      }
    }))

  it.scoped("has what it needs itself, whatever files of these names there are", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      for (const name of ["traceback", "linecache", "textwrap", "re", "json", "collections", "types", "tokenize"]) {
        Fs.writeFileSync(Path.join(agent.workspace, `${name}.py`), "raise Exception('not this one')\n")
      }
      Fs.writeFileSync(Path.join(agent.workspace, "mine.py"), "value = 7\n")
      yield* agent.open("c", "python")
      const raised = yield* agent.run("c", "def f():\n    return 1 / 0\nf()")
      expect(raised.errors).toMatchObject([{ name: "ZeroDivisionError", value: "division by zero" }])
      expect(raised.errors[0]?.traceback).toContain("    return 1 / 0\n")
      const imported = yield* agent.run(
        "c",
        "import json, mine, re\n[json.dumps([1]), re.sub('a', 'b', 'a'), mine.value]"
      )
      expect(imported.results.map(({ text }) => text)).toEqual(["['[1]', 'b', 7]"])
    }))

  it.scoped("shows the lines of code to whoever looks for them, also before an error", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      yield* agent.run("c", "def f():\n    return 'a line'")
      const { stdout } = yield* agent.run("c", "import inspect\nprint(inspect.getsource(f), end='')")
      expect(stdout.toString()).toBe("def f():\n    return 'a line'")
    }))

  it.scoped("describes its first error when the code has left no descriptors", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ limits: { openFiles: 64 } })
      yield* agent.open("c", "python")
      const code = "kept = []\nwhile True:\n    kept.append(open('/dev/null'))"
      const { errors } = yield* agent.run("c", code)
      expect(errors).toMatchObject([{ name: "OSError" }])
      expect(errors[0]?.traceback).toContain("    kept.append(open('/dev/null'))\n")
      expect(errors[0]?.traceback).toContain("Too many open files")
    }))

  it.scoped("describes its first error when the code has left no memory", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ limits: { dataSize: 64 * 1024 * 1024 } })
      yield* agent.open("c", "python")
      const code = "kept = []\nwhile True:\n    kept.append(bytes(4096))"
      const { errors } = yield* agent.run("c", code)
      expect(errors).toMatchObject([{ name: "MemoryError" }])
      expect(errors[0]?.traceback).toContain("    kept.append(bytes(4096))\n")
    }))
})

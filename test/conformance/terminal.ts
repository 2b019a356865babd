import { expect } from "@effect/vitest"
import { Chunk, Effect, Stream } from "effect"
import type { Part } from "./support.js"
import { failsWith, python } from "./support.js"

export const terminal: Part = (it) => {
  it.scoped("gives the output of a command, both streams in exact order", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const output = yield* sandbox.runTerminal("for i in 1 2 3; do echo out $i; echo err $i >&2; done")
      expect(output).toBe("out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n")
    }))

  it.scoped("runs in /workspace or where it is told, with the environment of the run", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      expect(yield* sandbox.runTerminal("pwd")).toBe("/workspace\n")
      expect(yield* sandbox.runTerminal("pwd; echo \"$X\"", { cwd: "/tmp", envs: { X: "a'b\"c $HOME" } })).toBe(
        "/tmp\na'b\"c $HOME\n"
      )
      yield* failsWith(sandbox.runTerminal("pwd", { cwd: "/workspace/nowhere" }), {
        _tag: "SandboxError",
        field: "cwd"
      })
    }))

  it.scoped("gives the exit status in the last event, that of a signal as 128 and its number", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const ended = (command: string) =>
        Effect.map(
          Stream.runCollect(sandbox.runTerminalStream(command)),
          (events) => Chunk.toReadonlyArray(events).at(-1)
        )
      expect(yield* ended("echo x; exit 3")).toMatchObject({ _tag: "Ended", exitCode: 3 })
      expect(yield* ended("true")).toMatchObject({ _tag: "Ended", exitCode: 0 })
      expect(yield* ended("kill -TERM $$")).toMatchObject({ _tag: "Ended", exitCode: 143 })
      expect(yield* ended("nonexistent-command")).toMatchObject({ _tag: "Ended", exitCode: 127 })
    }))

  it.scoped("tells the streams apart for who listens to them", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const seen: Array<string> = []
      yield* sandbox.runTerminal("echo a; echo b >&2; echo -n c", {
        onStdout: ({ line }) => {
          seen.push(`out ${line}`)
        },
        onStderr: ({ line }) => {
          seen.push(`err ${line}`)
        }
      })
      expect(seen.sort()).toEqual(["err b\n", "out a\n", "out c"])
    }))

  it.scoped("gives a command no input to wait for", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      expect(yield* sandbox.runTerminal("cat; echo done")).toBe("done\n")
    }))

  it.scoped("runs commands side by side with each other and with code", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const [, output] = yield* Effect.all([
        sandbox.runCode("import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)"),
        sandbox.runTerminal("sleep 0.05; touch go; echo made")
      ], { concurrency: 2 })
      expect(output).toBe("made\n")
    }))
}

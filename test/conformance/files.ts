import { expect } from "@effect/vitest"
import { Effect } from "effect"
import type { Part } from "./support.js"
import { failsWith, python } from "./support.js"

export const files: Part = (it) => {
  it.scoped("writes, reads, lists and deletes files that the code sees too", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const content = "line ü\n\0 zero \u{1F600}\r\n"
      expect(yield* sandbox.writeFile("dir/sub/a file.txt", content)).toBe("/workspace/dir/sub/a file.txt")
      expect(yield* sandbox.readFile("/workspace/dir/sub/a file.txt")).toBe(content)
      const { execution } = yield* sandbox.runCode("len(open('dir/sub/a file.txt', newline='').read())")
      expect(execution.text).toBe(`${[...content].length}`)
      yield* sandbox.runCode("open('/workspace/made.txt', 'w').write('by code')")
      expect(yield* sandbox.readFile("made.txt")).toBe("by code")
      const { directory, files } = yield* sandbox.listFiles()
      expect(directory).toBe("/workspace")
      expect(files.map(({ isDirectory, name, path, size }) => ({ isDirectory, name, path, size }))).toEqual([
        { isDirectory: true, name: "dir", path: "/workspace/dir", size: expect.any(Number) },
        { isDirectory: false, name: "made.txt", path: "/workspace/made.txt", size: 7 }
      ])
      yield* sandbox.deleteFile("dir")
      yield* sandbox.deleteFile("made.txt")
      expect((yield* sandbox.listFiles("/workspace")).files).toEqual([])
    }))

  it.scoped("keeps bytes as they are, and refuses to call them text when they are none", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const bytes = Uint8Array.from({ length: 256 }, (_, n) => n)
      yield* sandbox.writeFile("bytes", bytes)
      expect(yield* sandbox.readFile("bytes", { encoding: "base64" })).toBe(Buffer.from(bytes).toString("base64"))
      yield* failsWith(sandbox.readFile("bytes"), { _tag: "SandboxSDKError", field: "encoding" })
      yield* sandbox.writeFile("empty", "")
      expect(yield* sandbox.readFile("empty")).toBe("")
    }))

  it.scoped("carries a file of several megabytes both ways", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const text = Array.from({ length: 400_000 }, (_, n) => `line ${n}\n`).join("")
      yield* sandbox.writeFile("big", text)
      expect((yield* sandbox.readFile("big")) === text).toBe(true)
    }))

  it.scoped("replaces a file as a whole: a reader sees the old or the new one", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* sandbox.writeFile("f", "a".repeat(100_000))
      yield* Effect.all([
        sandbox.runCode(
          "import os, time\nmixed = 0\nwhile not os.path.exists('stop'):\n    mixed += len(set(open('f').read())) != 1\nassert mixed == 0, mixed"
        ),
        Effect.forEach(
          Array.from({ length: 50 }, (_, n) => "bc"[n % 2] ?? ""),
          (letter) => sandbox.writeFile("f", letter.repeat(100_000))
        ).pipe(Effect.zipRight(sandbox.writeFile("stop", "")))
      ], { concurrency: 2 })
      expect((yield* sandbox.listFiles()).files.map(({ name }) => name)).toEqual(["f", "stop"])
    }))

  it.scoped("fails with the code that says why", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* sandbox.writeFile("d/f", "x")
      const tag = { _tag: "SandboxError", sandboxId: sandbox.id }
      yield* failsWith(sandbox.readFile("nothing"), { ...tag, code: "file_not_found" })
      yield* failsWith(sandbox.readFile("d"), { ...tag, code: "not_a_file" })
      yield* failsWith(sandbox.listFiles("d/f"), { ...tag, code: "not_a_directory" })
      yield* failsWith(sandbox.listFiles("nothing"), { ...tag, code: "file_not_found" })
      yield* failsWith(sandbox.deleteFile("nothing"), { ...tag, code: "file_not_found" })
      yield* failsWith(sandbox.writeFile("d", "x"), { ...tag, code: "not_a_file" })
      yield* failsWith(sandbox.writeFile("d/f/g", "x"), { ...tag, code: "not_a_directory" })
      yield* failsWith(sandbox.writeFile("new/f", "x", { createParents: false }), { ...tag, code: "file_not_found" })
      yield* sandbox.runTerminal("mkfifo fifo")
      yield* failsWith(sandbox.readFile("fifo"), { ...tag, code: "not_a_file" })
    }))

  it.scoped("stays in /workspace, whatever path or link it is given", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const outside = { _tag: "SandboxError", code: "path_outside_workspace" }
      for (const path of ["/etc/passwd", "../etc/passwd", "/workspace/../etc/passwd", "a/../../etc/passwd"]) {
        yield* failsWith(sandbox.readFile(path), { ...outside, field: "path" })
        yield* failsWith(sandbox.writeFile(path, "x"), outside)
        yield* failsWith(sandbox.deleteFile(path), outside)
      }
      yield* sandbox.runTerminal("ln -s /etc/passwd link; ln -s /etc dir; ln -s ../../../etc/passwd rel; ln -s inside good")
      yield* failsWith(sandbox.readFile("link"), outside)
      yield* failsWith(sandbox.readFile("rel"), outside)
      yield* failsWith(sandbox.readFile("dir/passwd"), outside)
      yield* failsWith(sandbox.listFiles("dir"), outside)
      yield* failsWith(sandbox.writeFile("dir/new", "x"), outside)
      yield* sandbox.writeFile("inside", "fine")
      expect(yield* sandbox.readFile("good")).toBe("fine")
      const { files } = yield* sandbox.listFiles()
      expect(files.find(({ name }) => name === "link")).toMatchObject({ type: "symlink", target: "/etc/passwd" })
      yield* sandbox.deleteFile("link")
      expect(yield* sandbox.runTerminal("test -e /etc/passwd && echo there")).toBe("there\n")
    }))
}

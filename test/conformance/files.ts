import { expect } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import type { Part } from "./support.js"
import { eventually, failsWith, python } from "./support.js"

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
      expect(files).toMatchObject([
        { isDirectory: true, name: "dir", path: "/workspace/dir" },
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
      yield* sandbox.runTerminal(
        "ln -s /etc/passwd link; ln -s /etc dir; ln -s ../../../etc/passwd rel; ln -s inside good"
      )
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

  it.scoped("reads and writes bytes, whole and as streams", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const bytes = Uint8Array.from({ length: 3_000_000 }, (_, n) => (n * 7) % 256)
      const pieces = Array.from({ length: 30 }, (_, n) => bytes.subarray(n * 100_000, (n + 1) * 100_000))
      expect(yield* sandbox.writeFileStream("d/stream", Stream.fromIterable(pieces))).toBe("/workspace/d/stream")
      expect(Buffer.compare(yield* sandbox.readFileBytes("d/stream"), bytes)).toBe(0)
      const read = yield* Stream.runCollect(sandbox.readFileStream("d/stream"))
      expect(Buffer.compare(Buffer.concat([...read]), bytes)).toBe(0)
      yield* failsWith(sandbox.readFileBytes("nothing"), { _tag: "SandboxError", code: "file_not_found" })
      yield* failsWith(Stream.runDrain(sandbox.readFileStream("nothing")), { code: "file_not_found" })
      yield* failsWith(sandbox.writeFileStream("d", Stream.empty), { code: "not_a_file" })
    }))

  it.scoped("leaves a file as it was when the stream that was to replace it fails", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* sandbox.writeFile("f", "old")
      const half = Stream.concat(Stream.succeed(new Uint8Array(300_000)), Stream.fail("broken" as const))
      expect(yield* Effect.flip(sandbox.writeFileStream("f", half))).toBe("broken")
      const fiber = yield* Effect.fork(
        sandbox.writeFileStream("f", Stream.concat(Stream.succeed(new Uint8Array(1000)), Stream.never))
      )
      yield* Effect.sleep("100 millis")
      yield* Fiber.interrupt(fiber)
      expect(yield* sandbox.readFile("f")).toBe("old")
      expect((yield* sandbox.listFiles()).files.map(({ name }) => name)).toEqual(["f"])
    }))

  it.scoped("describes, makes and moves", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* sandbox.writeFile("f", "12345")
      yield* sandbox.runTerminal("chmod 640 f")
      const before = Date.now() - 60_000
      const info = yield* sandbox.statFile("f")
      expect(info).toMatchObject({
        path: "/workspace/f",
        name: "f",
        type: "file",
        isDirectory: false,
        size: 5,
        mode: 0o640
      })
      expect(info.modifiedAt).toBeGreaterThan(before)
      expect(yield* sandbox.makeDirectory("a/b")).toMatchObject({ path: "/workspace/a/b", type: "directory" })
      yield* sandbox.makeDirectory("a/b")
      yield* failsWith(sandbox.makeDirectory("f"), { _tag: "SandboxError", code: "file_exists" })
      yield* failsWith(sandbox.makeDirectory("x/y", { parents: false }), { code: "file_not_found" })
      expect(yield* sandbox.moveFile("f", "a/b/g")).toMatchObject({ path: "/workspace/a/b/g", size: 5 })
      yield* failsWith(sandbox.statFile("f"), { _tag: "SandboxError", code: "file_not_found" })
      yield* failsWith(sandbox.moveFile("f", "g"), { code: "file_not_found" })
      yield* failsWith(sandbox.moveFile("a", "/etc/a"), { code: "path_outside_workspace", field: "to" })
    }))

  it.scoped("watches a directory", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      // So many that it takes a while until all are being watched: the one that is met last is used.
      yield* sandbox.runTerminal("mkdir -p d/{000..499} d/sub")
      const seen: Array<string> = []
      const started = yield* Deferred.make<void>()
      const onStart = () => Deferred.unsafeDone(started, Effect.void)
      const fiber = yield* Effect.fork(
        Stream.runForEach(sandbox.watchFiles("d", { recursive: true, onStart }), (event) =>
          Effect.sync(() => seen.push(`${event.type} ${event.path}`)))
      )
      yield* Deferred.await(started)
      yield* sandbox.writeFile("d/sub/new", "x")
      yield* sandbox.moveFile("d/sub/new", "d/sub/renamed")
      yield* sandbox.deleteFile("d/sub/renamed")
      yield* eventually(Effect.sync(() =>
        seen.includes("deleted /workspace/d/sub/renamed")
      ))
      expect(seen).toEqual(expect.arrayContaining(["created /workspace/d/sub/new", "renamed /workspace/d/sub/renamed"]))
      yield* Fiber.interrupt(fiber)
      yield* failsWith(Stream.runDrain(sandbox.watchFiles("nothing")), { _tag: "SandboxError", code: "file_not_found" })
    }))

  it.scoped("writes and reads many files at once, in the order in which they are named", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const bytes = Uint8Array.from({ length: 256 }, (_, n) => n)
      const large = "0123456789".repeat(400_000)
      expect(
        yield* sandbox.writeFiles([
          { path: "a/text", content: "ü\n\0\u{1F600}" },
          { path: "/workspace/bytes", content: bytes },
          { path: "a/empty", content: "" },
          { path: "large", content: large },
          { path: "a/b/last", content: "end" },
          { path: "a/text", content: "the later one" }
        ])
      ).toEqual(["a/text", "bytes", "a/empty", "large", "a/b/last", "a/text"].map((path) => `/workspace/${path}`))
      expect(yield* sandbox.runTerminal("cat a/text; wc -c < large; stat -c %a bytes")).toBe(
        "the later one4000000\n644\n"
      )
      const read = yield* sandbox.readFiles(["bytes", "large", "a/empty", "/workspace/a/text", "bytes"])
      expect(read.map(({ content, path }) => [path, content.length])).toEqual([
        ["bytes", 256],
        ["large", 4_000_000],
        ["a/empty", 0],
        ["/workspace/a/text", 13],
        ["bytes", 256]
      ])
      expect(Buffer.compare(read[0]?.content ?? bytes.subarray(1), bytes)).toBe(0)
      expect(new TextDecoder().decode(read[1]?.content) === large).toBe(true)
      expect(yield* sandbox.writeFiles([])).toEqual([])
      expect(yield* sandbox.readFiles([])).toEqual([])
      expect((yield* sandbox.listFiles("a")).files.map(({ name }) => name)).toEqual(["b", "empty", "text"])
    }))

  it.scoped("writes thousands of small files at once, in many folders", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const files = Array.from({ length: 3_000 }, (_, n) => ({ path: `many/${n % 400}/${n}`, content: `content ${n}` }))
      yield* sandbox.writeFiles(files)
      expect(yield* sandbox.runTerminal("find many -type f | wc -l; find . -name '.sandbox*'")).toBe("3000\n")
      const read = yield* sandbox.readFiles(files.map(({ path }) => path))
      expect(read.map(({ content, path }) => ({ path, content: new TextDecoder().decode(content) }))).toEqual(files)
    }))

  it.scoped("says which of many files it could not write, and leaves that and those after it alone", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const tag = { _tag: "SandboxError", sandboxId: sandbox.id }
      yield* sandbox.runTerminal("mkdir d; ln -s /etc out; ln -s f good; mkfifo fifo; echo old > kept")
      const around = (path: string) => [
        { path: "f", content: `before ${path}` },
        { path, content: "x" },
        { path: "kept", content: "new" }
      ]
      yield* failsWith(sandbox.writeFiles(around("d")), { ...tag, code: "not_a_file", field: "files.1" })
      expect(yield* sandbox.runTerminal("cat f kept")).toBe("before dold\n")
      yield* failsWith(sandbox.writeFiles(around("f/g")), { ...tag, code: "not_a_directory", field: "files.1" })
      yield* failsWith(sandbox.writeFiles(around("fifo")), { ...tag, code: "not_a_file", field: "files.1" })
      yield* failsWith(sandbox.writeFiles(around("out/passwd")), { code: "path_outside_workspace", field: "files.1" })
      yield* failsWith(sandbox.writeFiles(around("new/f"), { createParents: false }), {
        ...tag,
        code: "file_not_found",
        field: "files.1"
      })
      expect(yield* sandbox.runTerminal("cat f kept; ls -A")).toBe("before new/fold\nd\nf\nfifo\ngood\nkept\nout\n")
      // Of what is checked before anything is written, nothing is.
      yield* failsWith(sandbox.writeFiles(around("../x")), { code: "path_outside_workspace", field: "files.1.path" })
      expect(yield* sandbox.writeFiles([{ path: "good", content: "by the link" }])).toEqual(["/workspace/f"])
      expect(yield* sandbox.readFile("f")).toBe("by the link")
    }))

  it.scoped("says which of many files it could not read", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      yield* sandbox.runTerminal("echo 1 > f; mkdir d; ln -s /etc out; mkfifo fifo; truncate -s 33M sparse")
      const tag = { _tag: "SandboxError", field: "paths.1" }
      yield* failsWith(sandbox.readFiles(["f", "nothing"]), { ...tag, code: "file_not_found" })
      yield* failsWith(sandbox.readFiles(["f", "d"]), { ...tag, code: "not_a_file" })
      yield* failsWith(sandbox.readFiles(["f", "fifo"]), { ...tag, code: "not_a_file" })
      yield* failsWith(sandbox.readFiles(["f", "out/passwd"]), { ...tag, code: "path_outside_workspace" })
      yield* failsWith(sandbox.readFiles(["f", "/etc/passwd"]), { ...tag, code: "path_outside_workspace" })
      yield* failsWith(sandbox.readFiles(["f", "sparse"]), { ...tag, code: "quota_exceeded" })
    }))
}

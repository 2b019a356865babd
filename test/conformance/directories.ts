import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { expect } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { downloadDirectory, uploadDirectory } from "../../src/Directory.js"
import { downloadFile, uploadFile } from "../../src/LocalFile.js"
import type { FileProgress } from "../../src/Options.js"
import type { Part } from "./support.js"
import { failsWith, python } from "./support.js"

const FILES = 200

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>) =>
  Effect.map(Stream.runCollect(stream), (events) => [...events])

/** No two pieces of it are alike, and its length is no multiple of what goes at once anywhere. */
const large = Uint8Array.from({ length: 5_000_011 }, (_, n) => (n * 7 + (n >> 9) + 13 * (n >> 17)) % 256)

export const directories: Part = (it) => {
  it.scoped("carries a file up and down by its path, and tells how far it is", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const fs = yield* FileSystem.FileSystem
      const here = yield* fs.makeTempDirectoryScoped()
      const seen: Array<FileProgress> = []
      const onProgress = (progress: FileProgress) => Effect.sync(() => void seen.push(progress))
      const toldOf = (size: number) => {
        expect(seen.length).toBeGreaterThan(1)
        expect(seen.every(({ bytes, totalBytes }, n) => totalBytes === size && bytes > (seen[n - 1]?.bytes ?? 0)))
          .toBe(true)
        expect(seen.splice(0).at(-1)?.bytes).toBe(size)
      }
      yield* fs.writeFile(`${here}/large`, large)
      expect(yield* uploadFile(sandbox, `${here}/large`, "in/here/large", { onProgress })).toBe(
        "/workspace/in/here/large"
      )
      toldOf(large.length)
      expect(yield* sandbox.runTerminal("cd in/here && ls -A && stat -c %s large")).toBe("large\n5000011\n")
      yield* downloadFile(sandbox, "in/here/large", `${here}/out/there/large`, { onProgress })
      toldOf(large.length)
      expect(Buffer.compare(yield* fs.readFile(`${here}/out/there/large`), large)).toBe(0)

      // What is there is replaced, and of a link what it leads to.
      yield* fs.writeFileString(`${here}/small`, "")
      yield* uploadFile(sandbox, `${here}/small`, "in/here/large")
      yield* fs.symlink("there/large", `${here}/out/link`)
      yield* downloadFile(sandbox, "in/here/large", `${here}/out/link`)
      expect(yield* fs.readFileString(`${here}/out/there/large`)).toBe("")
      expect(yield* fs.readLink(`${here}/out/link`)).toBe("there/large")
      expect(yield* fs.readDirectory(`${here}/out/there`)).toEqual(["large"])
      // A device is written to.
      yield* downloadFile(sandbox, "in/here/large", "/dev/null")
      expect((yield* fs.stat("/dev/null")).type).toBe("CharacterDevice")
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scoped("says which file it cannot copy, and leaves what was there", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const fs = yield* FileSystem.FileSystem
      const here = yield* fs.makeTempDirectoryScoped()
      const tag = { _tag: "SandboxError" }
      yield* fs.writeFileString(`${here}/file`, "mine")
      yield* fs.makeDirectory(`${here}/folder`)
      yield* sandbox.writeFile("a", "theirs")
      const from = (code: string) => ({ ...tag, code, field: "from" })
      yield* failsWith(uploadFile(sandbox, `${here}/nothing`, "a"), from("file_not_found"))
      yield* failsWith(uploadFile(sandbox, `${here}/folder`, "a"), from("not_a_file"))
      yield* failsWith(uploadFile(sandbox, "", "a"), { code: "invalid_argument", field: "from" })
      yield* failsWith(uploadFile(sandbox, `${here}/file`, "../etc/a"), {
        ...tag,
        code: "path_outside_workspace",
        field: "to"
      })
      expect(yield* sandbox.readFile("a")).toBe("theirs")

      const to = (code: string) => ({ ...tag, code, field: "to" })
      yield* failsWith(downloadFile(sandbox, "nothing", `${here}/file`), { ...tag, code: "file_not_found" })
      yield* failsWith(downloadFile(sandbox, ".", `${here}/file`), { ...tag, code: "not_a_file" })
      yield* failsWith(downloadFile(sandbox, "a", `${here}/folder`), to("not_a_file"))
      yield* failsWith(downloadFile(sandbox, "a", `${here}/file/a`), to("file_exists"))
      yield* failsWith(downloadFile(sandbox, "a", `${here}/file`, { maxBytes: 5 }), {
        ...tag,
        code: "quota_exceeded",
        field: "maxBytes"
      })
      expect(yield* fs.readFileString(`${here}/file`)).toBe("mine")
      expect((yield* fs.readDirectory(here)).sort()).toEqual(["file", "folder"])
      expect(yield* fs.readDirectory(`${here}/folder`)).toEqual([])
    }).pipe(Effect.provide(NodeContext.layer)))

  it.scoped("carries directories up and down, and tells how far it is", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const fs = yield* FileSystem.FileSystem
      const here = yield* fs.makeTempDirectoryScoped()
      yield* fs.makeDirectory(`${here}/up/a/empty`, { recursive: true })
      yield* Effect.forEach(
        Array.from({ length: FILES }, (_, n) => n),
        (n) => fs.writeFileString(`${here}/up/a/${n}`, `content ${n}`),
        { concurrency: 16, discard: true }
      )
      yield* fs.writeFile(`${here}/up/large`, large)
      yield* fs.writeFileString(`${here}/up/a b 'c' \n"\\$(id) ü😀`, "odd")
      yield* fs.writeFileString(`${here}/up/-run`, "#!/bin/sh\necho run\n")
      yield* fs.chmod(`${here}/up/-run`, 0o755)
      yield* fs.writeFileString(`${here}/up/secret`, "mine")
      yield* fs.chmod(`${here}/up/secret`, 0o600)
      yield* fs.symlink("a/7", `${here}/up/link`)
      yield* fs.symlink("/etc/it's", `${here}/up/outwards`)

      const up = yield* collect(uploadDirectory(sandbox, `${here}/up`, "in"))
      const last = up.at(-1)
      expect(last).toMatchObject({ files: FILES + 6, totalFiles: FILES + 6 })
      expect(last?.bytes).toBe(last?.totalBytes)
      expect(up.every((event, n) => n === 0 || event.bytes >= (up[n - 1]?.bytes ?? 0))).toBe(true)
      expect(up.filter(({ _tag }) => _tag === "Copying").length).toBeGreaterThan(1)
      expect(yield* sandbox.runTerminal("cd in && ./-run && readlink link outwards && stat -c %a secret large -- -run"))
        .toBe(
          "run\na/7\n/etc/it's\n600\n644\n755\n"
        )
      expect(
        yield* sandbox.runTerminal("cat in/link; test -d in/a/empty && find in -type f -print0 | tr -dc '\\0' | wc -c")
      ).toBe(
        `content 7${FILES + 4}\n`
      )

      yield* sandbox.runTerminal("mkfifo in/fifo; ln -s ../.. in/a/out; ln -s ../large in/a/in")
      const down = yield* collect(downloadDirectory(sandbox, "in", `${here}/down`))
      expect(down.flatMap((event) => event._tag === "Skipped" ? [event.path] : []).sort()).toEqual([
        "/workspace/in/a/out",
        "/workspace/in/fifo",
        "/workspace/in/outwards"
      ])
      expect(Buffer.compare(yield* fs.readFile(`${here}/down/large`), large)).toBe(0)
      expect(yield* fs.readFileString(`${here}/down/a b 'c' \n"\\$(id) ü😀`)).toBe("odd")
      expect((yield* fs.stat(`${here}/down/-run`)).mode & 0o777).toBe(0o755)
      expect((yield* fs.stat(`${here}/down/secret`)).mode & 0o777).toBe(0o600)
      expect(yield* fs.readLink(`${here}/down/link`)).toBe("a/7")
      expect(yield* fs.readLink(`${here}/down/a/in`)).toBe("../large")
      expect((yield* fs.readDirectory(`${here}/down/a`)).length).toBe(FILES + 2)
      expect(yield* fs.readFileString(`${here}/down/a/199`)).toBe("content 199")
      expect((yield* fs.readDirectory(`${here}/down`)).sort()).toEqual(
        ["a", "large", "link", "secret", "-run", `a b 'c' \n"\\$(id) ü😀`].sort()
      )
    }).pipe(Effect.provide(NodeContext.layer)), 120_000)

  it.scoped("says what of a directory it cannot copy", () =>
    Effect.gen(function*() {
      const sandbox = yield* python
      const fs = yield* FileSystem.FileSystem
      const here = yield* fs.makeTempDirectoryScoped()
      const tag = { _tag: "SandboxError" }
      yield* fs.writeFileString(`${here}/file`, "")
      yield* failsWith(Stream.runDrain(uploadDirectory(sandbox, `${here}/nothing`)), {
        ...tag,
        code: "file_not_found",
        field: "from"
      })
      yield* failsWith(Stream.runDrain(uploadDirectory(sandbox, `${here}/file`)), {
        ...tag,
        code: "not_a_directory",
        field: "from"
      })
      yield* failsWith(Stream.runDrain(uploadDirectory(sandbox, here, "../etc")), {
        ...tag,
        code: "path_outside_workspace",
        field: "to"
      })
      yield* failsWith(Stream.runDrain(uploadDirectory(sandbox, "")), { code: "invalid_argument", field: "from" })
      yield* failsWith(Stream.runDrain(downloadDirectory(sandbox, "nothing", `${here}/down`)), {
        ...tag,
        code: "file_not_found"
      })
      yield* failsWith(Stream.runDrain(downloadDirectory(sandbox, ".", "")), { code: "invalid_argument", field: "to" })
      yield* sandbox.runTerminal("mkdir -p big && truncate -s 1M big/sparse && touch big/a")
      yield* failsWith(Stream.runDrain(downloadDirectory(sandbox, "big", `${here}/down`, { maxBytes: 1_000_000 })), {
        ...tag,
        code: "quota_exceeded",
        field: "maxBytes"
      })
      yield* failsWith(Stream.runDrain(downloadDirectory(sandbox, "big", `${here}/down`, { maxEntries: 1 })), {
        ...tag,
        code: "quota_exceeded",
        field: "maxEntries"
      })
      yield* failsWith(Stream.runDrain(downloadDirectory(sandbox, "big", `${here}/file`)), {
        ...tag,
        code: "file_exists",
        field: "to"
      })
      expect(yield* fs.readDirectory(here)).toEqual(["file"])
    }).pipe(Effect.provide(NodeContext.layer)))
}

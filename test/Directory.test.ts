import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, expect, it, layer } from "@effect/vitest"
import { Deferred, Effect, Fiber, Layer, Stream } from "effect"
import * as fc from "fast-check"
import * as Path from "node:path"
import { downloadDirectory, uploadDirectory } from "../src/Directory.js"
import { isPlain, shellWord, staysBelow } from "../src/directory/Names.js"
import { SandboxError } from "../src/Errors.js"
import type { FileInfo, FileToWrite, FileType } from "../src/File.js"
import { layerLocal } from "../src/local.js"
import { type DirectoryProgress, type FileProgress, SandboxSDK } from "../src/promise.js"
import { Sandbox } from "../src/Sandbox.js"
import { failsWith } from "./conformance/support.js"

const bash = Sandbox.make({ templateId: "bash" })

const entry = (name: string, type: FileType, more: Partial<FileInfo> = {}): FileInfo => ({
  path: `/workspace/${name}`,
  name,
  type,
  isDirectory: type === "directory",
  size: 4,
  mode: 0o644,
  createdAt: 0,
  modifiedAt: 0,
  ...more
})

/** A sandbox whose listings are made up by whoever has taken it over. All its files hold "evil". */
const lying = (listings: Readonly<Record<string, ReadonlyArray<FileInfo>>>) => ({
  listFiles: (directory = "/workspace") => Effect.succeed({ files: listings[directory] ?? [], directory }),
  readFiles: (paths: ReadonlyArray<string>) =>
    Effect.succeed(paths.map((path) => ({ path, content: new TextEncoder().encode("evil") }))),
  readFileStream: () => Stream.make(new TextEncoder().encode("evil"))
})

describe("names from a sandbox", () => {
  it("are names of entries, whatever they hold", () => {
    fc.assert(fc.property(fc.string({ unit: "binary" }), fc.constantFrom("/", "\\"), (name, separator) => {
      const { dirname, join } = separator === "/" ? Path.posix : Path.win32
      const top = separator === "/" ? "/top" : "C:\\top"
      if (isPlain(name, separator)) {
        assert.strictEqual(dirname(join(top, name)), top)
      }
    }))
    for (const name of ["", ".", "..", "a/b", "/", "/etc", "../a", "a\0b"]) {
      assert.isFalse(isPlain(name, "/"), name)
    }
    for (const name of ["a\\b", "C:", "file:stream", "NUL", "com1.txt", "a.", "a "]) {
      assert.isFalse(isPlain(name, "\\"), name)
      assert.isTrue(isPlain(name, "/"), name)
    }
  })

  it("of links lead nowhere else", () => {
    const part = fc.constantFrom("..", ".", "", "a", "b")
    fc.assert(fc.property(fc.array(part, { maxLength: 8 }), fc.nat(3), (parts, depth) => {
      const target = parts.join("/")
      const here = ["/top", ...Array.from({ length: depth }, () => "d")].join("/")
      if (staysBelow(target, depth)) {
        const place = Path.posix.resolve(here, target)
        assert.isTrue(place === "/top" || place.startsWith("/top/"), target)
      }
    }))
    // By way of another link, `a` can be anywhere.
    assert.isFalse(staysBelow("a/../b", 2))
    assert.isTrue(staysBelow("../a/./b", 1))
    assert.isFalse(staysBelow("../a", 0))
    assert.isFalse(staysBelow("/etc/passwd", 5))
  })

  it.effect("are one word of a shell", () =>
    Effect.gen(function*() {
      const names = fc.sample(fc.string({ unit: "grapheme" }), 50).map((text) => text.replaceAll("\0", "")).concat(
        "'; id; '",
        "$(id)`id`\\\n\"",
        "'"
      )
      const sandbox = yield* bash
      const shown = yield* sandbox.runTerminal(names.map((name) => `printf '%s\\n--\\n' ${shellWord(name)}`).join("\n"))
      expect(shown).toBe(names.map((name) => `${name}\n--\n`).join(""))
    }).pipe(Effect.scoped, Effect.provide(layerLocal())), 60_000)
})

layer(Layer.merge(layerLocal(), NodeContext.layer), { timeout: "60 seconds", excludeTestServices: true })(
  "directories",
  (it) => {
    const folder = Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const here = yield* fs.realPath(yield* fs.makeTempDirectoryScoped())
      yield* fs.makeDirectory(`${here}/outside`)
      return { fs, here, top: `${here}/top` }
    })

    it.scoped("refuse names that are more than a name", () =>
      Effect.gen(function*() {
        const { fs, here, top } = yield* folder
        for (const name of ["..", ".", "", "../outside/evil", `${here}/outside/evil`, "a/b", "a\0b"]) {
          for (const type of ["file", "directory", "symlink"] as const) {
            yield* failsWith(
              Stream.runDrain(
                downloadDirectory(lying({ "/workspace": [entry(name, type, { target: "x" })] }), ".", top)
              ),
              { _tag: "SandboxError", code: "protocol_violation", field: "from" }
            )
          }
        }
        expect(yield* fs.readDirectory(here)).toEqual(["outside"])
        expect(yield* fs.readDirectory(`${here}/outside`)).toEqual([])
      }))

    it.scoped("refuse a link that comes before a file below it", () =>
      Effect.gen(function*() {
        const { fs, here, top } = yield* folder
        const evil = { "/workspace/a": [entry("evil", "file")] }
        yield* failsWith(
          Stream.runDrain(downloadDirectory(
            lying({ "/workspace": [entry("a", "symlink", { target: "b" }), entry("a", "directory")], ...evil }),
            ".",
            top
          )),
          { _tag: "SandboxError", code: "file_error", field: "from" }
        )
        // One that was there before, of an earlier time or of the owner's own.
        yield* fs.makeDirectory(top)
        yield* fs.symlink("../outside", `${top}/a`)
        yield* failsWith(
          Stream.runDrain(downloadDirectory(lying({ "/workspace": [entry("a", "directory")], ...evil }), ".", top)),
          { _tag: "SandboxError", code: "file_exists", field: "to" }
        )
        expect(yield* fs.readDirectory(`${here}/outside`)).toEqual([])
        // A file takes the place of the link, and goes not where it leads.
        yield* Stream.runDrain(downloadDirectory(lying({ "/workspace": [entry("a", "file")] }), ".", top))
        expect(yield* fs.readDirectory(`${here}/outside`)).toEqual([])
        expect(yield* fs.readFileString(`${top}/a`)).toBe("evil")
      }))

    it.scoped("leave links out that lead out, by whatever way", () =>
      Effect.gen(function*() {
        const { fs, here, top } = yield* folder
        yield* fs.makeDirectory(top)
        yield* fs.symlink("..", `${top}/mine`)
        const link = (name: string, target: string) => entry(name, "symlink", { target })
        const events = yield* Stream.runCollect(downloadDirectory(
          lying({
            "/workspace": [
              link("absolute", `${here}/outside`),
              link("by-mine", "mine/outside"),
              entry("d", "directory"),
              link("deep", "d/up/../outside"),
              link("empty", ""),
              link("inside", "d"),
              link("up", "../outside")
            ],
            "/workspace/d": [link("further", "../../outside"), link("up", "..")]
          }),
          ".",
          top
        ))
        expect([...events].flatMap((event) => event._tag === "Skipped" ? [event.path] : []).sort()).toEqual(
          ["absolute", "by-mine", "d/further", "deep", "empty", "up"].map((name) => `/workspace/${name}`)
        )
        expect((yield* fs.readDirectory(top)).sort()).toEqual(["d", "inside", "mine"])
        expect(yield* fs.readDirectory(`${top}/d`)).toEqual(["up"])
      }))

    it.scoped("do not believe sizes, and end a tree without an end", () =>
      Effect.gen(function*() {
        const { fs, top } = yield* folder
        const endless = {
          ...lying({ "/workspace": [entry("f", "file", { size: -5 })] }),
          readFiles: (paths: ReadonlyArray<string>) =>
            Effect.succeed(paths.map((path) => ({ path, content: new Uint8Array(2_000) })))
        }
        yield* failsWith(Stream.runDrain(downloadDirectory(endless, ".", top, { maxBytes: 1_000 })), {
          code: "quota_exceeded",
          field: "maxBytes"
        })
        expect(yield* fs.readDirectory(top)).toEqual([])
        const deep = {
          ...endless,
          listFiles: (directory = "/workspace") => Effect.succeed({ files: [entry("d", "directory")], directory })
        }
        yield* failsWith(Stream.runDrain(downloadDirectory(deep, ".", top, { maxEntries: 500 })), {
          code: "quota_exceeded",
          field: "maxEntries"
        })
        expect(yield* fs.readDirectory(top)).toEqual([])
      }))

    it.scoped("tell names apart, or say that they cannot", () =>
      Effect.gen(function*() {
        const { fs, here, top } = yield* folder
        const sandbox = yield* bash
        yield* sandbox.runTerminal(
          "mkdir one two; echo odd > \"one/$(printf '\\377')\"; touch \"two/$(printf '\\377')\" \"two/$(printf '\\376')\""
        )
        yield* Stream.runDrain(downloadDirectory(sandbox, "one", top))
        expect(yield* fs.readFileString(`${top}/\ufffd`)).toBe("odd\n")
        yield* failsWith(Stream.runDrain(downloadDirectory(sandbox, "two", top)), { code: "file_error", field: "from" })
        yield* fs.makeDirectory(`${here}/odd`)
        yield* sandbox.runTerminal("true")
        yield* Effect.promise(async () => {
          const { writeFile } = await import("node:fs/promises")
          await writeFile(Buffer.concat([Buffer.from(`${here}/odd/`), Buffer.from([0xff])]), "")
        })
        const { message } = yield* failsWith(Stream.runDrain(uploadDirectory(sandbox, `${here}/odd`)), {
          code: "file_error",
          field: "from"
        })
        expect(message).toContain("no UTF-8")
      }))

    it.scoped("of 2,000 small files go in a few round trips", () =>
      Effect.gen(function*() {
        const { fs, here, top } = yield* folder
        const sandbox = yield* bash
        yield* sandbox.runTerminal("mkdir many; cd many; for n in $(seq 2000); do echo $n > $n; done")
        let calls = 0
        const counted = {
          ...sandbox,
          readFiles: (paths: ReadonlyArray<string>) => Effect.suspend(() => (calls++, sandbox.readFiles(paths))),
          writeFiles: (files: ReadonlyArray<FileToWrite>) => Effect.suspend(() => (calls++, sandbox.writeFiles(files)))
        }
        const down = yield* Stream.runCollect(downloadDirectory(counted, "many", top))
        expect([...down].at(-1)).toMatchObject({ files: 2_000, totalFiles: 2_000, bytes: 8_893, totalBytes: 8_893 })
        expect((yield* fs.readDirectory(top)).length).toBe(2_000)
        const up = yield* Stream.runCollect(uploadDirectory(counted, top, "again"))
        expect([...up].at(-1)).toMatchObject({ files: 2_000, totalFiles: 2_000, bytes: 8_893, totalBytes: 8_893 })
        expect(yield* sandbox.runTerminal("diff -r many again && echo same")).toBe("same\n")
        expect(calls).toBeLessThan(10)
        expect(yield* fs.readDirectory(here)).not.toContain("again")
      }), 120_000)

    it.scoped("go by the class for promises as well", () =>
      Effect.gen(function*() {
        const { fs, here, top } = yield* folder
        yield* fs.writeFileString(`${here}/outside/f`, "text")
        yield* Effect.promise(async () => {
          await using sdk = await SandboxSDK.local()
          await using sandbox = await sdk.sandbox({ templateId: "bash" })
          const events: Array<DirectoryProgress> = []
          for await (const event of sandbox.uploadDirectory(`${here}/outside`, "in")) events.push(event)
          for await (const event of sandbox.downloadDirectory("in", top)) events.push(event)
          expect(events.map(({ _tag, files, path, totalBytes }) => [_tag, path, files, totalBytes])).toEqual([
            ["Copied", "/workspace/in/f", 1, 4],
            ["Copied", "/workspace/in/f", 1, 4]
          ])
          const notFound = { code: "file_not_found", field: "from" }
          await expect(sandbox.uploadDirectory(`${here}/nothing`).next()).rejects.toMatchObject(notFound)

          const told: Array<number> = []
          const onProgress = async ({ bytes }: FileProgress) => void told.push(bytes)
          expect(await sandbox.uploadFile(`${here}/outside/f`, "copy/f", { onProgress })).toBe("/workspace/copy/f")
          await sandbox.downloadFile("copy/f", `${here}/copy/f`, { onProgress, maxBytes: 4 })
          expect(told).toEqual([4, 4])
          await expect(sandbox.uploadFile(`${here}/nothing`, "f")).rejects.toMatchObject(notFound)
          const signal = AbortSignal.abort(new Error("enough"))
          await expect(sandbox.downloadFile("copy/f", `${here}/copy/g`, { signal })).rejects.toThrow("enough")
        })
        expect(yield* fs.readFileString(`${top}/f`)).toBe("text")
        expect(yield* fs.readFileString(`${here}/copy/f`)).toBe("text")
        expect(yield* fs.readDirectory(`${here}/copy`)).toEqual(["f"])
      }))

    it.scoped("that break midway fail as what broke, and leave no part of a file", () =>
      Effect.gen(function*() {
        const { fs, here, top } = yield* folder
        const sandbox = yield* bash
        yield* sandbox.runTerminal("mkdir d; head -c 3000000 /dev/zero > d/large; echo 1 > d/a")
        const broken = new SandboxError({ code: "terminated", message: "It is gone." })
        const breaking = {
          listFiles: sandbox.listFiles,
          readFiles: sandbox.readFiles,
          readFileStream: (path: string) =>
            Stream.concat(Stream.take(sandbox.readFileStream(path), 1), Stream.fail(broken))
        }
        yield* fs.makeDirectory(top)
        yield* fs.writeFileString(`${top}/large`, "as it was")
        yield* failsWith(Stream.runDrain(downloadDirectory(breaking, "d", top)), { code: "terminated" })
        expect(yield* fs.readDirectory(top)).toEqual(["large"])
        expect(yield* fs.readFileString(`${top}/large`)).toBe("as it was")

        // Upwards: the file of this machine cannot be read on.
        yield* fs.makeDirectory(`${here}/up`)
        yield* fs.writeFile(`${here}/up/large`, new Uint8Array(3_000_000))
        const failing = {
          ...sandbox,
          writeFileStream: <E>(path: string, content: Stream.Stream<Uint8Array, E>) =>
            sandbox.writeFileStream(path, Stream.concat(Stream.take(content, 2), Stream.fail(broken)))
        }
        yield* failsWith(Stream.runDrain(uploadDirectory(failing, `${here}/up`, "up")), { code: "terminated" })
        expect(yield* sandbox.runTerminal("ls -A up")).toBe("")
      }))

    it.scoped("stop when they are interrupted, midway in a file, and leave no part of it", () =>
      Effect.gen(function*() {
        const { fs, here, top } = yield* folder
        const sandbox = yield* bash
        const bytes = Stream.repeatValue(new Uint8Array(65_536))
        const endless = {
          ...lying({ "/workspace": [entry("f", "file", { size: 1_000_000 })] }),
          readFileStream: () => bytes
        }
        const begun = yield* Deferred.make<void>()
        const tell = () => Deferred.succeed(begun, undefined)
        const down = yield* Effect.fork(Stream.runForEach(downloadDirectory(endless, ".", top), tell))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(down)
        expect(yield* fs.readDirectory(top)).toEqual([])

        yield* fs.makeDirectory(`${here}/up`)
        yield* fs.writeFile(`${here}/up/large`, new Uint8Array(30_000_000))
        const half = yield* Deferred.make<void>()
        const up = yield* Effect.fork(Stream.runForEach(
          uploadDirectory(sandbox, `${here}/up`, "up"),
          () => Effect.zipRight(Deferred.succeed(half, undefined), Effect.never)
        ))
        yield* Deferred.await(half)
        yield* Fiber.interrupt(up)
        expect(yield* sandbox.runTerminal("ls -A up")).toBe("")
      }))

    it.scoped("wait for who reads how far they are", () =>
      Effect.gen(function*() {
        const { here } = yield* folder
        const fs = yield* FileSystem.FileSystem
        const sandbox = yield* bash
        yield* fs.writeFile(`${here}/large`, new Uint8Array(60_000_000))
        let taken = 0
        const counting = {
          ...sandbox,
          writeFileStream: <E>(path: string, content: Stream.Stream<Uint8Array, E>) =>
            sandbox.writeFileStream(
              path,
              Stream.tap(content, (piece) =>
                Effect.sync(() => {
                  taken += piece.length
                }))
            )
        }
        const first = yield* Deferred.make<void>()
        const reader = yield* Effect.fork(Stream.runForEach(
          uploadDirectory(counting, here, "up"),
          () => Effect.zipRight(Deferred.succeed(first, undefined), Effect.never)
        ))
        yield* Deferred.await(first)
        yield* Effect.sleep("500 millis")
        yield* Fiber.interrupt(reader)
        expect(taken).toBeLessThan(40_000_000)
      }))

    it.scoped("replace what is there, links and permissions too, and can leave permissions alone", () =>
      Effect.gen(function*() {
        const { fs, here } = yield* folder
        const sandbox = yield* bash
        yield* sandbox.runTerminal("mkdir -p in/d/e; cd in; echo old > f; chmod 755 f; ln -s d l; touch kept")
        yield* fs.makeDirectory(`${here}/up`)
        yield* fs.writeFileString(`${here}/up/f`, "new")
        yield* fs.chmod(`${here}/up/f`, 0o640)
        yield* fs.symlink("f", `${here}/up/l`)
        yield* Stream.runDrain(uploadDirectory(sandbox, `${here}/up`, "in", { permissions: false }))
        expect(yield* sandbox.runTerminal("cd in; stat -c %a f; readlink l; ls; ls d")).toBe(
          "755\nf\nd\nf\nkept\nl\ne\n"
        )
        yield* Stream.runDrain(uploadDirectory(sandbox, `${here}/up`, "in"))
        expect(yield* sandbox.runTerminal("stat -c %a in/f; cat in/f")).toBe("640\nnew")
        // A directory cannot be replaced by a link.
        yield* sandbox.runTerminal("rm in/l; mkdir in/l")
        const { message } = yield* failsWith(Stream.runDrain(uploadDirectory(sandbox, `${here}/up`, "in")), {
          _tag: "SandboxError",
          code: "file_error",
          field: "to"
        })
        expect(message).toContain("in/l")
      }))
  }
)

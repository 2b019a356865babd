/**
 * Files and folders.
 */
import { randomUUID } from "node:crypto"
import { readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { describe, expect, it } from "vitest"
import { eventually } from "../support.js"
import type { Given } from "./operations.js"

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes)

export const files = (given: () => Given): void => {
  describe("files", () => {
    it("write and read: text", async () => {
      const { sandbox } = given()
      const info = await sandbox.files.write("/home/user/a.txt", "grün\n")
      expect(info).toMatchObject({ name: "a.txt", path: "/home/user/a.txt", type: "file" })
      expect(await sandbox.files.read("/home/user/a.txt")).toBe("grün\n")
      expect((await sandbox.commands.run("cat /home/user/a.txt /workspace/a.txt")).stdout).toBe("grün\ngrün\n")
    })

    it("write and read: a relative path starts at home", async () => {
      const { sandbox } = given()
      expect(await sandbox.files.write("deep/er/b.txt", "b")).toMatchObject({ path: "/home/user/deep/er/b.txt" })
      expect(await sandbox.files.read("/home/user/deep/er/b.txt")).toBe("b")
    })

    it("write and read: an empty file", async () => {
      const { sandbox } = given()
      await sandbox.files.write("empty", "")
      expect(await sandbox.files.read("empty")).toBe("")
    })

    it("write and read: bytes, as all their formats", async () => {
      const { sandbox } = given()
      const bytes = Uint8Array.from({ length: 300_000 }, (_, at) => (at * 31) % 256)
      await sandbox.files.write("bytes", bytes.buffer)
      expect(await sandbox.files.read("bytes", { format: "bytes" })).toEqual(bytes)
      expect(new Uint8Array(await (await sandbox.files.read("bytes", { format: "blob" })).arrayBuffer())).toEqual(bytes)
      const pieces: Array<Uint8Array> = []
      const stream = await sandbox.files.read("bytes", { format: "stream" })
      const reader = stream.getReader()
      for (let piece = await reader.read(); !piece.done; piece = await reader.read()) pieces.push(piece.value)
      expect(new Uint8Array(Buffer.concat(pieces))).toEqual(bytes)
    })

    it("write: a Blob and a stream", async () => {
      const { sandbox } = given()
      await sandbox.files.write("blob", new Blob(["from a blob"]))
      await sandbox.files.write("stream", new Blob(["from a stream"]).stream())
      expect([await sandbox.files.read("blob"), await sandbox.files.read("stream")]).toEqual([
        "from a blob",
        "from a stream"
      ])
    })

    it("write: many at once", async () => {
      const { sandbox } = given()
      const infos = await sandbox.files.write([{ path: "many/1", data: "one" }, { path: "many/2", data: "two" }])
      expect(infos.map(({ path }) => path).sort()).toEqual(["/home/user/many/1", "/home/user/many/2"])
      expect([await sandbox.files.read("many/1"), await sandbox.files.read("many/2")]).toEqual(["one", "two"])
    })

    it("read: what is not there", async () => {
      const { client, sandbox } = given()
      await expect(sandbox.files.read("nowhere")).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("list: a folder, and deeper", async () => {
      const { sandbox } = given()
      await sandbox.files.write("tree/branch/leaf", "leaf")
      const near = await sandbox.files.list("tree")
      expect(near.map(({ name, path, type }) => ({ name, path, type }))).toEqual([
        { name: "branch", path: "/home/user/tree/branch", type: "dir" }
      ])
      const deep = await sandbox.files.list("tree", { depth: 2 })
      expect(deep.map(({ path }) => path).sort()).toEqual(["/home/user/tree/branch", "/home/user/tree/branch/leaf"])
    })

    it("list: what is not there", async () => {
      const { client, sandbox } = given()
      await expect(sandbox.files.list("nowhere")).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("exists", async () => {
      const { sandbox } = given()
      await sandbox.files.write("here", "")
      expect([await sandbox.files.exists("here"), await sandbox.files.exists("nowhere")]).toEqual([true, false])
    })

    it("getInfo", async () => {
      const { sandbox } = given()
      await sandbox.files.write("info", "12345")
      const info = await sandbox.files.getInfo("info")
      expect(info).toMatchObject({ name: "info", path: "/home/user/info", type: "file", size: 5 })
      expect(Math.abs(Date.now() - (info.modifiedTime?.getTime() ?? 0))).toBeLessThan(600_000)
    })

    it("getInfo: a link", async () => {
      const { sandbox } = given()
      await sandbox.commands.run("echo x > aim && ln -sf aim link")
      expect(await sandbox.files.getInfo("link")).toMatchObject({
        name: "link",
        symlinkTarget: expect.stringMatching(/aim$/)
      })
    })

    it("makeDir: one that is new, and one that is there", async () => {
      const { sandbox } = given()
      expect(await sandbox.files.makeDir("new/folder")).toBe(true)
      expect(await sandbox.files.makeDir("new/folder")).toBe(false)
      expect((await sandbox.files.getInfo("new/folder")).type).toBe("dir")
    })

    it("rename", async () => {
      const { sandbox } = given()
      await sandbox.files.write("old-name", "same")
      expect(await sandbox.files.rename("old-name", "new-name")).toMatchObject({ path: "/home/user/new-name" })
      expect([await sandbox.files.exists("old-name"), await sandbox.files.read("new-name")]).toEqual([false, "same"])
    })

    it("rename: what is not there", async () => {
      const { client, sandbox } = given()
      await expect(sandbox.files.rename("nowhere", "x")).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("remove: a file and a folder that is full", async () => {
      const { sandbox } = given()
      await sandbox.files.write("full/file", "")
      await sandbox.files.remove("full/file")
      expect(await sandbox.files.exists("full/file")).toBe(false)
      await sandbox.files.write("full/file", "")
      await sandbox.files.remove("full")
      expect(await sandbox.files.exists("full")).toBe(false)
    })

    it("watchDir: what happens in a folder", async () => {
      const { client, sandbox } = given()
      await sandbox.files.makeDir("watched")
      const seen: Array<string> = []
      const handle = await sandbox.files.watchDir("watched", (event) => {
        seen.push(`${event.type} ${event.name}`)
      })
      await sandbox.commands.run("echo x > watched/one && rm watched/one")
      const { CREATE, REMOVE } = client.FilesystemEventType
      await eventually(async () => seen.includes(`${CREATE} one`) && seen.includes(`${REMOVE} one`))
      await handle.stop()
    })

    it("watchDir: folders below", async () => {
      const { client, sandbox } = given()
      // So many that it takes a while until all are being watched.
      await sandbox.commands.run("mkdir -p watched-deep/{000..499} watched-deep/below")
      const seen: Array<string> = []
      const handle = await sandbox.files.watchDir("watched-deep", (event) => {
        seen.push(`${event.type} ${event.name}`)
      }, { recursive: true })
      await sandbox.files.write("watched-deep/below/two", "x")
      await eventually(async () =>
        seen.includes(`${client.FilesystemEventType.CREATE} below/two`) ||
        seen.includes(`${client.FilesystemEventType.WRITE} below/two`)
      )
      await handle.stop()
    })

    it("watchDir: what is not there", async () => {
      const { client, sandbox } = given()
      await expect(sandbox.files.watchDir("nowhere", () => {})).rejects.toBeInstanceOf(client.NotFoundError)
    })

    it("outside of home: written, read, listed, renamed, removed as the code sees it", async () => {
      const { sandbox } = given()
      const at = `/tmp/outside-${randomUUID()}`
      expect(await sandbox.files.write(`${at}/deep/a.txt`, "grün")).toMatchObject({ path: `${at}/deep/a.txt` })
      expect((await sandbox.commands.run(`cat ${at}/deep/a.txt && echo code > ${at}/b`)).stdout).toBe("grün")
      expect(await sandbox.files.read(`${at}/b`)).toBe("code\n")
      expect((await sandbox.files.list(at)).map(({ path, type }) => [path, type])).toEqual([
        [`${at}/b`, "file"],
        [`${at}/deep`, "dir"]
      ])
      expect((await sandbox.files.list(at, { depth: 2 })).map(({ path }) => path)).toContain(`${at}/deep/a.txt`)
      expect(await sandbox.files.getInfo(`${at}/b`)).toMatchObject({ name: "b", path: `${at}/b`, size: 5 })
      expect(await sandbox.files.rename(`${at}/b`, `${at}/new/c`)).toMatchObject({ path: `${at}/new/c` })
      expect([await sandbox.files.exists(`${at}/b`), await sandbox.files.exists(`${at}/new/c`)]).toEqual([false, true])
      expect(await sandbox.files.makeDir(`${at}/made`)).toBe(true)
      await sandbox.files.remove(at)
      expect(await sandbox.files.exists(at)).toBe(false)
    })

    it("outside of home: what happens in a folder is told", async () => {
      const { client, sandbox } = given()
      const at = `/tmp/watched-${randomUUID()}`
      await sandbox.files.makeDir(at)
      const seen: Array<string> = []
      const handle = await sandbox.files.watchDir(at, (event) => {
        seen.push(`${event.type} ${event.name}`)
      })
      await sandbox.commands.run(`echo x > ${at}/one`)
      await eventually(async () => seen.includes(`${client.FilesystemEventType.CREATE} one`))
      await handle.stop()
    })

    it("outside of home: bytes, large, as a stream, by a signed URL", async () => {
      const { sandbox } = given()
      const at = `/tmp/bytes-${randomUUID()}`
      const bytes = Buffer.from(Uint8Array.from({ length: 3_000_000 }, (_, index) => (index * 31) % 256))
      await sandbox.files.write(at, new Blob([bytes]))
      expect((await sandbox.commands.run(`wc -c < ${at}`)).stdout.trim()).toBe("3000000")
      expect(bytes.equals(await sandbox.files.read(at, { format: "bytes" }))).toBe(true)
      const answer = await fetch(await sandbox.downloadUrl(at))
      expect(bytes.equals(new Uint8Array(await answer.arrayBuffer()))).toBe(true)
      await sandbox.files.remove(at)
    })

    it("a path through a link leads where it leads for the code", async () => {
      const { sandbox } = given()
      const name = `through-${randomUUID()}`
      await sandbox.commands.run(`ln -sfn /home/user /tmp/way && mkdir -p /tmp/aim && ln -sfn /tmp/aim ${name}`)
      await sandbox.files.write(`/tmp/way/${name}/x`, "by two links")
      expect((await sandbox.commands.run("cat /tmp/aim/x")).stdout).toBe("by two links")
      expect(await sandbox.files.read(`${name}/x`)).toBe("by two links")
      expect(await sandbox.files.getInfo(name)).toMatchObject({ symlinkTarget: "/tmp/aim" })
    })

    it("no link leads to what the code cannot see: files of the host, or of what runs the sandbox", async () => {
      const { sandbox } = given()
      const secret = join(tmpdir(), `secret-of-the-host-${randomUUID()}`)
      writeFileSync(secret, "secret")
      try {
        await sandbox.commands.run(
          `cd /tmp && ln -sfn /proc/1/root root && ln -sfn ${secret} secret && ln -sfn / top && ln -sfn /proc proc`
        )
        const hidden = [
          ...[secret, `/tmp/root${secret}`, `/proc/1/root${secret}`, "/tmp/secret", `/tmp/top/${secret}`],
          ...["/etc/shadow", "/tmp/root/etc/shadow", "/proc/1/environ", "/tmp/proc/self/environ", "/proc/self/maps"]
        ]
        for (const path of hidden) {
          await expect(sandbox.files.read(path), path).rejects.toThrow()
          await expect(sandbox.commands.run(`cat ${path.replace("self", "1")}`), path).rejects.toThrow()
        }
        // What the code does see, it is, by whatever name.
        const { stdout } = await sandbox.commands.run("cat /etc/passwd")
        for (const path of ["/etc/passwd", "/tmp/root/etc/passwd", "/tmp/top/etc/passwd"]) {
          expect(await sandbox.files.read(path), path).toBe(stdout)
        }
        await expect(sandbox.files.write("/etc/passwd", "x")).rejects.toThrow()
        await expect(sandbox.files.remove("/usr/bin/env")).rejects.toThrow()
        await expect(sandbox.files.write("/proc/1/comm", "x")).rejects.toThrow()
        expect(readFileSync(secret, "utf8")).toBe("secret")
      } finally {
        rmSync(secret)
      }
    })

    it("signed URLs: down and up, and not for another file", async () => {
      const { sandbox } = given()
      await sandbox.files.write("signed", "by a URL")
      const down = await sandbox.downloadUrl("signed", { useSignatureExpiration: 60_000 })
      expect(await (await fetch(down)).text()).toBe("by a URL")
      const other = new URL(down)
      other.searchParams.set("path", "a.txt")
      expect((await fetch(other)).status).toBe(401)
      const form = new FormData()
      form.append("file", new Blob(["uploaded"]), "uploaded")
      const up = await fetch(await sandbox.uploadUrl("uploaded"), { method: "POST", body: form })
      expect(up.status).toBe(200)
      expect(await sandbox.files.read("uploaded")).toBe("uploaded")
    })

    it("a folder is no file", async () => {
      const { client, sandbox } = given()
      await sandbox.files.makeDir("folder")
      await expect(sandbox.files.read("folder")).rejects.toBeInstanceOf(client.InvalidArgumentError)
    })

    it("bytes that the code writes are those that are read", async () => {
      const { sandbox } = given()
      await sandbox.commands.run("python3 -c \"open('/home/user/raw', 'wb').write(bytes(range(256)))\"")
      expect(text(await sandbox.files.read("raw", { format: "bytes" }))).toBe(
        text(Uint8Array.from({ length: 256 }, (_, at) => at))
      )
    })
  })
}

import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { createHash } from "node:crypto"
import * as fs from "node:fs"
import * as path from "node:path"
import { Kernel } from "./support/javascriptKernel.js"

describe("output", () => {
  let kernel: Kernel
  beforeAll(() => {
    kernel = new Kernel()
  })
  afterAll(() => kernel.close())

  it("is exact for bytes and text in any mixture", { timeout: 60_000 }, async () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 300 }).map((bytes) => ({ bytes: [...bytes] })),
      fc.string({ unit: "binary", maxLength: 200 }).map((text) => ({ text })),
      fc.record({ repeat: fc.integer({ min: 1, max: 200_000 }), unit: fc.constantFrom("x", "é", "€", "😀") })
    )
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 12 }), async (pieces) => {
        fs.writeFileSync(path.join(kernel.workspace, "pieces.json"), JSON.stringify(pieces))
        const { err, stdout } = await kernel.run(`
          for (const p of JSON.parse(require("fs").readFileSync("pieces.json", "utf8"))) {
            process.stdout.write(p.bytes ? Buffer.from(p.bytes) : p.text ?? p.unit.repeat(p.repeat))
          }
          process.stderr.write("end")`)
        const expected = Buffer.concat(
          pieces.map((p) =>
            "bytes" in p ? Buffer.from(p.bytes) : Buffer.from("text" in p ? p.text : p.unit.repeat(p.repeat))
          )
        )
        expect(stdout.equals(expected)).toBe(true)
        expect(err).toBe("end")
      }),
      { numRuns: 40 }
    )
  })

  it("loses nothing of a lot", { timeout: 60_000 }, async () => {
    const { stdout } = await kernel.run(
      "for (let i = 0; i < 200_000; i++) console.log('line ' + i + ' ' + 'x'.repeat(80))"
    )
    const hash = createHash("sha256")
    for (let i = 0; i < 200_000; i++) {
      hash.update(`line ${i} ${"x".repeat(80)}\n`)
    }
    expect(createHash("sha256").update(stdout).digest("hex")).toBe(hash.digest("hex"))
  })

  it("formats as console does", async () => {
    const { err, out } = await kernel.run(`
      console.log("%s is %d and %o", "x", 5, [1]); console.info({ a: { b: { c: {} } } }); console.debug(); console.log("a", 1)
      console.group("G"); console.log("in\\nside"); console.groupEnd(); console.log("out")
      console.table([{ a: 1 }]); console.count(); console.count(); console.dir({ d: 1 })
      console.error("e1"); console.warn("e2"); console.assert(false, "asserted")`)
    expect(out).toBe([
      "x is 5 and [ 1, [length]: 1 ]",
      "{ a: { b: { c: {} } } }",
      "",
      "a 1",
      "G",
      "  in",
      "  side",
      "out",
      "┌─────────┬───┐",
      "│ (index) │ a │",
      "├─────────┼───┤",
      "│ 0       │ 1 │",
      "└─────────┴───┘",
      "default: 1",
      "default: 2",
      "{ d: 1 }",
      ""
    ].join("\n"))
    expect(err).toBe("e1\ne2\nAssertion failed: asserted\n")
  })

  it("goes through streams as through those of a process", async () => {
    const { out, text } = await kernel.run(`
      import { pipeline } from "node:stream/promises"
      import { Readable } from "node:stream"
      const answers = [process.stdout.write("a"), process.stdout.isTTY, process.stdout.writable]
      await new Promise((r) => process.stdout.write("b", r))
      await new Promise((r) => process.stdout.write("63", "hex", r))
      await pipeline(Readable.from(["d", "e"]), process.stdout)
      Readable.from(["f"]).pipe(process.stdout)
      await new Promise((r) => setTimeout(r, 10))
      process.stdout.end("g"); process.stdout.write("h")
      answers`)
    expect(out).toBe("abcdefgh")
    expect(text).toBe("[ true, undefined, true ]")
    expect((await kernel.run("process.stdout.write(5)")).error?.name).toBe("TypeError")
  })

  it("takes what is written to descriptors 1 and 2", async () => {
    const { err, out } = await kernel.run(`
      const fs = require("fs")
      console.log("1"); fs.writeSync(1, "2\\n"); fs.writeSync(2, Buffer.from("xe1y"), 1, 2); fs.writeFileSync(1, "3\\n")
      fs.writeFileSync("/dev/stdout", "4\\n"); fs.appendFileSync("/dev/stderr", "e2")
      await new Promise((r) => fs.write(1, "5\\n", r)); undefined`)
    expect(out).toBe("1\n2\n3\n4\n5\n")
    expect(err).toBe("e1e2")
  })

  it("arrives while code computes without a pause", async () => {
    let during = ""
    const { out } = await kernel.run(
      "const fs = require('fs')\nfor (let i = 0; i < 300; i++) console.log(i)\nwhile (!fs.existsSync('seen')) {}\nconsole.log('end')",
      {
        onOutput: (stdout) => {
          if (stdout.toString().endsWith("\n299\n")) {
            during = stdout.toString()
            fs.writeFileSync(path.join(kernel.workspace, "seen"), "")
          }
        }
      }
    )
    expect(during.split("\n").length).toBe(301)
    expect(out.endsWith("299\nend\n")).toBe(true)
  })

  it("holds the program up while nobody reads", async () => {
    const file = path.join(kernel.workspace, "progress")
    let stalled = true
    let progress = 0
    const { stdout } = await kernel.run(
      "for (let i = 0; i < 1000; i++) { process.stdout.write('x'.repeat(1e4)); require('fs').writeFileSync('progress', String(i)) }",
      {
        onSent: () => {
          setTimeout(() => {
            progress = Number(fs.readFileSync(file, "utf8"))
            stalled = false
          }, 1000)
        },
        stalled: () => stalled
      }
    )
    expect(progress).toBeLessThan(50)
    expect(stdout.length).toBe(1e7)
  })

  it("of an earlier run is never part of a later one", async () => {
    await kernel.run(`
      const late = (how) => { console.log("late " + how); process.stdout.write("late\\n"); console.error("late") }
      const timer = setInterval(() => late("interval"), 1)
      setTimeout(async () => { for (;;) { await new Promise((r) => setTimeout(r, 1)); late("async") } })
      require("fs").readFile("/etc/passwd", () => late("file"))
      process.nextTick(() => setTimeout(() => { late("tick"); queueMicrotask(() => late("microtask")) }, 3))
      const resolved = new Promise((r) => setTimeout(r, 4)).then(() => late("then"))
      setImmediate(function again() { setImmediate(again); late("immediate") })
      require("child_process").exec("sleep 0.02; echo x", () => late("child"))
      setTimeout(() => require("child_process").spawn("echo", ["late child"], { stdio: "inherit" }), 5)
      undefined`)
    const { err, out } = await kernel.run(
      "for (let i = 0; i < 20; i++) { console.log('mine ' + i); await new Promise((r) => setTimeout(r, 3)) }"
    )
    expect(out).toBe(Array.from({ length: 20 }, (_, i) => `mine ${i}\n`).join(""))
    expect(err).toBe("")
    const awaited = await kernel.run(
      "await resolved; resolved.then(() => console.log('then of this run')); await null; await null"
    )
    expect(awaited.out).toBe("then of this run\n")
  })

  it("of asynchronous code belongs to the run that still goes on", async () => {
    const { out } = await kernel.run(`
      setTimeout(() => console.log("timer"), 1)
      setImmediate(() => process.nextTick(() => console.log("tick")))
      require("fs").readFile("/etc/passwd", () => console.log("file"))
      require("child_process").exec("echo x", (_, stdout) => console.log("exec " + stdout.trim()))
      const { AsyncLocalStorage } = require("async_hooks"); const storage = new AsyncLocalStorage()
      storage.run(1, async () => { await null; setTimeout(() => console.log("storage " + storage.getStore()), 2) })
      await new Promise((r) => setTimeout(r, 300))`)
    expect(out.split("\n").sort()).toEqual(["", "exec x", "file", "storage 1", "tick", "timer"])
  })

  it("of child processes belongs to the run that started them, in order", async () => {
    const { err, out } = await kernel.run(`
      import { spawnSync, execSync, execFileSync, spawn, fork } from "node:child_process"
      console.log("1"); spawnSync("echo", ["2"], { stdio: "inherit" })
      console.log("3"); execSync("echo 4; echo e1 >&2", { stdio: "inherit" })
      console.log("5"); execFileSync("echo", ["6"], { stdio: ["ignore", 1, process.stderr] })
      console.log("7"); await new Promise((r) => spawn("echo", ["8"], { stdio: ["ignore", process.stdout, "inherit"] }).on("close", r))
      execSync("echo e2 >&2"); console.log(String(execSync("echo 9")).trim())
      require("fs").writeFileSync("forked.cjs", "console.log('10')")
      await new Promise((r) => fork("./forked.cjs").on("close", r))
      spawnSync("sh", ["-c", "echo 11 > /dev/stdout"], { stdio: "inherit" }); undefined`)
    expect(out).toBe("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n")
    expect(err).toBe("e1\ne2\n")
  })

  it("gives child processes nothing but their own descriptors", async () => {
    const { text } = await kernel.run(
      "String(require('child_process').execFileSync('sh', ['-c', 'for f in /proc/$$/fd/*; do case $(readlink $f) in socket:*) echo $f;; esac; done'], { stdio: ['ignore', 'pipe', 'inherit'] })).replace(/.*fd\\/1\\n/, '')"
    )
    expect(text).toBe("''")
  })

  it("of a child that is left behind does not reach the next run", async () => {
    await kernel.run(
      "require('child_process').spawn('sh', ['-c', 'for i in 1 2 3 4 5 6; do sleep 0.02; echo left; done'], { stdio: 'inherit' }).unref(); undefined"
    )
    const { out } = await kernel.run("await new Promise((r) => setTimeout(r, 200)); console.log('mine')")
    expect(out).toBe("mine\n")
  })
})

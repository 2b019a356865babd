import { afterAll, beforeAll, describe, expect, it } from "@effect/vitest"
import * as fc from "fast-check"
import { Kernel } from "./support/javascriptKernel.js"

const endless: ReadonlyArray<string> = [
  "while (true) {}",
  "await 1; while (true) {}",
  "await new Promise(() => {})",
  "Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)",
  "/(a+)+b/.test('a'.repeat(60))",
  "const again = () => Promise.resolve().then(again); again(); await new Promise(() => {})",
  "await (async () => { for (;;) await null })()",
  "const tick = () => process.nextTick(tick); tick(); await new Promise(() => {})",
  "const turn = () => setImmediate(turn); turn(); await new Promise(() => {})",
  "setInterval(() => {}, 0); await new Promise(() => {})",
  "setTimeout(() => { while (true) {} }, 1); await new Promise(() => {})",
  "setTimeout(async () => { await null; while (true) {} }, 1); await new Promise(() => {})",
  "for (;;) console.log('x'.repeat(100))",
  "for (;;) process.stdout.write(Buffer.alloc(1e6))",
  "for (;;) display(1)",
  "for (;;) { try { throw new Error('x') } catch {} finally {} }",
  "for (;;) JSON.stringify(Array(1000).fill({ a: 1 }))",
  "({ [Symbol.for('nodejs.util.inspect.custom')]() { for (;;); } })",
  "throw Object.assign(new Error('x'), { [Symbol.for('nodejs.util.inspect.custom')]() { for (;;); } })",
  "new (require('async_hooks').AsyncLocalStorage)().run(1, async () => { for (;;) await null })",
  "(async () => { for (;;) await new Promise((r) => setTimeout(r, 0)) })()"
]

describe("interrupts", () => {
  let kernel: Kernel
  beforeAll(async () => {
    kernel = new Kernel()
    await kernel.run("const kept = 'kept'")
  })
  afterAll(() => kernel.close())

  const works = async (mark: string) => {
    const { died, err, error, out, text } = await kernel.run(`console.log(${JSON.stringify(mark)}); await null; kept`)
    expect({ died, err, error, out, text }).toEqual({
      died: undefined,
      err: "",
      error: undefined,
      out: `${mark}\n`,
      text: "'kept'"
    })
  }

  it.each(endless)("end %s", async (code) => {
    const { error } = await kernel.run(code, { onSent: (run) => setTimeout(() => kernel.interrupt(run), 50) })
    expect(error).toMatchObject({ name: "Interrupted" })
    await works(code)
  })

  it.each(endless.slice(0, 4))("by a single byte end %s", async (code) => {
    let sent = false
    const { error } = await kernel.run(`console.log("go"); ${code}`, {
      onOutput: () => {
        if (!sent) {
          sent = true
          kernel.interrupt()
        }
      }
    })
    expect(error).toMatchObject({ name: "Interrupted" })
    await works(code)
  })

  it("end a child process that is waited for", async () => {
    const { error, out } = await kernel.run(
      "console.log('go'); require('child_process').spawnSync('sleep', ['60'], { stdio: 'inherit' }); while (true) {}",
      {
        onSent: (run) =>
          setTimeout(() => {
            kernel.interrupt(run)
            kernel.interruptGroup()
          }, 300)
      }
    )
    expect(out).toBe("go\n")
    expect(error).toMatchObject({ name: "Interrupted" })
    await works("after a child")
  })

  it("keep what was written before", async () => {
    const { out } = await kernel.run("for (let i = 0; i < 1000; i++) console.log(i)\nwhile (true) {}", {
      onSent: (run) => setTimeout(() => kernel.interrupt(run), 100)
    })
    expect(out).toBe(Array.from({ length: 1000 }, (_, i) => `${i}\n`).join(""))
  })

  it.each([
    ["its reader", "for (;;) console.log('x'.repeat(1000))"],
    ["word that its result is taken note of", "for (;;) display(1)"]
  ])("end a run that waits for %s", async (_, code) => {
    let stalled = true
    const { error } = await kernel.run(code, {
      stalled: () => stalled,
      onSent: (run) => {
        setTimeout(() => kernel.interrupt(run), 200)
        setTimeout(() => {
          stalled = false
        }, 500)
      }
    })
    expect(error).toMatchObject({ name: "Interrupted" })
    await works("after a slow reader")
  })

  it("that come when nothing runs do nothing", async () => {
    for (let i = 0; i < 5; i++) {
      kernel.interrupt()
      kernel.interrupt(kernel.nextRun - 1)
      kernel.interruptGroup()
      await new Promise((resolve) => setTimeout(resolve, 20))
      await works(`idle ${i}`)
    }
  })

  it("for a run that is over do not hit the next one, however late", async () => {
    for (let i = 0; i < 20; i++) {
      const over = kernel.nextRun - 1
      const { error, text } = await kernel.run("await new Promise((r) => setTimeout(r, 5)); 'next'", {
        onSent: () => kernel.interrupt(over)
      })
      expect(error).toBeUndefined()
      expect(text).toBe("'next'")
    }
  })

  it("for a run that waits behind something endless reach it", async () => {
    await kernel.run("require('fs').readFile('/etc/passwd', () => { while (true) {} }); undefined")
    await new Promise((resolve) => setTimeout(resolve, 50))
    const { error } = await kernel.run("'not reached'", {
      onSent: (run) => setTimeout(() => kernel.interrupt(run), 50)
    })
    expect(error).toMatchObject({ name: "Interrupted" })
    await works("after something left behind")
  })

  it("stop the timers of their run", async () => {
    await kernel.run("globalThis.ticks = 0; setInterval(() => ticks++, 1); await new Promise(() => {})", {
      onSent: (run) => setTimeout(() => kernel.interrupt(run), 50)
    })
    expect((await kernel.run("const before = ticks; await new Promise((r) => setTimeout(r, 30)); ticks - before")).text)
      .toBe("0")
  })

  it("at any time leave a kernel that works", { timeout: 180_000 }, async () => {
    const code = fc.constantFrom(
      ...endless,
      "1 + 1",
      "await new Promise((r) => setTimeout(r, 5)); 5",
      "for (let i = 0; i < 3e6; i++) {}; await null; for (let i = 0; i < 3e6; i++) {}"
    )
    let n = 0
    await fc.assert(
      fc.asyncProperty(code, fc.integer({ min: 0, max: 70 }), fc.boolean(), async (code, delay, twice) => {
        const { died } = await kernel.run(code, {
          onSent: (run) => {
            setTimeout(() => kernel.interrupt(run), delay)
            if (twice) {
              setTimeout(() => kernel.interrupt(run), delay + 1)
            }
          }
        })
        expect(died).toBeUndefined()
        await works(`round ${n++}`)
      }),
      { numRuns: 300, endOnFailure: true }
    )
  })
})

describe("the end of a kernel", () => {
  it.each([
    ["process.abort()", "SIGABRT"],
    ["process.kill(process.pid, 'SIGKILL')", "SIGKILL"]
  ])("comes by %s, with all output before it", async (code, died) => {
    const kernel = new Kernel({ flags: ["--no-warnings"] })
    const result = await kernel.run(`console.log('before'); await new Promise((r) => setTimeout(r, 40)); ${code}`)
    expect(result.died).toBe(died)
    expect(result.out).toBe("before\n")
    kernel.close()
  })

  it("comes when the agent has gone, even in the middle of a loop", async () => {
    const kernel = new Kernel()
    await kernel.ready
    const gone = new Promise((resolve) => kernel.process.on("exit", resolve))
    void kernel.run("while (true) {}")
    await new Promise((resolve) => setTimeout(resolve, 100))
    kernel.hangUp()
    await gone
    kernel.close()
  })
})

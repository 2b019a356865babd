/**
 * Programs that are spoken to while they run: input, signals, terminals, by the real agent.
 */
import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { Buffer } from "node:buffer"
import { createHash } from "node:crypto"
import type { ProcessRequest } from "../../src/agent/Protocol.js"
import { STDIN_WINDOW } from "../../src/agent/Protocol.js"
import { type Agent, describeAgents, startAgent } from "./harness.js"

const allBytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
const withInput: ProcessRequest = { stdin: true }
const terminal = { stdin: false, pty: { cols: 100, rows: 30 } } as const

const started = (agent: Agent, run: number) =>
  Effect.map(
    agent.wait(({ message }) => message.ev === "started" && message.run === run),
    ({ message }) => message.ev === "started" ? message.pid : 0
  )

/** How many bytes of input have been taken since the last look, waiting until it is so many. */
const taken = (agent: Agent, run: number, bytes: number) =>
  Effect.gen(function*() {
    let sum = 0
    while (sum < bytes) {
      const { message } = yield* agent.wait(({ message }) => message.ev === "stdin.credit" && message.run === run)
      if (message.ev === "stdin.credit") sum += message.bytes
    }
    return sum
  })

/** The output of a run up to a text. */
const shows = (agent: Agent, run: number, text: string) =>
  Effect.gen(function*() {
    let seen = ""
    while (!seen.includes(text)) {
      const { blob } = yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
      agent.send({ op: "credit", run, bytes: blob.length })
      seen += blob.toString("latin1")
    }
    return seen
  })

describeAgents("a process", (it, kind) => {
  it.scoped("is a program with its arguments as they are, found by the PATH", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const args = ["printf", "%s\\n", "a b", "$HOME *", "", "ü'\""]
      const run = agent.startCommand("", { process: { args, stdin: false } })
      expect(yield* started(agent, run)).toBeGreaterThan(1)
      const outcome = yield* agent.outcome(run)
      expect(outcome.stdout.toString()).toBe("a b\n$HOME *\n\nü'\"\n")
      expect(outcome.end).toMatchObject({ ev: "done", exitCode: 0 })
    }))

  it.scoped("that cannot be started is refused with the reason", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.command("echo data > data; echo true > script; chmod +x script")
      const start = (args: ReadonlyArray<string>) =>
        Effect.map(agent.command("", { process: { args, stdin: true } }), ({ end }) => end)
      expect(yield* start(["no-such-program"])).toMatchObject({ ev: "refused", code: "file_not_found", field: "args" })
      expect(yield* start(["./nowhere"])).toMatchObject({ ev: "refused", code: "file_not_found", field: "args" })
      expect(yield* start(["./data"])).toMatchObject({ ev: "refused", code: "permission_denied", field: "args" })
      expect(yield* start(["./script"])).toMatchObject({ ev: "refused", code: "start_failed" })
      expect(yield* start(["true", "x".repeat(200_000)])).toMatchObject({ ev: "refused", code: "start_failed" })
      expect(yield* start(["true", "a\0b"])).toMatchObject({ ev: "refused", code: "start_failed" })
      // Nothing was kept open for them.
      const descriptors = yield* agent.command("ls /proc/self/fd | wc -l")
      expect(descriptors.stdout.toString()).toBe("4\n")
    }))

  it.scoped("reads exactly what it was sent, and the end of it", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const bytes = Buffer.from(Array.from({ length: 100_000 }, (_, index) => (index * 31) & 255))
      const run = agent.startCommand("cat; echo end", { process: withInput })
      agent.send({ op: "stdin.data", run }, bytes.subarray(0, 3))
      agent.send({ op: "stdin.data", run }, bytes.subarray(3))
      agent.send({ op: "stdin.data", run })
      agent.send({ op: "stdin.end", run })
      agent.send({ op: "stdin.end", run })
      const outcome = yield* agent.outcome(run)
      expect(outcome.stdout.equals(Buffer.concat([bytes, Buffer.from("end\n")]))).toBe(true)
    }))

  it.scoped("is told nothing of input until it takes it: the rest waits without holding others up", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.command("mkfifo go")
      const slow = agent.startCommand("cat go; wc -c", { process: withInput })
      agent.send({ op: "stdin.data", run: slow }, Buffer.alloc(STDIN_WINDOW))
      const first = yield* taken(agent, slow, 65_536)
      expect(first).toBe(65_536)
      // No more than a pipe holds; another command shows that the agent has had time to send more credit.
      yield* agent.command("sleep 0.2")
      expect(agent.unread.filter(({ message }) => message.ev === "stdin.credit")).toEqual([])
      yield* agent.command("echo > go")
      expect(yield* taken(agent, slow, STDIN_WINDOW - first)).toBe(STDIN_WINDOW - first)
      agent.send({ op: "stdin.end", run: slow })
      expect((yield* agent.outcome(slow)).stdout.toString()).toBe(`\n${STDIN_WINDOW}\n`)
    }))

  it.scoped("that closes its input says so to who writes more", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("exec 0<&-; echo closed; sleep 100", { process: withInput })
      yield* shows(agent, run, "closed")
      agent.send({ op: "stdin.data", run }, "x")
      yield* agent.wait(({ message }) => message.ev === "stdin.closed" && message.run === run)
      agent.send({ op: "stdin.data", run }, "y")
      agent.send({ op: "stdin.end", run })
      agent.send({ op: "kill", run })
      expect((yield* agent.outcome(run)).end).toMatchObject({ ev: "died", signal: "SIGKILL" })
    }))

  it.scoped("has no input unless it was asked for", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("readlink /proc/self/fd/0; wc -c", { process: { stdin: false } })
      agent.send({ op: "stdin.data", run }, "ignored")
      expect((yield* agent.outcome(run)).stdout.toString()).toBe("/dev/null\n0\n")
    }))

  it.scoped("gets signals with its group, and SIGKILL with all that it has started", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand(
        "trap 'echo got USR1' USR1; trap 'echo got HUP; exit 6' HUP; (setsid sleep 121 &); echo on; while :; do sleep 0.05; done",
        { process: withInput }
      )
      yield* shows(agent, run, "on\n")
      yield* Effect.repeat(agent.processes("^sleep 121"), { until: (count) => count === 1 })
      agent.send({ op: "signal", run, signal: "SIG_IGN" })
      agent.send({ op: "signal", run, signal: "SIGNALS" })
      agent.send({ op: "signal", run, signal: "SIGUSR1" })
      yield* shows(agent, run, "got USR1\n")
      agent.send({ op: "signal", run, signal: "SIGHUP" })
      expect((yield* agent.outcome(run)).end).toMatchObject({ ev: "done", exitCode: 6 })
      expect(yield* agent.processes("^sleep 121")).toBe(1)

      const next = agent.startCommand("(setsid sleep 122 &); echo on; sleep 123", { process: withInput })
      yield* shows(agent, next, "on\n")
      yield* Effect.repeat(agent.processes("^sleep 12[23]"), { until: (count) => count === 2 })
      agent.send({ op: "signal", run: next, signal: "SIGKILL" })
      expect((yield* agent.outcome(next)).end).toMatchObject({ ev: "died", signal: "SIGKILL" })
      expect(yield* agent.processes("^sleep 12[23]")).toBe(0)
    }))

  it.scoped("gets any pieces of input in order and whole", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const pieces = fc.array(fc.uint8Array({ maxLength: 5_000 }), { maxLength: 12 })
      for (const [input] of fc.sample(fc.tuple(pieces), 25)) {
        const run = agent.startCommand("", { process: { args: ["cat"], stdin: true } })
        for (const piece of input) agent.send({ op: "stdin.data", run }, piece)
        agent.send({ op: "stdin.end", run })
        const { end, stdout } = yield* agent.outcome(run)
        expect(stdout.equals(Buffer.concat(input))).toBe(true)
        expect(end).toMatchObject({ ev: "done", exitCode: 0 })
      }
    }))

  if (kind === "node") {
    it.scoped("is refused a terminal where there is nothing to make one", () =>
      Effect.gen(function*() {
        const agent = yield* startAgent()
        const { end } = yield* agent.command("true", { process: terminal })
        expect(end).toMatchObject({ ev: "refused", field: "pty" })
      }))
  }
})

describe("a process in a terminal", () => {
  it.scoped("has it as its controlling terminal, of the size that was asked for", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand(
        "tty; stty size; echo $TERM; test -c /dev/tty && echo mine > /dev/tty; ps -o tty= $$",
        {
          process: terminal
        }
      )
      const { stderr, stdout } = yield* agent.outcome(run)
      expect(stdout.toString()).toMatch(/^(\/dev\/pts\/\d+)\r\n30 100\r\nxterm-256color\r\nmine\r\npts\/\d+\r\n$/)
      expect(stderr.length).toBe(0)
    }))

  it.scoped("reads lines that are edited, and Ctrl+C ends what is in the foreground", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("", {
        process: { ...terminal, args: ["bash", "--norc", "-i"] },
        env: { PS1: "> " }
      })
      yield* shows(agent, run, "> ")
      agent.send({ op: "stdin.data", run }, "echo one$((1+1))\r")
      yield* shows(agent, run, "one2\r\n")
      agent.send({ op: "stdin.data", run }, "cat\r")
      // What is typed while the shell changes the mode of its terminal is not edited.
      yield* Effect.repeat(agent.processes("^cat"), { until: (count) => count === 1 })
      agent.send({ op: "stdin.data", run }, "wrong\u007f\u007f\u007f\u007f\u007fright\r")
      yield* shows(agent, run, "\nright\r\n")
      agent.send({ op: "stdin.data", run }, "\u0003")
      yield* shows(agent, run, "> ")
      agent.send({ op: "stdin.data", run }, "echo still here\r")
      yield* shows(agent, run, "\rstill here\r\n")
      agent.send({ op: "stdin.data", run }, "exit 7\r")
      expect((yield* agent.outcome(run)).end).toMatchObject({ ev: "done", exitCode: 7 })
    }))

  it.scoped("is told when the size changes", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("trap 'stty size; exit' WINCH; echo on; while :; do sleep 0.05; done", {
        process: terminal
      })
      yield* shows(agent, run, "on\r\n")
      agent.send({ op: "resize", run, cols: 213, rows: 17 })
      expect((yield* agent.outcome(run)).stdout.toString()).toBe("17 213\r\n")
    }))

  it.scoped("shows every byte before its end, however slowly they are read", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const program = "import os; b = bytes(range(256)) * 400\nwhile b: b = b[os.write(1, b):]"
      const run = agent.startCommand(`stty raw; python3 -c '${program}'; exit 3`, { process: terminal, credit: 10 })
      yield* agent.command("sleep 0.3")
      const { end, stdout } = yield* agent.outcome(run)
      expect(stdout.length).toBe(102_400)
      expect(stdout.equals(Buffer.concat(Array.from({ length: 400 }, () => allBytes)))).toBe(true)
      expect(end).toMatchObject({ ev: "done", exitCode: 3 })
    }))

  it.scoped("takes raw bytes exactly, and no faster than it reads them", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.command("mkfifo go")
      const bytes = Buffer.concat(Array.from({ length: 800 }, () => allBytes))
      const program = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read(204800)).hexdigest())"
      const run = agent.startCommand(`stty raw -echo; cat go; python3 -c '${program}'`, { process: terminal })
      yield* agent.command("sleep 0.2; true")
      agent.send({ op: "stdin.data", run }, bytes)
      yield* agent.command("sleep 0.2")
      const before = agent.unread.reduce(
        (sum, { message }) => message.ev === "stdin.credit" ? sum + message.bytes : sum,
        0
      )
      expect(before).toBeLessThan(65_536)
      yield* agent.command("echo > go")
      const { stdout } = yield* agent.outcome(run)
      expect(stdout.toString()).toContain(createHash("sha256").update(bytes).digest("hex"))
    }))

  it.scoped("reads the end of its input when there is no more, in the middle of a line too", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      for (const [text, count] of [["", "0"], ["line\n", "5"], ["part", "4"]] as const) {
        const run = agent.startCommand("stty -echo; echo ready; wc -c", { process: terminal })
        yield* shows(agent, run, "ready\r\n")
        if (text !== "") agent.send({ op: "stdin.data", run }, text)
        agent.send({ op: "stdin.end", run })
        expect((yield* agent.outcome(run)).stdout.toString()).toBe(`${count}\r\n`)
      }
    }))

  it.scoped("is hung up when it is interrupted, with what runs in its foreground, and leaves nothing", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("", { process: { ...terminal, args: ["bash", "--norc", "-i"] } })
      agent.send({ op: "stdin.data", run }, "sleep 131 & setsid sleep 132 & echo o''n; sleep 133\r")
      yield* shows(agent, run, "\non\r\n")
      yield* Effect.repeat(agent.processes("^sleep 13"), { until: (count) => count === 3 })
      agent.send({ op: "interrupt", run })
      expect((yield* agent.outcome(run)).end).toMatchObject({ ev: "died", signal: "SIGHUP" })
      expect(yield* agent.processes("^sleep 13")).toBe(0)
    }))

  it.scoped("goes with all its descriptors", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      for (let round = 0; round < 3; round++) {
        yield* agent.command("true", { process: terminal })
      }
      const left = yield* agent.command("ls /dev/pts")
      expect(left.stdout.toString()).toBe("ptmx\n")
    }))
})

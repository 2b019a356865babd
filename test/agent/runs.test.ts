import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { Buffer } from "node:buffer"
import { describeAgents, startAgent, startContext } from "./harness.js"

const allBytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))

describeAgents("output of commands", (it) => {
  it.scoped("is exact, whatever bytes it holds, and on the right stream", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const program = "import os; b = bytes(range(256)); os.write(1, b * 40); os.write(2, b[::-1] * 7)"
      const outcome = yield* agent.command(`python3 -c '${program}'; exit 7`)
      expect(outcome.stdout.equals(Buffer.concat(Array.from({ length: 40 }, () => allBytes)))).toBe(true)
      expect(outcome.stderr.equals(Buffer.concat(Array.from({ length: 7 }, () => Buffer.from(allBytes).reverse()))))
        .toBe(true)
      expect(outcome.end).toMatchObject({ ev: "done", exitCode: 7 })
    }))

  it.scoped("keeps the order of both streams when they are merged", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const outcome = yield* agent.command("for i in 1 2 3 4; do echo o$i; echo e$i >&2; done", { merge: true })
      expect(outcome.stdout.toString()).toBe("o1\ne1\no2\ne2\no3\ne3\no4\ne4\n")
      expect(outcome.stderr.length).toBe(0)
    }))

  it.scoped("never exceeds the credit, and blocks the program instead", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("head -c 3000000 /dev/zero; echo x >&2; touch ended", { credit: 1000 })
      const take = Effect.gen(function*() {
        const { blob } = yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
        return blob.length
      })
      let received = 0
      while (received < 1000) received += yield* take
      expect(received).toBe(1000)
      // Another run shows that the agent has had time to send more, and that it is not held up.
      const other = yield* agent.command("sleep 0.2; ls")
      expect(other.stdout.toString()).toBe("")
      expect(agent.unread).toEqual([])
      agent.send({ op: "credit", run, bytes: 5 })
      while (received < 1005) received += yield* take
      expect(received).toBe(1005)
      agent.send({ op: "credit", run, bytes: 10_000_000 })
      const rest = yield* agent.outcome(run)
      expect(received + rest.stdout.length).toBe(3_000_000)
      expect(rest.stderr.toString()).toBe("x\n")
      expect(rest.end.ev).toBe("done")
    }))

  it.scoped("written before the end is sent before the end, even without credit until later", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("echo hello; echo there >&2; exit 3", { credit: 0 })
      yield* agent.command("sleep 0.2")
      expect(agent.unread).toEqual([])
      agent.send({ op: "credit", run, bytes: 100 })
      const outcome = yield* agent.outcome(run)
      expect([outcome.stdout.toString(), outcome.stderr.toString()]).toEqual(["hello\n", "there\n"])
      expect(outcome.end).toMatchObject({ ev: "done", exitCode: 3 })
    }))

  it.scoped("of what a command left behind is not part of anything", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const first = yield* agent.command("(while sleep 0.02; do echo late; done) & echo now")
      expect(first.stdout.toString()).toBe("now\n")
      const second = yield* agent.command("sleep 0.2; echo second")
      expect(second.stdout.toString()).toBe("second\n")
      expect(agent.unread).toEqual([])
    }))
})

describeAgents("a command", (it, kind) => {
  it.scoped("that a signal ended has died of it", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const outcome = yield* agent.command("echo before; kill -SEGV $$")
      expect(outcome.stdout.toString()).toBe("before\n")
      expect(outcome.end).toMatchObject({ ev: "died", exitCode: null, signal: "SIGSEGV" })
    }))

  it.scoped("has no input, its own variables, its own folder and default signals", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ env: { SHARED: "yes" } })
      yield* agent.command("mkdir sub")
      const outcome = yield* agent.command(
        "read line; echo \"$? $SHARED $OWN $PWD ${SANDBOX_HOME-none}\"; grep -E '^Sig(Ign|Blk)' /proc/self/status",
        { env: { OWN: "a 'b'\n$(c)" }, cwd: "/workspace/sub" }
      )
      // The two that are ignored (32 and 33) are the C library's own.
      expect(outcome.stdout.toString().replace("00000180000000", "00000000000000")).toBe(
        "1 yes a 'b'\n$(c) /workspace/sub none\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n"
      )
    }))

  it.scoped("of any length is run", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const outcome = yield* agent.command(`echo ${"x".repeat(300_000)}; exit 4`)
      expect(outcome.stdout.length).toBe(300_001)
      expect(outcome.end).toMatchObject({ ev: "done", exitCode: 4 })
    }))

  it.scoped("in a folder that is none, or with a NUL, is refused with the argument's name", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const missing = yield* agent.command("true", { cwd: "/workspace/nowhere" })
      expect(missing.end).toMatchObject({ ev: "refused", code: "file_not_found", field: "cwd" })
      yield* agent.command("touch file")
      const file = yield* agent.command("true", { cwd: "/workspace/file" })
      expect(file.end).toMatchObject({ ev: "refused", code: "not_a_directory", field: "cwd" })
      const nul = yield* agent.command("echo \0")
      expect(nul.end).toMatchObject({ ev: "refused", field: "command" })
    }))

  it.scoped("is interrupted with all of its group", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("echo on; sleep 100; echo never")
      yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
      agent.send({ op: "interrupt", run })
      const outcome = yield* agent.outcome(run)
      expect(outcome.end).toMatchObject({ ev: "died", signal: "SIGINT" })
      expect(outcome.stdout.toString()).toBe("")
      expect(yield* agent.processes("sleep 100")).toBe(0)
    }))

  it.scoped("that is interrupted leaves nothing behind", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("setsid sleep 111 & sleep 112 & trap 'exit 5' INT; sleep 0.1; echo on; sleep 113")
      yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
      // A signal that comes between the fork and the exec of the last one is lost in bash.
      yield* Effect.repeat(agent.processes("^sleep 113"), { until: (count) => count === 1 })
      agent.send({ op: "interrupt", run })
      expect((yield* agent.outcome(run)).end).toMatchObject({ ev: "done", exitCode: 5 })
      expect(yield* agent.processes("^sleep 11")).toBe(0)
    }))

  it.scoped("is killed with all that descends from it: other sessions, daemons, orphans", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand(
        "setsid sleep 101 & (setsid sh -c 'sleep 102 & sleep 103' &) ; sleep 0.2; echo on; sleep 104"
      )
      yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
      expect(yield* agent.processes("^sleep 10")).toBe(4)
      const bystander = agent.startCommand("sleep 105")
      agent.send({ op: "kill", run })
      const outcome = yield* agent.outcome(run)
      expect(outcome.end).toMatchObject({ ev: "died", exitCode: null, signal: "SIGKILL" })
      expect(yield* agent.processes("^sleep 10[1-4]")).toBe(0)
      expect(yield* agent.processes("^sleep 105")).toBe(1)
      agent.send({ op: "kill", run: bystander })
      yield* agent.outcome(bystander)
    }))

  it.scoped("that forks as fast as it can is killed", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ limits: { processes: 120 } })
      const run = agent.startCommand("f() { f | f & }; echo on; while :; do f; done 2>/dev/null")
      yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
      agent.send({ op: "kill", run })
      yield* agent.outcome(run)
      const after = yield* agent.command("ps ax | grep -c bash")
      expect(Number(after.stdout.toString())).toBeLessThan(5)
    }))

  it.scoped("that is killed ends even when nobody wants its output", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      const run = agent.startCommand("yes", { credit: 10 })
      yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
      agent.send({ op: "kill", run })
      const outcome = yield* agent.outcome(run, false)
      expect(outcome.end).toMatchObject({ ev: "died", signal: "SIGKILL" })
    }))

  it.scoped("obeys the limits, and cannot read the agent", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ limits: { openFiles: 50, fileSize: 102_400, processes: 40 } })
      const limits = yield* agent.command("ulimit -n; ulimit -f; ulimit -u; ulimit -c; cat /proc/self/oom_score_adj")
      const [openFiles, fileSize, processes, ...others] = limits.stdout.toString().trim().split("\n")
      expect([openFiles, fileSize, ...others]).toEqual(["50", "100", "0", "500"])
      // The user's processes are counted together with the agent, which is several tasks in Node.
      expect(Number(processes)).toBeGreaterThanOrEqual(40)
      expect(Number(processes)).toBeLessThanOrEqual(kind === "python" ? 40 : 52)
      const big = yield* agent.command("head -c 200000 /dev/zero > big; stat -c %s big")
      expect(big.stdout.toString()).toBe("102400\n")
      const peek = yield* agent.command(
        "for f in mem environ fd/3; do head -c1 /proc/$PPID/$f; done; ls /proc/$PPID/fd"
      )
      expect(peek.stdout.toString()).toBe("")
      expect(peek.stderr.toString().match(/Permission denied/g)?.length).toBe(4)
    }))
})

describeAgents("the agent", (it) => {
  it.scoped("ignores what it does not know", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      agent.send({ op: "credit", run: 999, bytes: 1 })
      agent.send({ op: "interrupt", run: 999 })
      agent.send({ op: "kill", run: 999 })
      agent.send({ op: "file.cancel", id: 999 })
      agent.send({ op: "file.data", id: 999, last: true }, "x")
      agent.send({ op: "context.close", ctx: "none" })
      expect(yield* agent.exit("none")).toMatchObject({ exitCode: null, signal: null })
      const unknown = yield* agent.run("none", "1")
      expect(unknown.end).toMatchObject({ ev: "refused", code: "context_not_found" })
      expect((yield* agent.command("echo alive")).stdout.toString()).toBe("alive\n")
    }))

  it.scoped("ignores signals of the sandbox's user, and reaps orphans", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent()
      yield* agent.command("kill -INT $PPID; kill -TERM $PPID; kill -HUP $PPID; kill -PIPE $PPID; kill -QUIT $PPID")
      yield* agent.command("for i in 1 2 3 4 5; do (sleep 0.01 &) ; done; sleep 0.1")
      const zombies = yield* agent.command("ps ax -o stat= | grep -c Z")
      expect(zombies.stdout.toString()).toBe("0\n")
    }))

  it.scoped("ends with the connection, and everything with it", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("bash")
      agent.start("c", `setsid sleep 7${process.pid} & echo on\nwhile :; do :; done`)
      yield* agent.wait(({ message }) => message.ev === "output")
      agent.stream.end()
      const gone = yield* Effect.async<boolean>((resume) => {
        agent.stream.once("close", () => resume(Effect.succeed(true)))
      })
      expect(gone).toBe(true)
    }))
})

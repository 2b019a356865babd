import { expect } from "@effect/vitest"
import { Effect } from "effect"
import { describeAgents, startAgent, startContext } from "./harness.js"

describeAgents("bash", (it) => {
  it.scoped("keeps variables, functions, arrays, folder and options between runs", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("bash")
      const first = yield* agent.run(
        "c",
        "X=5; declare -A map=([k]=v); f() { echo \"f $1 $X\"; }; mkdir sub; cd sub; shopt -s nullglob\necho hi; echo err >&2"
      )
      expect([first.stdout.toString(), first.stderr.toString()]).toEqual(["hi\n", "err\n"])
      expect(first.end).toMatchObject({ ev: "done", count: 1, exitCode: 0 })
      const second = yield* agent.run("c", "f 3; echo ${map[k]} $PWD *.none $0; false")
      expect(second.stdout.toString()).toBe("f 3 5\nv /workspace/sub bash\n")
      expect(second.stderr.toString()).toBe("")
      expect(second.end).toMatchObject({ ev: "done", count: 2, exitCode: 1 })
    }))

  it.scoped("gives the exit code, and survives errors of syntax and unset variables", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("bash")
      yield* agent.run("c", "kept=1")
      const codes: Array<number | undefined> = []
      for (
        const code of [
          "if then",
          "echo \"",
          "nosuchcommand",
          "(exit 42)",
          "set -u; echo $unset; echo no",
          "set +u",
          "return 3",
          "break",
          "echo ${x:?gone}",
          "cat < /nowhere",
          "exec < /nowhere",
          "",
          "# note",
          "true"
        ]
      ) {
        const { end, stdout } = yield* agent.run("c", code)
        expect(end.ev).toBe("done")
        expect(stdout.toString()).toBe("")
        codes.push("exitCode" in end ? end.exitCode ?? undefined : undefined)
      }
      expect(codes.map((code) => code === 0)).toEqual(
        [false, false, false, false, false, true, false, true, false, false, false, true, true, true]
      )
      expect(codes[3]).toBe(42)
      expect((yield* agent.run("c", "echo $kept")).stdout.toString()).toBe("1\n")
    }))

  it.scoped("sets variables of a run and puts back what they were, never as source text", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ env: { SHARED: "s" } })
      yield* agent.open("c", "bash", { env: { OWN: "o" } })
      yield* agent.run("c", "local_only=l; unset nothing")
      const value = "a 'b' \"c\" $(echo d) `e`\nf\\"
      const env = { RUN: value, OWN: "changed", local_only: "x" }
      const first = yield* agent.run("c", "printenv RUN OWN local_only SHARED; RUN=again", { env })
      expect(first.stdout.toString()).toBe(`${value}\nchanged\nx\ns\n`)
      const second = yield* agent.run("c", "printenv RUN; printenv local_only; echo ${RUN-unset} $OWN $local_only")
      expect(second.stdout.toString()).toBe("unset o l\n")
    }))

  it.scoped("has no input, and traces nothing of its own", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("bash")
      const read = yield* agent.run("c", "read x; echo \"$? <$x>\"; cat; ls -l /proc/self/fd | grep -c socket")
      expect(read.stdout.toString()).toBe("1 <>\n0\n")
      yield* agent.run("c", "set -x")
      const traced = yield* agent.run("c", "echo a")
      expect(traced.stdout.toString()).toBe("a\n")
      expect(traced.stderr.toString().split("\n").filter((line) => line.includes("sandbox_"))).toEqual([])
      expect(traced.stderr.toString()).toContain("+ echo a\n")
    }))

  it.scoped("`exit` ends the run with its code, then the context", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("bash")
      const outcome = yield* agent.run("c", "trap 'echo bye >&2' EXIT; (exit 9); echo $?; exit 3; echo never")
      expect(outcome.stdout.toString()).toBe("9\n")
      expect(outcome.stderr.toString()).toBe("bye\n")
      expect(outcome.end).toMatchObject({ ev: "done", exitCode: 3 })
      expect(yield* agent.exit("c")).toMatchObject({ exitCode: 3, signal: null })
      yield* agent.open("c", "bash")
      expect((yield* agent.run("c", "kill -9 $$")).end).toMatchObject({ ev: "died", signal: "SIGKILL" })
      yield* agent.exit("c")
    }))

  it.scoped("is interrupted wherever it is, and the state survives", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("bash")
      yield* agent.run("c", "kept=1; loop() { while :; do :; done; }")
      for (
        const code of [
          "sleep 100",
          "while :; do :; done",
          "loop; echo never",
          "(sleep 100; echo x)",
          "sleep 100 | cat",
          "wait",
          "yes > /dev/null"
        ]
      ) {
        const run = agent.start("c", `sleep 0.01 & echo on; ${code === "wait" ? "sleep 100 & wait" : code}; echo never`)
        yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
        // Until every process of a pipeline is there: bash goes on when its last one never saw the interrupt.
        yield* Effect.promise(() => new Promise((resolve) => setTimeout(resolve, 300)))
        agent.send({ op: "interrupt", run })
        const outcome = yield* agent.outcome(run)
        expect([code, outcome.stdout.toString()]).toEqual([code, ""])
        expect([code, outcome.end]).toMatchObject([code, { ev: "done", exitCode: 130 }])
        expect((yield* agent.run("c", "echo $kept")).stdout.toString()).toBe("1\n")
      }
    }))

  it.scoped("what it left behind is not part of the next run", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("bash")
      expect((yield* agent.run("c", "while sleep 0.01; do echo late; done &\necho now")).stdout.toString()).toBe(
        "now\n"
      )
      const second = yield* agent.run("c", "sleep 0.1; echo second")
      expect(second.stdout.toString()).toBe("second\n")
      expect((yield* agent.run("c", "exec > /dev/null; echo gone")).stdout.toString()).toBe("")
      expect((yield* agent.run("c", "echo back")).stdout.toString()).toBe("back\n")
      expect((yield* agent.command("ls /run/sandbox")).stdout.toString()).toBe("")
    }))
})

describeAgents("a language that is not there", (it) => {
  it.scoped("is refused with what is missing", () =>
    Effect.gen(function*() {
      const agent = yield* startAgent({ env: { PATH: "/nowhere" } })
      for (const language of ["javascript", "typescript", "bash"] as const) {
        expect(yield* agent.open(language, language)).toMatchObject({
          ev: "context.failed",
          code: "language_unavailable",
          field: "language"
        })
      }
    }))
})

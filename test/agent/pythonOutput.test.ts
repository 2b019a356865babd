import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import { startContext } from "./harness.js"

/** The first place where a sequence of numbers of eight digits does not go on by 0 or 1. */
const gapOf = (text: string): string | undefined => {
  const numbers = text.replaceAll("\n", "").match(/.{1,8}/g) ?? []
  let last = -1
  for (const digits of numbers) {
    const number = Number(digits)
    if (!(digits.length === 8 && (number === last || number === last + 1))) {
      return `${digits} after ${last}`
    }
    last = number
  }
  return undefined
}

describe("Python: what is printed", () => {
  it.scoped("is in order with bytes that are written below it, also when the buffer was kept", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const first = yield* agent.run(
        "c",
        "import sys\nprint('a')\nkept = sys.stdout.buffer\nprint('b')\nkept.write(b'c\\n')\nprint('d')\nkept.write(b'e\\n')"
      )
      expect(first.stdout.toString()).toBe("a\nb\nc\nd\ne\n")
      const second = yield* agent.run("c", "print('f')\nkept.write(b'g\\n')\nprint('h')\nkept.write(b'i\\n');")
      expect(second.stdout.toString()).toBe("f\ng\nh\ni\n")
    }))

  it.scoped("goes on after the code has taken the stream apart", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const first = yield* agent.run(
        "c",
        "import io, sys\nprint('a')\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), 'utf-8')\nprint('b')\nsys.stdout.flush()"
      )
      expect([first.errors, first.stdout.toString()]).toEqual([[], "a\nb\n"])
      const second = yield* agent.run("c", "print('c')")
      expect([second.errors, second.stdout.toString()]).toEqual([[], "c\n"])
    }))

  it.scoped("is in order with what child processes write, and comes once", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run(
        "c",
        [
          "import os, subprocess",
          "print('a')",
          "subprocess.run(['echo', 'b'])",
          "print('c')",
          "child = os.fork()",
          "if child == 0:",
          "  print('d')",
          "  raise SystemExit",
          "os.waitpid(child, 0)",
          "print('e')"
        ].join("\n")
      )
      expect(outcome.stdout.toString()).toBe("a\nb\nc\nd\ne\n")
    }))

  it.scoped(
    "is flushed by nobody while the program forks: the child would wait for ever",
    () =>
      Effect.gen(function*() {
        const agent = yield* startContext("python")
        const outcome = yield* agent.run(
          "c",
          [
            "import os, select",
            "def fork():",
            "  ours, theirs = os.pipe()",
            "  child = os.fork()",
            "  if child == 0:",
            "    os.write(theirs, b'up')",
            "    os._exit(0)",
            "  os.close(theirs)",
            "  is_up = select.select([ours], [], [], 10)[0]",
            "  os.close(ours)",
            "  if not is_up:",
            "    os.kill(child, 9)",
            "  os.waitpid(child, 0)",
            "  return bool(is_up)",
            "for n in range(200):",
            // What takes long to flush is likely to be flushed by both.
            "  print('x' * 60_000)",
            "  if not fork():",
            "    break",
            "n"
          ].join("\n")
        )
        expect(outcome.results[0]?.text).toBe("199")
        expect(outcome.stdout.length).toBe(200 * 60_001)
      }),
    90_000
  )

  it.scoped(
    "of a thread goes on while the program forks, and children that print have their own",
    () =>
      Effect.gen(function*() {
        const agent = yield* startContext("python")
        const outcome = yield* agent.run(
          "c",
          [
            "import contextlib, io, os, select, sys, threading",
            "is_over = False",
            "def talk():",
            "  while not is_over:",
            "    print('y' * 3_000)",
            "talker = threading.Thread(target=talk)",
            "talker.start()",
            "def fork():",
            "  child = os.fork()",
            "  if child == 0:",
            "    print('child', flush=True)",
            "    os._exit(0)",
            "  ended = os.pidfd_open(child)",
            "  has_ended = select.select([ended], [], [], 10)[0]",
            "  os.close(ended)",
            "  if not has_ended:",
            "    os.kill(child, 9)",
            "  os.waitpid(child, 0)",
            "  return bool(has_ended)",
            "count = 0",
            "while count < 60 and fork(): count += 1",
            "with contextlib.redirect_stdout(io.StringIO()) as kept:",
            "  if os.fork() == 0:",
            "    os._exit(0 if sys.stdout is kept else 1)",
            "  is_kept = os.wait()[1] == 0",
            "is_over = True",
            "talker.join()",
            "count, is_kept"
          ].join("\n")
        )
        expect(outcome.results[0]?.text).toBe("(60, True)")
        expect(outcome.stdout.toString().split("child\n")).toHaveLength(61)
      }),
    120_000
  )

  it.scoped("arrives while the program goes on", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const run = agent.number()
      agent.send({ op: "run", run, ctx: "c", env: {}, credit: 1_000_000 }, "print('here')\nwhile True: pass")
      const { blob } = yield* agent.wait(({ message }) => message.ev === "output" && message.run === run)
      expect(blob.toString()).toBe("here\n")
      agent.send({ op: "interrupt", run })
      yield* agent.wait(({ message }) => message.ev === "done" && message.run === run)
    }))

  it.scoped("is complete and in order, however often it is flushed meanwhile", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run(
        "c",
        [
          "import time",
          "for number in range(300_000):",
          "  print('%08d' % number)",
          "  if number % 5_000 == 0: time.sleep(0.011)"
        ].join("\n")
      )
      expect(gapOf(outcome.stdout.toString())).toBe(undefined)
      expect(outcome.stdout.length).toBe(300_000 * 9)
    }))

  it.scoped("by several threads is complete, and that of each in order", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run(
        "c",
        [
          "import sys, threading",
          "def work(name):",
          "  for number in range(20_000): sys.stdout.write('%s%08d\\n' % (name, number))",
          "print('first')",
          "threads = [threading.Thread(target=work, args=(name,)) for name in 'abc']",
          "for thread in threads: thread.start()",
          "work('m')",
          "for thread in threads: thread.join()"
        ].join("\n")
      )
      const [first, ...lines] = outcome.stdout.toString().trimEnd().split("\n")
      expect(first).toBe("first")
      for (const name of "abcm") {
        const own = lines.filter((line) => line.startsWith(name)).map((line) => Number(line.slice(1)))
        expect(own.length).toBe(20_000)
        expect(own.findIndex((number, index) => number !== index)).toBe(-1)
      }
    }))

  it.scoped("before an interrupt is not lost by it", () =>
    Effect.gen(function*() {
      const agent = yield* startContext("python")
      const outcome = yield* agent.run(
        "c",
        [
          "import os, subprocess",
          "number = hits = 0",
          "kill = 'while read line; do kill -INT %d; done' % os.getpid()",
          "pest = subprocess.Popen(['sh', '-c', kill], stdin=subprocess.PIPE)",
          "while hits < 1000:",
          "  try:",
          "    os.write(pest.stdin.fileno(), b'\\n')",
          "    while True:",
          "      print('%08d' % number)",
          "      number += 1",
          "  except KeyboardInterrupt:",
          "    hits += 1",
          "pest.stdin.close()",
          "pest.wait()",
          "hits"
        ].join("\n")
      )
      expect([outcome.errors, outcome.results[0]?.text]).toEqual([[], "1000"])
      expect(gapOf(outcome.stdout.toString())).toBe(undefined)
    }))
})

/**
 * Terminals and inputs of programs that go on by themselves: between them and their users stand the agent and the engine.
 */
import { Effect, Fiber } from "effect"
import type { AnySandboxSDKError } from "../../../src/Errors.js"
import type { Arena } from "../Arena.js"
import { type Attempt, escaped, type Family, held, judge, unclear, type Verdict } from "../Attempt.js"
import { printed, starting } from "./running.js"

const { raw } = String

const OWN = "a devpts of its own; the agent holds the other end"
const CREDIT = "input and output go under credit"

const SIZE = { cols: 80, rows: 24 }

const attempt = (
  id: string,
  title: string,
  wall: string,
  make: (arena: Arena) => Effect.Effect<Verdict, AnySandboxSDKError>
): Attempt => ({
  id,
  title,
  wall,
  alone: { memoryMb: 256, processes: 64 },
  ...(id.startsWith("terminals") ? { about: "terminal" } : {}),
  make
})

/** An attempt that is a program in a terminal of its own, judged by what comes out of that. */
const inTerminal = (id: string, title: string, wall: string, code: string): Attempt =>
  attempt(id, title, wall, (arena) =>
    Effect.gen(function*() {
      const { executionId } = yield* starting(arena, "attempt", `${code}\nprint("over", flush=True)\n`, { pty: SIZE })
      return judge((yield* printed(arena, executionId, "over")).replaceAll("\r", ""))
    }))

export const terminals: Family = {
  name: "terminals",
  title: "Terminals and inputs of processes",
  attempts: [
    inTerminal(
      "terminals-type",
      "Type into one's own terminal and into others (TIOCSTI, TIOCLINUX)",
      "seccomp filter",
      raw`
own = os.open("/dev/tty", os.O_RDWR)
leader, follower = os.openpty()
deny_ioctls((0, 1, 2, own, leader, follower), (0x5412, 0x541c, 0x5412 | 1 << 32, 0x541c | 1 << 63))
`
    ),
    inTerminal(
      "terminals-others",
      "Find terminals that are not one's own",
      OWN,
      raw`
own = os.ttyname(0)
for number in range(256):
    path = "/dev/pts/%d" % number
    if path != own:
        refused("open " + path, lambda: os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
for path in ("/dev/tty0", "/dev/tty1", "/dev/ttyS0", "/dev/vcs", "/dev/vcsa"):
    refused("open " + path, lambda: os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK))
# A terminal that the container engine would hold is not there either: it is null, or nothing.
try:
    console = os.open("/dev/console", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    escaped("/dev/console is a terminal") if os.isatty(console) else held("no terminal")
except OSError as error:
    held(code_of(error))
`
    ),
    inTerminal(
      "terminals-session",
      "Take a terminal over from another session, or have it taken",
      "sessions, no capabilities",
      raw`
leader, follower = os.openpty()
def steal():
    os.setsid()
    # By force, which asks for CAP_SYS_ADMIN (ioctl_tty(2)).
    return fcntl.ioctl(0, 0x540e, 1)
said, _ = in_child(steal)
held(said) if "OSError" in said else escaped("took it: " + said)
def console():
    # TIOCCONS: what is written to the console comes here instead.
    return fcntl.ioctl(follower, 0x541d)
refused("console", console)
for request in (0x5602, 0x5606, 0x560e, 0x4b3a, 0x5457):
    refused("ioctl %x" % request, lambda: fcntl.ioctl(0, request, 1))
refused("hang up others", lambda: libc.vhangup() and (_ for _ in ()).throw(OSError(errno.EPERM, "vhangup")))
`
    ),
    inTerminal(
      "terminals-answer-back",
      "Have the terminal itself type an answer",
      "nothing on this side of the wall obeys what is printed",
      raw`
import select, tty
tty.setraw(0)
# Where am I, what are you, what is your title, what is on the clipboard (ECMA-48; xterm's control sequences).
os.write(1, b"\x1b[6n\x1b[c\x1b[>c\x1b[21t\x1b]52;c;?\x07\x1bP$qm\x1b\\\x05")
ready, _, _ = select.select([0], [], [], 0.5)
os.write(1, b"\n")
escaped("it typed %r" % os.read(0, 100)) if ready else held("no answer")
`
    ),
    attempt(
      "terminals-resize",
      "Drown the engine in sizes",
      "a size is a number, and is set at once",
      (arena) =>
        Effect.gen(function*() {
          const { executionId } = yield* starting(
            arena,
            "sizes",
            raw`
import signal, struct, termios
def say(*_):
    # Nothing that could be in the middle of itself when the next one comes.
    os.write(1, b"size %d %d\n" % tuple(os.get_terminal_size(0)))
signal.signal(signal.SIGWINCH, say)
for number in (65535, 1, 0, 65535):
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", number, number, number, number))
print("ready", flush=True)
while True:
    signal.pause()
`,
            { pty: SIZE }
          )
          yield* printed(arena, executionId, "ready")
          yield* Effect.forEach(
            Array.from({ length: 500 }, (_, index) => index + 1),
            (n) => arena.sdk.resizeTerminal(executionId, { cols: (n * 131) % 65_535 + 1, rows: (n * 17) % 65_535 + 1 }),
            { concurrency: 16, discard: true }
          )
          yield* arena.sdk.resizeTerminal(executionId, { cols: 101, rows: 51 })
          const seen = yield* printed(arena, executionId, "size 101 51")
          return seen.includes("size 101 51") ? held("it saw the last of 500") : unclear(seen.slice(-200))
        })
    ),
    attempt(
      "terminals-linger",
      "Hold a terminal open when its program has ended, and print into what comes later",
      OWN,
      (arena) =>
        Effect.gen(function*() {
          const { executionId } = yield* starting(
            arena,
            "linger",
            raw`
signal.signal(signal.SIGHUP, signal.SIG_IGN)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        open("/workspace/lingers", "w").close()
        while True:
            try:
                os.write(1, b"late ")
            except OSError:
                pass
            time.sleep(0.001)
    os._exit(0)
while not os.path.exists("/workspace/lingers"):
    time.sleep(0.01)
`,
            { pty: SIZE }
          )
          yield* printed(arena, executionId, "until its end")
          const ended = yield* arena.sdk.getExecution(executionId)
          if (ended.status === "running") return escaped("it is not over when its program has ended")
          const { executionId: next } = yield* starting(arena, "next", "print('only this', flush=True)", { pty: SIZE })
          const said = yield* printed(arena, next, "until its end")
          return said.includes("late") ? escaped(`the next one printed ${said.slice(0, 80)}`) : held(said.trim())
        })
    ),
    attempt("inputs-never-read", "Have the engine keep what is never read", CREDIT, (arena) =>
      Effect.gen(function*() {
        const { executionId } = yield* starting(arena, "deaf", "print('up', flush=True)\nwhile True: time.sleep(9)", {
          stdin: true
        })
        yield* printed(arena, executionId, "up")
        const writing = yield* Effect.fork(arena.sdk.writeStdin(executionId, new Uint8Array(32 * 1024 * 1024)))
        const more = yield* Effect.fork(arena.sdk.writeStdin(executionId, new Uint8Array(32 * 1024 * 1024)))
        yield* Effect.sleep("500 millis")
        const isDone = writing.unsafePoll() !== null || more.unsafePoll() !== null
        const other = yield* arena.sdk.runTerminal(arena.sandboxId, "echo others go on")
        yield* Fiber.interrupt(writing)
        yield* Fiber.interrupt(more)
        yield* arena.sdk.cancelExecution(executionId)
        return isDone
          ? escaped("64 MiB were taken for a program that reads nothing")
          : held(`it waits; ${other.trim()}`)
      })),
    attempt(
      "inputs-jam",
      "Jam one's own input, so that the agent waits in it",
      "the agent never waits in a write",
      (arena) =>
        Effect.gen(function*() {
          const { executionId } = yield* starting(
            arena,
            "jam",
            raw`
number = os.open("/proc/self/fd/0", os.O_WRONLY | os.O_NONBLOCK)
try:
    fcntl.fcntl(0, 1031, 4096)
except OSError as error:
    print(code_of(error))
print("up", flush=True)
while True:
    try:
        while True:
            os.write(number, b"jam" * 1000)
    except BlockingIOError:
        time.sleep(0.001)
`,
            { stdin: true }
          )
          yield* printed(arena, executionId, "up")
          const writing = yield* Effect.fork(
            Effect.exit(arena.sdk.writeStdin(executionId, new Uint8Array(1024 * 1024)))
          )
          const other = yield* arena.sdk.runTerminal(arena.sandboxId, "echo others go on")
          yield* arena.sdk.cancelExecution(executionId)
          yield* Fiber.join(writing)
          return other === "others go on\n" ? held(other.trim()) : unclear(other)
        })
    )
  ]
}

/**
 * More of the machine than was given. Each takes a bounded amount, so that the host lives on where a wall is missing.
 */
import { Cause, Effect, Stream } from "effect"
import { type Attempt, bash, escaped, type Family, held, python, unclear } from "../Attempt.js"

const { raw } = String

const MEMORY = "memory limit of the control group; else RLIMIT_DATA of each process"
const PROCESSES = "pids limit of the control group, RLIMIT_NPROC"

/** Four times what the sandbox has. */
const memory = (id: string, title: string, hog: string): Attempt =>
  python(
    id,
    title,
    MEMORY,
    raw`
LIMIT, GOAL = 128, 512
MIB = 1 << 20
import tempfile
reader, writer = os.pipe()
def report(taken):
    os.write(writer, struct.pack("I", taken))
def last():
    os.set_blocking(reader, False)
    taken = 0
    try:
        while piece := os.read(reader, 65536):
            taken = max(taken, max(struct.unpack("%dI" % (len(piece) // 4), piece)))
    except BlockingIOError:
        pass
    return taken
def victim():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
def hog():
    victim()
${hog.trim().split("\n").map((line) => `    ${line}`).join("\n")}
said, status = in_child(hog)
taken = last()
if taken >= GOAL:
    escaped("took %d MiB of %d" % (taken, LIMIT))
else:
    held("%s after %d MiB" % (signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said.split("(")[0], taken))
`,
    { alone: { memoryMb: 128, processes: 32, fileSizeMb: 1024, tmpMb: 16, openFiles: 1024 }, limit: "memory" }
  )

/** What is left of a sandbox that has been mistreated must still run code, or have ended in order. */
const afterwards = (sandboxId: string, sdk: Parameters<Attempt["make"]>[0]["sdk"]) =>
  Effect.match(sdk.runCode(sandboxId, "6 * 7", { timeoutMs: 20_000 }), {
    onFailure: (error) => "code" in error ? String(error.code) : error._tag,
    onSuccess: ({ execution }) => execution.text === "42" ? "it runs on" : `6 * 7 is ${execution.text}`
  })

export const exhaustion: Family = {
  name: "exhaustion",
  title: "The machine's resources",
  attempts: [
    bash(
      "exhaustion-fork-bomb",
      "Fork bomb",
      PROCESSES,
      raw`
# Doubles, but no further than some 2000.
bomb() { if [ "$1" -gt 0 ]; then bomb $(($1 - 1)) & bomb $(($1 - 1)) & fi; sleep 2; }
(bomb 10) 2> /dev/null &
sleep 1
set -- /proc/[0-9]*
[ $# -gt 60 ] && escaped "$# processes" || held "$# processes"`,
      { alone: { processes: 32 }, limit: "process-count" }
    ),
    python(
      "exhaustion-forks",
      "Fork in a loop, out of the session",
      PROCESSES,
      raw`
children, failure = 0, None
while children < 1000:
    try:
        if os.fork() == 0:
            os.setsid()
            signal.pause()
            os._exit(0)
        children += 1
    except OSError as error:
        failure = error
        break
held("%s after %d" % (code_of(failure), children)) if failure and children <= 60 else escaped("%d processes" % children)
`,
      { alone: { processes: 32 }, limit: "process-count" }
    ),
    python(
      "exhaustion-threads",
      "Start threads without end",
      PROCESSES,
      raw`
import threading
started = 0
stop = threading.Event()
try:
    while started < 1000:
        threading.Thread(target=stop.wait, daemon=True).start()
        started += 1
    escaped("%d threads" % started)
except RuntimeError:
    held("EAGAIN after %d" % started) if started <= 60 else escaped("%d threads" % started)
stop.set()
`,
      { alone: { processes: 32 }, limit: "process-count" }
    ),
    python(
      "exhaustion-zombies",
      "Leave zombies without end",
      PROCESSES,
      raw`
made, failure = 0, None
while made < 1000:
    try:
        if os.fork() == 0:
            os._exit(0)
        made += 1
    except OSError as error:
        failure = error
        break
escaped("%d zombies" % made) if made > 60 else held("%s after %d" % (code_of(failure), made))
`,
      { alone: { processes: 32 }, limit: "process-count" }
    ),
    python(
      "exhaustion-orphans",
      "Leave orphans for the agent to bury",
      "the agent buries what is left to it",
      raw`
# By a shell, as each fork of this interpreter would take ten times as long.
for _ in range(100):
    subprocess.run(["/bin/sh", "-c", "true & true & true &"], check=True)
for _ in range(200):
    if len(numbers_in_proc()) <= 10:
        break
    time.sleep(0.02)
left = len(numbers_in_proc())
held("%d processes are left" % left) if left <= 10 else escaped("%d processes are left" % left)
`,
      { alone: { processes: 32 } }
    ),
    memory(
      "exhaustion-memory",
      "Memory: one process",
      `
kept = []
while len(kept) < GOAL:
    kept.append(bytearray(os.urandom(4096)) * 256)
    report(len(kept))`
    ),
    memory(
      "exhaustion-memory-many",
      "Memory: many processes, each a little",
      `
children = []
for number in range(16):
    ready, tell = os.pipe()
    child = os.fork()
    if child == 0:
        victim()
        kept = bytearray(os.urandom(4096)) * 256 * 32
        os.write(tell, b"x")
        signal.pause()
    os.close(tell)
    children.append(child)
    os.read(ready, 1)
    alive = sum(1 for each in children if os.waitpid(each, os.WNOHANG)[0] == 0)
    if alive < len(children):
        report(alive * 32)
        break
    report(alive * 32)
else:
    time.sleep(0.2)
    report(sum(1 for each in children if os.path.exists("/proc/%d" % each)) * 32)
for child in children:
    try:
        os.kill(child, signal.SIGKILL)
    except OSError:
        pass
return "ended"`
    ),
    memory(
      "exhaustion-memory-shared",
      "Memory: shared, without a file",
      `
memory = mmap.mmap(-1, GOAL * MIB)
for index in range(GOAL):
    memory[index * MIB:(index + 1) * MIB] = bytes([index % 255 + 1]) * MIB
    report(index + 1)`
    ),
    memory(
      "exhaustion-memory-segments",
      "Memory: segments that outlive their processes",
      `
libc.shmat.restype = ctypes.c_void_p
for index in range(GOAL // 16):
    segment = libc.shmget(0, 16 * MIB, 0o1600)
    address = libc.shmat(segment, None, 0)
    if segment < 0:
        return "refused"
    ctypes.memset(ctypes.c_void_p(address), 1, 16 * MIB)
    report((index + 1) * 16)`
    ),
    memory(
      "exhaustion-memory-files",
      "Memory: files without a place",
      `
file = os.memfd_create("mine")
for index in range(GOAL):
    os.write(file, bytes(MIB))
    report(index + 1)`
    ),
    memory(
      "exhaustion-memory-pipes",
      "Memory: the kernel's own, in pipes and sockets",
      `
taken = 0
kept = []
piece = bytes(MIB)
for number in range(400):
    reader_, writer_ = os.pipe()
    try:
        fcntl.fcntl(writer_, 1031, MIB)
    except OSError:
        pass
    os.set_blocking(writer_, False)
    left, right = socket.socketpair()
    left.setblocking(False)
    kept.append((reader_, writer_, left, right))
    for write in (lambda: os.write(writer_, piece), lambda: left.send(piece)):
        try:
            while True:
                taken += write()
        except OSError:
            pass
    report(taken // MIB)
return "at most %d MiB" % (taken // MIB)`
    ),
    python(
      "exhaustion-memory-folders",
      "Memory: fill every folder that is made of it",
      "a size for each tmpfs",
      raw`
total = 0
for folder in ("/tmp", "/dev/shm", "/run/sandbox", "/", "/dev", "/run", "/etc", "/opt", "/proc"):
    written = 0
    try:
        with open(folder + "/fill", "wb", buffering=0) as file:
            while written < 256 << 20:
                written += file.write(bytes(1 << 20))
        escaped("%d MiB in %s" % (written >> 20, folder))
    except OSError as error:
        held("%s %s" % (folder, code_of(error)))
    try:
        os.unlink(folder + "/fill")
    except OSError:
        pass
`,
      { alone: { fileSizeMb: 1024 } }
    ),
    python(
      "exhaustion-inodes-memory",
      "Inodes: fill the folders that are made of memory",
      MEMORY,
      raw`
reader, writer = os.pipe()
def fill():
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    made = 0
    for folder in ("/tmp", "/dev/shm", "/run/sandbox"):
        try:
            while made < 100000:
                os.close(os.open("%s/%d" % (folder, made), os.O_WRONLY | os.O_CREAT))
                made += 1
                if made % 1000 == 0:
                    os.write(writer, b"x")
        except OSError as error:
            return code_of(error)
    return made
said, status = in_child(fill)
os.set_blocking(reader, False)
try:
    made = len(os.read(reader, 65536)) * 1000
except BlockingIOError:
    made = 0
for folder in ("/tmp", "/dev/shm", "/run/sandbox"):
    subprocess.run(["find", folder, "-type", "f", "-delete"], stderr=subprocess.DEVNULL)
escaped("%d files, which take some 100 MiB" % made) if made >= 99000 else held("%s after %d files" % (
    signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else said, made))
`,
      { alone: { memoryMb: 64 }, limit: "memory", ended: "memory ran out" }
    ),
    python(
      "exhaustion-descriptors",
      "Descriptors without end",
      "RLIMIT_NOFILE",
      raw`
kept = []
try:
    while len(kept) < 100000:
        kept.append(os.open("/dev/null", os.O_RDONLY))
    escaped("%d files" % len(kept))
except OSError as error:
    held("%s after %d" % (code_of(error), len(kept))) if len(kept) <= 256 else escaped("%d files" % len(kept))
for each in kept:
    os.close(each)
`,
      { alone: { openFiles: 256 } }
    ),
    python(
      "exhaustion-descriptors-hidden",
      "Descriptors hidden in messages that nobody reads",
      "RLIMIT_NOFILE, by user",
      raw`
hidden, failure = 0, None
left, right = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
pairs = [(left, right)]
left.setblocking(False)
import array
try:
    while hidden < 100000:
        try:
            pairs[-1][0].sendmsg([b"x"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0] * 200))])
            hidden += 200
        except BlockingIOError:
            pairs.append(socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
            pairs[-1][0].setblocking(False)
    escaped("%d descriptors" % hidden)
except OSError as error:
    held("%s after %d" % (code_of(error), hidden))
`,
      { alone: { openFiles: 256 } }
    ),
    {
      id: "exhaustion-watches",
      title: "Take all watches of files, which a user has together",
      wall: "a user number per sandbox",
      alone: { openFiles: 4096 },
      limit: "user-allowances",
      make: (arena) =>
        Effect.gen(function*() {
          const said = yield* arena.sdk.runCode(
            arena.sandboxId,
            raw`
import ctypes
libc = ctypes.CDLL(None)
kept = []
while len(kept) < 4000:
    made = libc.inotify_init1(0)
    if made < 0:
        break
    kept.append(made)
print(len(kept))`
          )
          const { neighbour, sdk } = arena
          const id = neighbour.told.sandboxId
          const event = yield* sdk.watchFiles(id).pipe(
            Stream.take(1),
            Stream.runDrain,
            Effect.raceFirst(
              Effect.forever(Effect.zipRight(Effect.sleep("50 millis"), sdk.writeFile(id, "watched", "x")))
            ),
            Effect.timeout("10 seconds"),
            Effect.match({ onFailure: (error) => error.message, onSuccess: () => "seen" })
          )
          return event === "seen"
            ? held(`the neighbour watches on, after ${said.execution.logs.stdout.join("").trim()}`)
            : escaped(`the neighbour cannot watch files: ${event}`)
        })
    },
    python(
      "exhaustion-timers",
      "Take all pending signals and timers",
      "limits of the kernel, by user and namespace",
      raw`
made = 0
timer = ctypes.c_void_p()
librt = libc if hasattr(libc, "timer_create") else ctypes.CDLL("librt.so.1", use_errno=True)
while made < 200000 and librt.timer_create(0, None, ctypes.byref(timer)) == 0:
    made += 1
escaped("%d timers" % made) if made >= 200000 else held("EAGAIN after %d" % made)
`,
      { alone: {} }
    ),
    python(
      "exhaustion-queues",
      "Take all message queues",
      "limits of the kernel, by namespace",
      raw`
made = 0
if hasattr(libc, "mq_open"):
    while made < 10000 and libc.mq_open(b"/mine%d" % made, os.O_RDWR | os.O_CREAT, 0o600, None) >= 0:
        made += 1
while made < 100000 and libc.msgget(0, 0o1600) >= 0:
    made += 1
escaped("%d queues" % made) if made >= 100000 else held("refused after %d" % made)
`,
      { alone: {} }
    ),
    python(
      "exhaustion-processor",
      "Burn all processors",
      "processor time of the control group",
      raw`
begun, used = time.monotonic(), sum(os.times()[:4])
children = []
for _ in range(8):
    child = os.fork()
    if child == 0:
        end = time.monotonic() + 2
        while time.monotonic() < end:
            sum(range(10000))
        os._exit(0)
    children.append(child)
for child in children:
    os.waitpid(child, 0)
share = (sum(os.times()[:4]) - used) / (time.monotonic() - begun)
# Half a processor is what it has; without a limit eight burners take all that there are.
escaped("%.2f processors" % share) if share > 0.7 else held("%.2f processors" % share)
`,
      { alone: { cpus: 0.5 }, limit: "processor-time" }
    ),
    {
      id: "exhaustion-output",
      title: "Flood the engine with output",
      wall: "maxOutputSize, flow control by credit",
      alone: {},
      make: ({ sandboxId, sdk }) =>
        Effect.gen(function*() {
          const before = process.memoryUsage().rss
          const { execution, metadata } = yield* sdk.runCode(
            sandboxId,
            "import os\npiece = b'x' * 99 + b'\\n'\nfor _ in range(300):\n    os.write(1, piece * 10000)",
            { maxOutputSize: 1_000_000 }
          )
          const kept = execution.logs.stdout.join("").length
          const grown = Math.round((process.memoryUsage().rss - before) / 2 ** 20)
          const dropped = metadata.dropped?.stdout ?? 0
          return kept <= 1_000_000 && kept + dropped === 300_000_000 && grown < 250
            ? held(`${kept} bytes kept, ${dropped} counted`)
            : escaped(`${kept} bytes kept, ${dropped} dropped, ${grown} MiB more memory`)
        })
    },
    {
      id: "exhaustion-unread-output",
      title: "Flood a reader who does not read",
      wall: "flow control by credit: the program waits in its write",
      alone: {},
      make: ({ sandboxId, sdk }) =>
        Effect.gen(function*() {
          const written = yield* sdk.runCodeStream(
            sandboxId,
            `import os
total = 0
for _ in range(2000):
    total += os.write(1, b"x" * 100_000)
    with open("/workspace/total", "w") as file:
        file.write(str(total))`
          ).pipe(
            Stream.rechunk(1),
            Stream.filter(({ _tag }) => _tag === "Stdout"),
            Stream.take(1),
            Stream.mapEffect(() => Effect.zipRight(Effect.sleep("700 millis"), sdk.readFile(sandboxId, "total"))),
            Stream.runHead
          )
          const total = Number(written._tag === "Some" ? written.value : "0")
          return total > 0 && total < 16 * 2 ** 20
            ? held(`it waits after ${Math.round(total / 1024)} kB`)
            : escaped(`it wrote ${total} bytes`)
        })
    },
    {
      id: "exhaustion-endless",
      title: "Do not end when told to",
      wall: "interrupt, then SIGKILL to all that descends from the run",
      about: "interpreter",
      alone: {},
      make: ({ sandboxId, sdk }) =>
        Effect.gen(function*() {
          const ended = yield* Effect.flip(
            sdk.runCode(
              sandboxId,
              `import os, signal
for number in range(1, 32):
    if number not in (9, 19):
        try:
            signal.signal(number, signal.SIG_IGN)
        except OSError:
            pass
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
while True:
    pass`,
              { timeoutMs: 300 }
            ).pipe(
              Effect.timeoutFail({
                duration: "20 seconds",
                onTimeout: () => new Cause.TimeoutException("still running")
              })
            )
          )
          const after = yield* afterwards(sandboxId, sdk)
          const count = Number(yield* sdk.runTerminal(sandboxId, "ls -d /proc/[0-9]* | wc -l"))
          return "_tag" in ended && ended._tag === "TimeoutError" && after === "it runs on" && count <= 6
            ? held(`it was ended; ${after}`)
            : escaped(`${ended.message}; ${after}; ${count} processes`)
        }).pipe(Effect.catchAll(() => Effect.succeed(unclear("it ended by itself"))))
    },
    {
      id: "exhaustion-agent",
      title: "Freeze the agent, kill it, take its limits away",
      wall: "the agent is the first process of its namespace",
      about: "first process",
      alone: {},
      make: ({ run, sandboxId, sdk }) =>
        Effect.gen(function*() {
          const said = yield* run(
            "python",
            raw`
agent = os.getppid()
for number in (signal.SIGSTOP, signal.SIGKILL, signal.SIGSEGV, signal.SIGABRT, signal.SIGTERM, signal.SIGSYS):
    os.kill(agent, number)
held("no signal hurts it")
`,
            5_000
          )
          const after = yield* afterwards(sandboxId, sdk)
          const limited = yield* run(
            "python",
            "resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE, (3, 3))\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (1, 1))",
            5_000
          )
          // It may do this harm to itself; it must be said, in time.
          const last = yield* afterwards(sandboxId, sdk)
          return said.includes("HELD") && after === "it runs on"
            ? held(`no signal hurts it; without descriptors: ${last}`)
            : escaped(`${said} ${after} ${limited} ${last}`)
        }).pipe(Effect.catchAll((error) => Effect.succeed(escaped(error.message))))
    }
  ]
}

/**
 * Processes: of the host, and the agent inside, which speaks for the sandbox.
 */
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"
import { escaped, type Family, held, python, unclear } from "../Attempt.js"

const { raw } = String

const CLOSED = "process namespace; the agent's memory is closed (PR_SET_DUMPABLE)"
const CALLS = "seccomp filter"

/**
 * The agent is the parent of the interpreter, and the first process; or that is a shell, which buries orphans, holds nothing
 * and knows nothing.
 */
const agent = raw`
agent = os.getppid()
closed = (agent,) if read("/proc/1/comm").strip() == b"sh" else (1, agent)
`

export const processes: Family = {
  name: "processes",
  title: "Processes of the host, and the agent",
  attempts: [
    python(
      "processes-environment",
      "Read the environment of all processes",
      CLOSED,
      agent + raw`
for number in numbers_in_proc():
    try:
        content = read("/proc/%d/environ" % number)
        names = {each.split(b"=")[0].decode("utf-8", "replace") for each in content.split(b"\0") if each}
        print(content)
        held("process %d: %s" % (number, ",".join(sorted(names)) or "empty"))
    except OSError as error:
        held(code_of(error))
for name in os.environ:
    if name in ("ENGINE_SECRET", "SSH_AUTH_SOCK", "SUDO_USER", "AWS_SECRET_ACCESS_KEY", "NODE_OPTIONS", "TMPDIR"):
        escaped("the engine's variable " + name)
`
    ),
    python(
      "processes-memory",
      "Open the memory of other processes",
      CLOSED,
      agent + raw`
for number in closed:
    for name in ("mem", "maps", "smaps", "pagemap", "auxv", "syscall", "stack", "map_files", "environ", "io", "personality"):
        path = "/proc/%d/%s" % (number, name)
        for flags in (os.O_RDONLY, os.O_RDWR):
            def attempt():
                file = os.open(path, flags)
                # The kernel asks at the opening of some, at the reading of others.
                return os.listdir(file) if name == "map_files" else name == "mem" or os.read(file, 1)
            if not (flags == os.O_RDWR and name in ("maps", "smaps", "auxv", "stack", "map_files", "io", "environ")):
                refused("open " + path, attempt)
`
    ),
    python(
      "processes-agent-descriptors",
      "Take the agent's line to the engine",
      CLOSED,
      agent + raw`
for number in closed:
    refused("list", lambda: os.listdir("/proc/%d/fd" % number))
    for descriptor in range(16):
        refused("open", lambda: os.open("/proc/%d/fd/%d" % (number, descriptor), os.O_RDWR))
        refused("info", lambda: read("/proc/%d/fdinfo/%d" % (number, descriptor)))
`
    ),
    python(
      "processes-descriptor-copy",
      "Copy the agent's descriptors (pidfd_getfd)",
      CALLS,
      agent + raw`
for number in (1, agent):
    process = os.pidfd_open(number)
    for descriptor in range(8):
        denied("pidfd_getfd", lambda: call("pidfd_getfd", process, descriptor, 0))
`
    ),
    python(
      "processes-ptrace",
      "Trace other processes",
      CALLS,
      agent + raw`
PTRACE_TRACEME, PTRACE_ATTACH, PTRACE_SEIZE = 0, 16, 0x4206
for number in (1, agent, H["victim"]):
    denied("attach", lambda: call("ptrace", PTRACE_ATTACH, number, 0, 0))
    denied("seize", lambda: call("ptrace", PTRACE_SEIZE, number, 0, 0))
said, _ = in_child(lambda: call("ptrace", PTRACE_TRACEME, 0, 0, 0))
held(said) if "EPERM" in said else escaped("traced: " + said)
`
    ),
    python(
      "processes-remote-memory",
      "Read and write other processes' memory by system call",
      CALLS,
      agent + raw`
buffer = ctypes.create_string_buffer(64)
local = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 64)
remote = (ctypes.c_size_t * 2)(0x400000, 64)
for number in (1, agent):
    denied("read", lambda: call("process_vm_readv", number, local, 1, remote, 1, 0))
    denied("write", lambda: call("process_vm_writev", number, local, 1, remote, 1, 0))
    process = os.pidfd_open(number)
    denied("advise", lambda: call("process_madvise", process, remote, 1, 21, 0))
    denied("kcmp", lambda: call("kcmp", os.getpid(), number, 0, 3, 3))
`
    ),
    python(
      "processes-namespaces",
      "Join the namespaces of other processes",
      CALLS,
      agent + raw`
for number in (1, agent):
    for kind in ("user", "mnt", "pid", "net", "ipc", "uts", "cgroup", "time"):
        def join():
            with open("/proc/%d/ns/%s" % (number, kind)) as file:
                return call("setns", file.fileno(), 0)
        refused("join " + kind, join, *REFUSALS)
    process = os.pidfd_open(number)
    denied("join all", lambda: call("setns", process, 0x10020000))
`
    ),
    python(
      "processes-priority",
      "Get ahead of the host by priority",
      "unprivileged user, limits",
      raw`
refused("nice", lambda: os.setpriority(os.PRIO_PROCESS, 0, -20))
for policy in (os.SCHED_FIFO, os.SCHED_RR):
    refused("real time", lambda: os.sched_setscheduler(0, policy, os.sched_param(50)))
deadline = struct.pack("IIQiIQQQ", 48, 6, 0, 0, 0, 10_000_000, 100_000_000, 100_000_000)
refused("deadline", lambda: call("sched_setattr", 0, deadline, 0))
refused("disk first", lambda: call("ioprio_set", 1, 0, 1 << 13))
refused("immortal", lambda: os.write(os.open("/proc/self/oom_score_adj", os.O_WRONLY), b"-1000"))
refused("others' priority", lambda: os.setpriority(os.PRIO_PROCESS, H["victim"], 19))
`
    ),
    python(
      "processes-limits",
      "Raise one's own limits",
      "hard limits, no capabilities",
      raw`
for name in ("RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_FSIZE", "RLIMIT_CORE"):
    what = getattr(resource, name)
    hard = resource.getrlimit(what)[1]
    if hard == resource.RLIM_INFINITY:
        escaped(name + " has no limit")
    else:
        try:
            resource.setrlimit(what, (hard + 1, hard + 1))
            escaped(name + " was raised")
        except (OSError, ValueError) as error:
            held("EPERM")
`
    ),
    python(
      "processes-core",
      "Leave a core dump, or have the host's crash handler look at one",
      "RLIMIT_CORE of 0",
      raw`
pattern = read("/proc/sys/kernel/core_pattern").decode().strip()
os.chdir("/workspace")
for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGQUIT):
    _, status = in_child(lambda: os.kill(os.getpid(), number))
    if os.WCOREDUMP(status):
        escaped("a core was dumped: " + pattern)
left = glob.glob("/workspace/core*") + glob.glob("/tmp/core*")
escaped(left) if left else held("no core is left")
`,
      { limit: "crash-handler" }
    ),
    {
      id: "processes-survive",
      title: "Live on when the sandbox is gone",
      wall: "process namespace: it ends with its first process",
      alone: {},
      make: (arena) =>
        Effect.gen(function*() {
          const mark = `survivor-${arena.sandboxId}`
          yield* arena.sdk.runCode(
            arena.sandboxId,
            raw`
import os, signal
for _ in range(5):
    if os.fork() == 0:
        os.setsid()
        for number in range(1, 32):
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_IGN)
        if os.fork() == 0:
            os.execv("/bin/sh", [${JSON.stringify(mark)}, "-c", "trap '' HUP INT TERM; while :; do sleep 1000; done"])
        os._exit(0)
`
          )
          const living = Effect.sync(() =>
            readdirSync("/proc").filter((pid) => {
              try {
                return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "utf8").startsWith(mark)
              } catch {
                return false
              }
            })
          )
          yield* Effect.repeat(Effect.delay(living, "20 millis"), { until: (found) => found.length >= 5, times: 250 })
          const before = yield* living
          yield* arena.sdk.deleteSandbox(arena.sandboxId)
          const left = yield* living
          return before.length < 5
            ? unclear(`only ${before.length} of them were there before`)
            : left.length === 0
            ? held("none is left")
            : escaped(`processes ${left.join(", ")} are left`)
        })
    }
  ]
}

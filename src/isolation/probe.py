"""Tries, from inside a sandbox, what must not work and what must.

It stands in the place of the agent: one line of JSON comes in on descriptor 3 (with `--stdio`: on standard input), one JSON
object goes out. Each attempt is
`name: [held, detail]`; `held` is true when the wall, or the promise, held.
"""
import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import stat
import sys
import time

if "--stdio" in sys.argv:
    incoming, outgoing = os.fdopen(0, "rb", buffering=0), os.fdopen(1, "wb", buffering=0)
else:
    incoming = outgoing = os.fdopen(3, "r+b", buffering=0)
options = json.loads(incoming.readline())
libc = ctypes.CDLL(None, use_errno=True)
attempts = {}


def record(name, held, detail=""):
    attempts[name] = [bool(held), str(detail)[:300]]


def read(path, size=65536):
    with open(path, "rb") as file:
        return file.read(size)


def refused(name, action, *expected):
    """Holds when the action fails, by one of the expected errors where some are named."""
    try:
        got = action()
        # What is hidden may be there, with nothing in it.
        record(name, got in (b"", []), "worked: %r" % (got,))
    except OSError as error:
        ok = not expected or error.errno in expected
        record(name, ok, error.strerror)


def call(number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(arg) for arg in args])
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def write_only(path):
    os.close(os.open(path, os.O_WRONLY))
    return "opened"


def create(path):
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))
    os.unlink(path)
    return "created"


def works(name, action):
    try:
        action()
        record(name, True)
    except OSError as error:
        record(name, False, error.strerror)


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.settimeout(2)
        client.connect(address)
    return "connected"


def in_child(action):
    """The wait status of a child that does it."""
    pid = os.fork()
    if pid == 0:
        try:
            action()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitpid(pid, 0)[1]


def namespaced_clone(flags):
    numbers = {"x86_64": 56, "aarch64": 220}
    pid = call(numbers[os.uname().machine], flags | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    return pid


# Who it is, and what it may do.
status = dict(line.split(":\t", 1) for line in read("/proc/self/status").decode().splitlines() if ":\t" in line)
uid, gid = options["user"]
record("user", os.getresuid() == (uid,) * 3 and os.getresgid() == (gid,) * 3 and uid != 0, os.getresuid())
record("groups", set(os.getgroups()) <= {gid}, os.getgroups())
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    record(name, int(status[name], 16) == 0, status[name])
record("NoNewPrivs", status["NoNewPrivs"] == "1", status["NoNewPrivs"])
record("Seccomp", status["Seccomp"] == "2", status["Seccomp"])

# System calls that the filter refuses, each by the error that the filter gives.
x64 = os.uname().machine == "x86_64"
buffer = ctypes.create_string_buffer(256)
pointer = ctypes.addressof(buffer)
for name, on_x64, on_arm64, args in (
    ("unshare", 272, 97, (0x10000000,)),
    ("setns", 308, 268, (3, 0)),
    ("mount", 165, 40, (pointer, pointer, pointer, 0, 0)),
    ("chroot", 161, 51, (pointer,)),
    ("pivot_root", 155, 41, (pointer, pointer)),
    ("ptrace", 101, 117, (16, 1, 0, 0)),
    ("process_vm_readv", 310, 270, (1, pointer, 1, pointer, 1, 0)),
    ("add_key", 248, 217, (pointer, pointer, pointer, 1, -4)),
    ("keyctl", 250, 219, (0, -3, 0)),
    ("bpf", 321, 280, (5, pointer, 128)),
    ("perf_event_open", 298, 241, (pointer, 0, -1, -1, 0)),
    ("userfaultfd", 323, 282, (1,)),
    ("io_uring_setup", 425, 425, (4, pointer)),
    ("open_by_handle_at", 304, 265, (-100, pointer, 0)),
    ("kexec_load", 246, 104, (0, 0, 0, 0)),
    ("init_module", 175, 105, (pointer, 0, pointer)),
    ("reboot", 169, 142, (0, 0, 0, 0)),
    ("clock_settime", 227, 112, (0, pointer)),
    ("syslog", 103, 116, (3, pointer, 200)),
):
    number = on_x64 if x64 else on_arm64
    refused("call " + name, lambda: call(number, *args), errno.EPERM)
refused("call clone3", lambda: call(435, pointer, 88), errno.ENOSYS)
refused("call of the future", lambda: call(600), errno.ENOSYS)
if x64:
    # Refused, or the end of who tries.
    result = in_child(lambda: call(0x40000000 | 39))
    record("call by x32", result != 0, "worked")
refused("terminal injection", lambda: fcntl.ioctl(3, 0x5412, b"x"), errno.EPERM)
refused("call for a line discipline", lambda: fcntl.ioctl(3, 0x5423, b"\0\0\0\0"), errno.EPERM)
for name, flag in (("user", 0x10000000), ("mount", 0x20000), ("pid", 0x20000000), ("network", 0x40000000)):
    refused("clone into a new %s namespace" % name, lambda: namespaced_clone(flag), errno.EPERM)
for name, family in (("VSOCK", 40), ("ALG", 38), ("PACKET", 17), ("XDP", 44), ("BLUETOOTH", 31), ("TIPC", 30)):
    refused("socket AF_" + name, lambda: socket.socket(family, socket.SOCK_STREAM).close(), errno.EAFNOSUPPORT)
refused("netlink beyond routes", lambda: socket.socket(16, socket.SOCK_RAW, 15).close(), errno.EPROTONOSUPPORT)

# The host's files.
secrets = options["hidden"]
around = ["/proc/1/root" + options["canary"], "/proc/1/cwd/../.." + options["canary"], "/proc/1/mem"]
for path in secrets + around:
    refused("read " + path, lambda: os.listdir(path) if os.path.isdir(path) else read(path, 64))
for folder in ("/", "/usr", "/usr/bin", "/etc", "/dev", "/run", "/opt/sandbox", "/proc"):
    refused("write to " + folder, lambda: create(os.path.join(folder, "probe")))
for folder in ("/workspace", "/tmp", "/dev/shm", "/run/sandbox"):
    works("use " + folder, lambda: create(os.path.join(folder, "probe")))
for path in (
    "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/hostname", "/proc/sys/vm/overcommit_memory", "/proc/sysrq-trigger",
    # These belong to the namespaces of the sandbox.
    "/proc/sys/kernel/msgmax", "/proc/sys/fs/mqueue/msg_max", "/proc/sys/net/ipv4/ip_forward"
):
    refused("open for writing " + path, lambda: write_only(path))

# Devices, the terminal, descriptors, the environment.
known = {
    "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm",
    "stderr", "stdin", "stdout", "tty", "urandom", "zero",
}
record("devices", set(os.listdir("/dev")) <= known, sorted(set(os.listdir("/dev")) - known))
refused("make a device", lambda: os.mknod("/tmp/device", 0o600 | stat.S_IFBLK, os.makedev(254, 0)))
refused("open the terminal", lambda: write_only("/dev/tty"))
record("session", os.getsid(0) > 0, os.getsid(0))
leaked = []
for name in os.listdir("/proc/self/fd"):
    try:
        found = os.fstat(int(name))
    except OSError:
        continue
    if int(name) > 3 and not (stat.S_ISCHR(found.st_mode) and found.st_rdev == os.makedev(1, 3)):
        leaked.append(os.readlink("/proc/self/fd/" + name))
record("descriptors", not leaked, leaked)
variables = set(options["variables"])
record("environment", set(os.environ) <= variables, sorted(set(os.environ) - variables))
try:
    first = read("/proc/1/environ")
except OSError:
    first = b""
names = {each.split(b"=")[0].decode("utf-8", "replace") for each in first.split(b"\0") if each}
record("environment of the first process", names <= variables, sorted(names - variables))

# Other processes.
visible = [int(name) for name in os.listdir("/proc") if name.isdigit()]
record("own number", os.getpid() < 10, os.getpid())
record("visible processes", len(visible) <= 4, visible)


def freeze_the_first():
    os.kill(1, signal.SIGSTOP)
    os.kill(1, signal.SIGKILL)


# It is this one: if it can be killed, nobody reports.
record("end of the first process", in_child(freeze_the_first) == 0)

# The network.
record("interfaces", [name for _, name in socket.if_nameindex()] == ["lo"], socket.if_nameindex())
refused("host loopback", lambda: connect(socket.AF_INET, ("127.0.0.1", options["port"])))
refused("host abstract socket", lambda: connect(socket.AF_UNIX, "\0" + options["socket"]))
refused("metadata service", lambda: connect(socket.AF_INET, ("169.254.169.254", 80)))

# Sizes.
for path, limit in options["sizes"].items():
    found = os.statvfs(path)
    record("size of " + path, 0 < found.f_blocks * found.f_frsize <= limit, found.f_blocks * found.f_frsize)

# Limits of all processes together.
if options["limits"]["processes"]:
    children = []
    error = None
    try:
        while len(children) <= options["processes"] + 8:
            pid = os.fork()
            if pid == 0:
                signal.pause()
                os._exit(0)
            children.append(pid)
    except OSError as failure:
        error = failure
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)
    record("limit of processes", error is not None and error.errno == errno.EAGAIN, len(children))
if options["limits"]["memory"]:
    def hog():
        # So that the kernel takes this one.
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        kept = []
        while len(kept) <= options["memory"] // 1048576 + 16:
            kept.append(bytearray(os.urandom(4096)) * 256)

    result = in_child(hog)
    record("limit of memory", os.WIFSIGNALED(result) and os.WTERMSIG(result) == signal.SIGKILL, result)
if options["limits"]["cpu"]:
    def spin():
        end = time.monotonic() + 0.6
        while time.monotonic() < end:
            pass

    # Twice what it may have. On a machine with nothing to spare they would get no more either.
    before = os.times()
    started = time.monotonic()
    spinning = []
    for _ in range(2 * max(1, int(options["cpus"]))):
        pid = os.fork()
        if pid == 0:
            spin()
            os._exit(0)
        spinning.append(pid)
    for pid in spinning:
        os.waitpid(pid, 0)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    share = used / (time.monotonic() - started)
    record("limit of processor time", share <= options["cpus"] * 1.3, "%.2f of a processor" % share)

if options["limits"]["disk"]:
    def fill(limit, step):
        """How often a step works until the disk is full, and what it fails with."""
        for count in range(limit + 1):
            try:
                step(count)
            except OSError as failure:
                return count, failure.errno
        return limit + 1, None

    with open("/workspace/fill", "wb", buffering=0) as file:
        count, error = fill(options["disk"]["bytes"] // 65536, lambda count: file.write(bytes(65536)))
    os.unlink("/workspace/fill")
    record("limit of bytes in /workspace", error == errno.ENOSPC, "%d of 64 KiB" % count)
    os.mkdir("/workspace/many")
    count, error = fill(options["disk"]["files"], lambda count: os.mknod("/workspace/many/%d" % count))
    for number in range(count):
        os.unlink("/workspace/many/%d" % number)
    os.rmdir("/workspace/many")
    record("limit of files in /workspace", error == errno.ENOSPC, "%d files" % count)

# What must not outlive the sandbox: out of the session, deaf to signals.
if os.fork() == 0:
    os.setsid()
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        while True:
            signal.pause()
    os._exit(0)

open("/workspace/probe", "w").close()
report = {"attempts": attempts, "namespace": os.readlink("/proc/self/ns/pid")}
outgoing.write(json.dumps(report).encode() + b"\n")
# Until the engine has seen enough, and ends this.
incoming.read()
sys.exit(0)

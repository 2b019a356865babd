/**
 * Other sandboxes of the same engine.
 */
import { type Family, python } from "../Attempt.js"

const { raw } = String

export const siblings: Family = {
  name: "siblings",
  title: "Other sandboxes",
  attempts: [
    python(
      "siblings-files",
      "Read another sandbox's files",
      "mount namespace, a user number per sandbox",
      raw`
N = H["neighbour"]
found = 0
for folder in ("/workspace", "/tmp", "/dev/shm", "/run", "/opt", "/var", "/home", "/mnt"):
    for path in glob.glob(folder + "/**", recursive=True):
        if os.path.basename(path) == "secret" or N["sandboxId"] in path:
            escaped("found %s: %r" % (path, read(path) if os.path.isfile(path) else os.listdir(path)))
# Its folder has the same parents as one's own, which the list of mounts tells.
for line in read("/proc/self/mountinfo").decode().splitlines():
    root, point = line.split(" ")[3:5]
    if point == "/workspace":
        parents = root.split("/")
        for depth in range(1, len(parents)):
            for rest in (N["sandboxId"] + "/workspace/secret", "workspace/secret"):
                refused("read", lambda: read("/".join(parents[:depth]) + "/" + rest))
held("no such file")
`
    ),
    python(
      "siblings-loopback",
      "Connect to a port that another sandbox listens on",
      "network namespace",
      raw`
refused("connect", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", H["neighbour"]["tcp"])))
refused("connect", lambda: connect(socket.AF_INET, socket.SOCK_STREAM, ("0.0.0.0", H["neighbour"]["tcp"])))
refused("connect", lambda: connect(socket.AF_INET6, socket.SOCK_STREAM, ("::1", H["neighbour"]["tcp"])))
`
    ),
    python(
      "siblings-abstract-socket",
      "Connect to another sandbox's abstract socket",
      "network namespace",
      raw`
refused("connect", lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + H["neighbour"]["abstractSocket"]))
if H["neighbour"]["abstractSocket"] in read("/proc/net/unix").decode():
    escaped("it is in the list of sockets")
`
    ),
    python(
      "siblings-shared-memory",
      "Attach another sandbox's shared memory",
      "IPC namespace",
      raw`
libc.shmat.restype = ctypes.c_void_p
def attach(memory):
    address = libc.shmat(memory, None, 0o10000)
    return ctypes.string_at(address, 64) if address not in (None, ctypes.c_void_p(-1).value) else None
memory = libc.shmget(H["neighbour"]["sharedMemory"], 0, 0)
if memory >= 0:
    escaped("by its key: %r" % attach(memory))
for number in list(range(64)) + [index << 15 for index in range(64)]:
    content = attach(number)
    if content is not None:
        escaped("by its number: %r" % content)
held("%d others in the list" % (len(read("/proc/sysvipc/shm").decode().splitlines()) - 1))
`
    ),
    python(
      "siblings-message-queue",
      "Read another sandbox's message queue",
      "IPC namespace",
      raw`
def take():
    ctypes.set_errno(0)
    queue = libc.mq_open(H["neighbour"]["queue"].encode(), os.O_RDONLY | os.O_NONBLOCK)
    if queue < 0:
        raise OSError(ctypes.get_errno(), "mq_open")
    buffer = ctypes.create_string_buffer(8192)
    libc.mq_receive(queue, buffer, 8192, None)
    return buffer.value
if hasattr(libc, "mq_open"):
    refused("receive", take)
held("%d others in the list" % (len(read("/proc/sysvipc/msg").decode().splitlines()) - 1))
`
    ),
    python(
      "siblings-processes",
      "See another sandbox's processes, their arguments and environment",
      "process namespace",
      raw`
for number in numbers_in_proc():
    for name in ("cmdline", "environ", "comm", "status"):
        try:
            content = read("/proc/%d/%s" % (number, name))
        except OSError as error:
            held(code_of(error))
            continue
        if b"neighbour-" in content or H["victimName"].encode() in content:
            escaped("process %d: %r" % (number, content))
held("%d processes are visible" % len(numbers_in_proc()))
`
    ),
    python(
      "siblings-kill",
      "Kill everything that can be killed",
      "process namespace",
      raw`
if os.fork() == 0:
    # All but the caller, and the first of the namespace (kill(2)).
    os.kill(-1, signal.SIGKILL)
    os._exit(0)
time.sleep(5)
`,
      { alone: {}, ended: "it was ended by SIGKILL" }
    ),
    python(
      "siblings-signal-by-number",
      "Kill processes by guessed numbers",
      "process namespace",
      raw`
visible = set(numbers_in_proc())
reached = []
for number in range(1, 40000):
    if number not in visible:
        try:
            os.kill(number, 0)
        except ProcessLookupError:
            continue
        except PermissionError:
            pass
        # Unless it is a thread, or has come into being meanwhile.
        if not os.path.exists("/proc/%d" % number):
            reached.append(number)
for number in visible & {H["victim"], H["engine"]}:
    if H["victimName"].encode() in read("/proc/%d/cmdline" % number) or number == H["engine"]:
        escaped("process %d is in sight: %r" % (number, read("/proc/%d/cmdline" % number)))
for number in {H["victim"]} - visible:
    refused("kill", lambda: os.kill(number, signal.SIGKILL))
escaped(reached) if reached else held("ESRCH")
`
    ),
    python(
      "siblings-signal-by-file",
      "Have the kernel send signals for a file, to processes of others",
      "process namespace",
      raw`
left, right = socket.socketpair()
for number in (H["victim"], H["engine"], -H["victim"]):
    def own():
        fcntl.fcntl(left, fcntl.F_SETOWN, number)
        fcntl.fcntl(left, 10, signal.SIGKILL)
        fcntl.fcntl(left, fcntl.F_SETFL, fcntl.fcntl(left, fcntl.F_GETFL) | os.O_ASYNC | os.O_NONBLOCK)
        right.send(b"x")
        return "signalled"
    if abs(number) not in numbers_in_proc():
        refused("own", own)
held("ESRCH")
`
    ),
    python(
      "siblings-queue-names",
      "Find names that all sandboxes share",
      "IPC, UTS and network namespaces",
      raw`
if socket.gethostname() == H["hostName"] and H["hostName"] not in ("sandbox", "localhost"):
    escaped("the host's name is visible")
held(socket.gethostname())
for path in ("/proc/net/tcp", "/proc/net/tcp6", "/proc/net/udp", "/proc/net/unix"):
    content = read(path, 1 << 20).decode()
    for port in (H["tcp"], H["tcp6"], H["udp"], H["everywhere"]):
        if ":%04X " % port in content:
            escaped("port %d of the host is in %s" % (port, path))
    if H["abstractSocket"] in content or H["unixSocket"] in content:
        escaped("a socket of the host is in " + path)
`
    )
  ]
}

/**
 * The host's files.
 */
import { bash, type Family, python } from "../Attempt.js"

const { raw } = String

const MOUNTS = "mount namespace with a root of its own"
const READ_ONLY = "read-only mounts, unprivileged user"
const NO_MOUNTS = "seccomp filter, no capabilities"
const DEVICES = "a /dev of its own, no mknod"

const tampering = raw`
def tamper(paths):
    for path in paths:
        folder = os.path.dirname(path)
        for what, action in (
            ("open", lambda: open_for_writing(path)),
            ("append", lambda: os.close(os.open(path, os.O_WRONLY | os.O_APPEND))),
            ("truncate", lambda: os.truncate(path, 0)),
            ("unlink", lambda: os.unlink(path)),
            ("rename", lambda: os.rename(path, path + ".away")),
            ("replace", lambda: os.rename("/workspace/mine", path)),
            ("chmod", lambda: os.chmod(path, 0o777)),
            ("chown", lambda: os.chown(path, os.getuid(), -1)),
            ("attribute", lambda: os.setxattr(path, "user.mine", b"1")),
            ("time", lambda: os.utime(path, (1, 1))),
            ("neighbour", lambda: os.close(os.open(folder + "/sitecustomize.py", os.O_WRONLY | os.O_CREAT))),
            ("map", lambda: mmap.mmap(os.open(path, os.O_RDWR), 0, mmap.MAP_SHARED, mmap.PROT_WRITE))
        ):
            open("/workspace/mine", "w").close()
            refused(what + " " + path, action)
`

export const files: Family = {
  name: "files",
  title: "Files of the host",
  attempts: [
    python(
      "files-canary",
      "Read a file of the host by its path",
      MOUNTS,
      raw`
for path in H["canaries"]:
    refused("read", lambda: read(path))
    refused("list", lambda: os.listdir(os.path.dirname(path)))
`
    ),
    python(
      "files-private",
      "Read the host's passwords, keys, logs and names",
      MOUNTS,
      raw`
for path, digest in H["known"]:
    try:
        if hashlib.sha256(read(path, 1 << 26)).hexdigest() == digest:
            escaped("read " + path)
    except OSError as error:
        held(code_of(error))
for folder in ("/root", "/home", "/boot", "/var/log", "/mnt", "/media", "/srv"):
    try:
        for path in glob.glob(folder + "/**", recursive=True):
            if os.path.isfile(path):
                read(path, 64)
                escaped("read " + path)
    except OSError as error:
        held(code_of(error))
held("nothing there")
`
    ),
    python(
      "files-write",
      "Write to a folder of the host that everybody may write to",
      MOUNTS,
      raw`
refused("write", lambda: open(os.path.join(H["drop"], "planted"), "w").close())
for folder in ("/etc/cron.d", "/etc/profile.d", "/root", "/var/spool/cron", "/lib/systemd/system"):
    refused("plant in " + folder, lambda: open(folder + "/planted", "w").close())
`
    ),
    python(
      "files-proc-root",
      "Go through /proc/*/root and /proc/*/cwd",
      MOUNTS,
      raw`
for number in ["self", "thread-self"] + numbers_in_proc():
    for start in ("root", "cwd", "cwd/../../../../../../..", "root/proc/1/root", "task/%s/root" % number):
        for path in H["canaries"]:
            refused("read", lambda: read("/proc/%s/%s%s" % (number, start, path)))
`
    ),
    python(
      "files-descriptor-climb",
      "Climb up from every open folder",
      MOUNTS,
      raw`
tried = 0
for folder in glob.glob("/proc/*/fd/*") + ["/workspace", "/opt/sandbox", "/usr", "/proc", "/dev"]:
    try:
        start = os.open(folder, os.O_PATH | os.O_DIRECTORY)
    except OSError:
        continue
    for path in H["canaries"]:
        tried += 1
        refused("climb from " + folder, lambda: os.close(os.open("../" * 40 + path[1:], os.O_RDONLY, dir_fd=start)))
    os.close(start)
`
    ),
    python(
      "files-working-folder",
      "Start in a folder that an open descriptor leads out to (CVE-2024-21626)",
      MOUNTS,
      raw`
for number in range(0, 260):
    for path in H["canaries"]:
        try:
            os.chdir("/proc/self/fd/%d" % number)
            refused("climb", lambda: read("../" * 40 + path[1:]))
        except OSError as error:
            held(code_of(error))
        os.chdir("/workspace")
`
    ),
    bash(
      "files-symlink",
      "Follow a link of one's own",
      MOUNTS,
      raw`
for path in $(python3 -c 'import json, sys; print(*json.loads(sys.argv[1])["canaries"])' "$H"); do
  ln -sfn "$path" link; refused cat link
  ln -sfn "$(dirname "$path")" folder; refused ls folder/
  refused cat "/workspace/../..$path"
done
rm -f link folder`
    ),
    python(
      "files-hard-link",
      "Take a hard link of a file that is not one's own",
      "mounts apart from each other",
      raw`
for path in (sys.executable, "/usr/bin/env", "/opt/sandbox/agent.py", "/etc/passwd", "/etc/ld.so.cache", "/proc/1/exe"):
    refused("link " + path, lambda: os.link(path, "/workspace/linked"))
    refused("link the target of " + path, lambda: os.link(path, "/workspace/linked", follow_symlinks=True))
`
    ),
    python(
      "files-handle",
      "Open files by their handles, past all paths",
      NO_MOUNTS,
      raw`
# The "shocker": inode 2 is the root of most file systems.
mount = os.open("/workspace", os.O_RDONLY)
for inode in (2, 128, 256):
    handle = ctypes.create_string_buffer(struct.pack("IiII", 8, 1, inode, 0), 64)
    denied("open_by_handle_at", lambda: call("open_by_handle_at", mount, handle, os.O_RDONLY))
buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0), 160)
number = ctypes.c_int()
denied("name_to_handle_at", lambda: call("name_to_handle_at", mount, b".", buffer, ctypes.byref(number), 0))
`
    ),
    python(
      "files-disk",
      "Read the host's disk as a device",
      DEVICES,
      raw`
for major, minor in H["devices"] + [[8, 0], [253, 0], [254, 0], [259, 0], [7, 0]]:
    for folder in ("/workspace", "/tmp", "/dev/shm"):
        path = folder + "/disk"
        def attempt():
            os.mknod(path, 0o600 | stat.S_IFBLK, os.makedev(major, minor))
            return read(path, 512)
        refused("read device %d:%d" % (major, minor), attempt)
refused("read memory", lambda: (os.mknod("/workspace/mem", 0o600 | stat.S_IFCHR, os.makedev(1, 1)), read("/workspace/mem", 1)))
`
    ),
    python(
      "files-device-nodes",
      "Find a device that leads out",
      DEVICES,
      raw`
harmless = {
    "console", "core", "fd", "full", "mqueue", "null", "ptmx", "pts", "random", "shm", "stderr", "stdin", "stdout", "tty",
    "urandom", "zero"
}
for name in os.listdir("/dev"):
    status = os.stat("/dev/" + name) if os.path.exists("/dev/" + name) else None
    if status and (stat.S_ISBLK(status.st_mode) or name not in harmless):
        escaped("there is a device " + name)
for name in ("mem", "kmem", "port", "kmsg", "kvm", "fuse", "net/tun", "vsock", "vhost-vsock", "loop-control", "loop0",
    "dri/card0", "dri/renderD128", "nvidia0", "mapper/control", "userfaultfd", "cpu/0/msr", "uinput", "snd/seq", "vda",
    "sda", "nvme0n1", "hpet", "rtc", "ppp", "sg0", "vga_arbiter", "autofs", "btrfs-control", "cuse", "snapshot"):
    refused("open " + name, lambda: os.close(os.open("/dev/" + name, os.O_RDWR | os.O_NONBLOCK)))
`
    ),
    python(
      "files-memory",
      "Read the kernel's memory",
      "an empty /proc/kcore, no such devices",
      raw`
for path in ("/proc/kcore", "/proc/kmem", "/proc/vmcore", "/dev/mem", "/dev/kmem", "/dev/port", "/proc/kpageflags",
    "/proc/kpagecount", "/proc/vmallocinfo", "/proc/slabinfo", "/proc/kpagecgroup"):
    refused("read " + path, lambda: read(path, 16))
`
    ),
    python(
      "files-programs",
      "Change a program that the host runs, too",
      READ_ONLY,
      tampering + raw`
tamper([os.path.realpath(sys.executable), "/usr/bin/env", "/usr/lib/os-release", "/bin/sh", "/lib64/ld-linux-x86-64.so.2"])
`
    ),
    python(
      "files-settings",
      "Change what programs read at their start",
      READ_ONLY,
      tampering + raw`
tamper(["/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/ld.so.cache", "/etc/ld.so.preload",
    "/etc/nsswitch.conf"])
`
    ),
    python(
      "files-agent",
      "Change the agent's own program",
      READ_ONLY,
      tampering + raw`
tamper(["/opt/sandbox/agent.py", "/opt/sandbox/kernel.py", "/opt/sandbox/kernel.bash"])
`
    ),
    python(
      "files-running-program",
      "Overwrite the program that made the sandbox (CVE-2019-5736)",
      READ_ONLY,
      raw`
for number in ["self"] + numbers_in_proc():
    path = "/proc/%s/exe" % number
    refused("write " + path, lambda: open_for_writing(path))
    def again():
        first = os.open(path, os.O_PATH)
        try:
            return open_for_writing("/proc/self/fd/%d" % first)
        finally:
            os.close(first)
    refused("write by way of a descriptor " + path, again)
`
    ),
    python(
      "files-mapped",
      "Write to a program through memory that is mapped",
      READ_ONLY,
      raw`
path = os.path.realpath(sys.executable)
before = hashlib.sha256(read(path, 1 << 28)).hexdigest()
# A private mapping and /proc/self/mem: writes there are to be copies (CVE-2016-5195).
file = os.open(path, os.O_RDONLY)
length = 4096
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
address = libc.mmap(None, length, mmap.PROT_READ, mmap.MAP_PRIVATE, file, 0)
try:
    memory = os.open("/proc/self/mem", os.O_RDWR)
    for _ in range(200):
        os.pwrite(memory, b"XXXX", address)
        libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(length), 4)
except OSError as error:
    held(code_of(error))
if hashlib.sha256(read(path, 1 << 28)).hexdigest() != before:
    escaped("the program was changed")
else:
    held("a copy was changed")
`
    ),
    python(
      "files-pipe",
      "Write to a file by way of a pipe's pages (CVE-2022-0847)",
      "a kernel without that bug",
      raw`
path = "/opt/sandbox/kernel.bash"
before = read(path)
reader, writer = os.pipe()
os.set_blocking(writer, False)
try:
    while True:
        os.write(writer, b"x" * 4096)
except BlockingIOError:
    pass
os.set_blocking(reader, False)
try:
    while os.read(reader, 65536):
        pass
except BlockingIOError:
    pass
file = os.open(path, os.O_RDONLY)
os.splice(file, writer, 1, offset_src=0)
os.write(writer, b"# changed")
if read(path) != before:
    escaped("the page of a read-only file was changed")
else:
    held("the page stayed as it was")
`
    ),
    python(
      "files-mountinfo",
      "Follow the paths of the host that the list of mounts tells",
      MOUNTS,
      raw`
for line in read("/proc/self/mountinfo").decode().splitlines():
    root, point = line.split(" ")[3:5]
    if root in ("/", point) or root.startswith(("pid:", "net:")):
        continue
    for path in (root, os.path.dirname(root), root + "/../secret", os.path.dirname(os.path.dirname(root))):
        # /tmp and the like are called the same inside.
        if path.count("/") > 2 and not path.startswith(("/usr", "/etc", "/opt/node", "/lib")) and os.path.exists(path):
            escaped("reached " + path + " " + repr(os.listdir(path)[:5]))
        else:
            held("ENOENT")
`
    ),
    python(
      "files-daemons",
      "Talk to daemons of the host through their sockets in files",
      MOUNTS,
      raw`
for path in [H["unixSocket"], "/run/docker.sock", "/var/run/docker.sock", "/run/containerd/containerd.sock",
    "/run/podman/podman.sock", "/run/crio/crio.sock", "/run/dbus/system_bus_socket", "/run/systemd/private",
    "/run/systemd/journal/socket", "/dev/log", "/run/snapd.socket", "/var/lib/lxd/unix.socket", "/run/libvirt/libvirt-sock",
    "/tmp/.X11-unix/X0", "/run/user/1000/bus", "/run/udev/control"]:
    refused("connect to " + path, lambda: connect(socket.AF_UNIX, socket.SOCK_STREAM, path))
`
    ),
    python(
      "files-chroot",
      "Break out of the root by chroot",
      NO_MOUNTS,
      raw`
os.makedirs("/workspace/jail", exist_ok=True)
above = os.open("/", os.O_RDONLY)
denied("chroot", lambda: call("chroot", b"/workspace/jail"))
denied("chroot to the top", lambda: call("chroot", b"."))
denied("pivot_root", lambda: call("pivot_root", b"/workspace", b"/workspace/jail"))
`
    ),
    python(
      "files-remount",
      "Mount what is read-only anew, to be written",
      NO_MOUNTS,
      raw`
MS_RDONLY, MS_REMOUNT, MS_BIND = 1, 32, 4096
for path in (b"/", b"/usr", b"/opt/sandbox", b"/dev", b"/proc", b"/etc/passwd"):
    denied("remount %r" % path, lambda: call("mount", b"none", path, None, MS_REMOUNT | MS_BIND, None))
    denied("change %r" % path, lambda: call("mount_setattr", -100, path, 0, struct.pack("QQQQ", 0, MS_RDONLY, 0, 0), 32))
`
    ),
    python(
      "files-unmount",
      "Take a mount away, to see what is under it",
      NO_MOUNTS,
      raw`
for path in (b"/workspace", b"/opt/sandbox", b"/proc", b"/dev", b"/tmp", b"/"):
    denied("umount %r" % path, lambda: call("umount2", path, 2))
`
    ),
    python(
      "files-mount",
      "Mount something that leads out",
      NO_MOUNTS,
      raw`
os.makedirs("/workspace/at", exist_ok=True)
for kind in (b"proc", b"sysfs", b"tmpfs", b"cgroup", b"cgroup2", b"overlay", b"devtmpfs", b"debugfs", b"tracefs", b"ext4", b"fuse",
    b"nfs", b"9p", b"binfmt_misc", b"mqueue", b"securityfs", b"efivarfs", b"configfs", b"bpf"):
    denied("mount %r" % kind, lambda: call("mount", kind, b"/workspace/at", kind, 0, None))
    denied("fsopen %r" % kind, lambda: call("fsopen", kind, 0))
denied("bind", lambda: call("mount", b"/proc/1/root", b"/workspace/at", None, 4096, None))
denied("open_tree", lambda: call("open_tree", -100, b"/", 1))
denied("move_mount", lambda: call("move_mount", -100, b"/workspace", -100, b"/workspace/at", 0))
`
    ),
    python(
      "files-release-agent",
      "Have the kernel run a program when a control group empties",
      NO_MOUNTS,
      raw`
os.makedirs("/workspace/group", exist_ok=True)
with open("/workspace/out.sh", "w") as file:
    file.write("#!/bin/sh\necho out > %s/planted\n" % H["drop"])
os.chmod("/workspace/out.sh", 0o755)
for controller in (b"rdma", b"memory", b"pids", b"none,name=mine"):
    denied("mount cgroup", lambda: call("mount", b"cgroup", b"/workspace/group", b"cgroup", 0, controller))
for path in glob.glob("/sys/fs/cgroup/**/release_agent", recursive=True) + ["/sys/fs/cgroup/release_agent"]:
    refused("write " + path, lambda: open(path, "w").write("/workspace/out.sh"))
`
    ),
    bash(
      "files-helpers",
      "Use programs that make sandboxes, to leave one",
      "user namespaces disabled, seccomp filter",
      raw`
refused bwrap --bind / / true
refused unshare --user --map-root-user true
refused unshare --mount true
refused nsenter --target 1 --mount true
refused nsenter --target 2 --all true
refused chroot / true
refused newuidmap $$ 0 1000 1
refused mount -t tmpfs tmpfs /tmp
refused umount /workspace
refused pivot_root . .`
    )
  ]
}

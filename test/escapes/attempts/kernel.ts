/**
 * Parts of the kernel that lead out, and its settings.
 */
import { bash, type Family, python } from "../Attempt.js"

const { raw } = String

const FILTER = "seccomp filter"
const SETTINGS = "unprivileged user, never the host's root"

export const kernel: Family = {
  name: "kernel",
  title: "The kernel",
  attempts: [
    python(
      "kernel-modules",
      "Load a kernel module",
      "seccomp filter, no capabilities",
      raw`
image = ctypes.create_string_buffer(b"\x7fELF" + bytes(60))
denied("init_module", lambda: call("init_module", image, 64, b""))
denied("finit_module", lambda: call("finit_module", os.open("/bin/true", os.O_RDONLY), b"", 0))
denied("delete_module", lambda: call("delete_module", b"ext4", 0x800))
for name in ("modprobe", "insmod"):
    for folder in ("/sbin/", "/usr/sbin/", "/bin/"):
        if os.path.exists(folder + name):
            done = subprocess.run([folder + name, "dummy"], capture_output=True, text=True)
            held(done.stderr.split(":")[-1]) if done.returncode else escaped(name + " worked")
`
    ),
    python(
      "kernel-line-disciplines",
      "Have a module loaded for a terminal",
      FILTER,
      raw`
# Drivers that a terminal loads on demand, such as n_gsm (CVE-2023-6546).
leader, follower = os.openpty()
for number in (21, 13, 15, 2, 17, 27, 24, 3, 1, 10):
    denied("line discipline %d" % number, lambda: fcntl.ioctl(follower, 0x5423, struct.pack("i", number)))
`
    ),
    python(
      "kernel-restart",
      "Restart the machine, or start another kernel",
      "seccomp filter, no capabilities",
      raw`
denied("kexec_load", lambda: call("kexec_load", 0, 0, 0, 0))
denied("kexec_file_load", lambda: call("kexec_file_load", -1, -1, 0, 0, 0))
# Keep Ctrl-Alt-Del: the one command that would do no harm.
denied("reboot", lambda: call("reboot", 0xfee1dead, 672274793, 0, 0))
refused("sysrq", lambda: open_for_writing("/proc/sysrq-trigger"))
`
    ),
    python(
      "kernel-bpf",
      "Load a program into the kernel (bpf)",
      FILTER,
      raw`
attributes = ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 8, 1), 128)
denied("make a map", lambda: call("bpf", 0, attributes, 128))
code = ctypes.create_string_buffer(bytes.fromhex("b700000000000000" "9500000000000000"))
license = ctypes.create_string_buffer(b"GPL")
program = struct.pack("IIQQ", 1, 2, ctypes.addressof(code), ctypes.addressof(license))
denied("load", lambda: call("bpf", 5, ctypes.create_string_buffer(program, 128), 128))
`
    ),
    python(
      "kernel-io-uring",
      "Make calls by way of io_uring",
      FILTER,
      raw`
denied("setup", lambda: call("io_uring_setup", 8, ctypes.create_string_buffer(120)))
denied("enter", lambda: call("io_uring_enter", 0, 1, 0, 0, 0, 0))
denied("register", lambda: call("io_uring_register", 0, 0, 0, 0))
`
    ),
    python(
      "kernel-perf",
      "Watch the machine by perf",
      FILTER,
      raw`
for kind in (0, 1, 2, 4):
    attributes = ctypes.create_string_buffer(struct.pack("IIQ", kind, 112, 0), 112)
    denied("perf_event_open", lambda: call("perf_event_open", attributes, 0, -1, -1, 0))
    denied("of all", lambda: call("perf_event_open", attributes, -1, 0, -1, 0))
`
    ),
    python(
      "kernel-userfaultfd",
      "Hold the kernel up in the middle of a call (userfaultfd)",
      FILTER,
      raw`
for flags in (0, 1, 0x80001, 0x80000):
    denied("userfaultfd", lambda: call("userfaultfd", flags))
refused("its device", lambda: os.open("/dev/userfaultfd", os.O_RDWR))
`
    ),
    python(
      "kernel-keys",
      "Read the engine's key rings",
      FILTER,
      raw`
for ring in (-1, -2, -3, -4, -5):
    denied("get", lambda: call("keyctl", 0, ring, 0))
    denied("read", lambda: call("keyctl", 11, ring, ctypes.create_string_buffer(1024), 1024))
denied("join", lambda: call("keyctl", 1, 0))
denied("add", lambda: call("add_key", b"user", b"mine", b"x", 1, -4))
denied("request", lambda: call("request_key", b"user", b"mine", 0, -4))
listed = read("/proc/keys").decode() if os.path.exists("/proc/keys") else ""
escaped(listed) if listed.strip() else held("none in the list")
`
    ),
    python(
      "kernel-settings",
      "Change any setting of the kernel",
      SETTINGS,
      raw`
tried = 0
for folder, _, names in os.walk("/proc/sys"):
    for name in names:
        path = os.path.join(folder, name)
        tried += 1
        try:
            os.close(os.open(path, os.O_WRONLY))
            escaped("opened " + path)
        except OSError as error:
            pass
held("%d settings" % tried) if tried > 100 else held("no settings here")
`
    ),
    python(
      "kernel-core-pattern",
      "Have the kernel start a program on the host",
      SETTINGS,
      raw`
for path in ("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sys/kernel/hotplug",
    "/proc/sys/kernel/poweroff_cmd", "/proc/sys/kernel/usermodehelper/bset", "/proc/sys/fs/binfmt_misc/register",
    "/proc/sys/kernel/cad_pid", "/proc/sys/kernel/sysrq", "/sys/kernel/uevent_helper", "/sys/kernel/mm/transparent_hugepage/enabled"):
    def attempt():
        # What is there already: nothing changes if this works.
        now = read(path)
        with open(path, "wb") as file:
            file.write(now)
        return "written"
    refused("write " + path, attempt)
    refused("open " + path, lambda: open_for_writing(path))
`
    ),
    python(
      "kernel-proc-files",
      "Write to anything else below /proc",
      SETTINGS,
      raw`
tried = 0
allowed = ("/proc/pressure/",)
for folder, names, files in os.walk("/proc"):
    if folder == "/proc":
        names[:] = [name for name in names if not name.isdigit() and name not in ("self", "thread-self", "sys")]
    for name in files:
        path = os.path.join(folder, name)
        tried += 1
        try:
            os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            continue
        # What is hidden may have the null device over it.
        hidden = os.stat(path).st_rdev == os.makedev(1, 3)
        if not path.startswith(allowed) and not hidden:
            escaped("opened " + path)
held("%d files" % tried)
`
    ),
    python(
      "kernel-sys",
      "Find /sys, and control groups in it",
      "a root of its own: nothing of /sys",
      raw`
for path in ("/sys/kernel", "/sys/fs/cgroup", "/sys/class/net", "/sys/firmware", "/sys/kernel/debug", "/sys/kernel/tracing",
    "/sys/module", "/sys/devices/virtual/dmi/id/product_uuid", "/sys/power/state", "/sys/kernel/security"):
    if os.path.isdir(path):
        def write():
            for folder, _, names in os.walk(path):
                for name in names:
                    try:
                        return open_for_writing(os.path.join(folder, name))
                    except OSError:
                        pass
            raise OSError(errno.EROFS, "nothing")
        refused("write below " + path, write)
    else:
        held("ENOENT")
`
    ),
    python(
      "kernel-log",
      "Read the kernel's log",
      "seccomp filter, no such devices",
      raw`
buffer = ctypes.create_string_buffer(4096)
for action in (2, 3, 5, 10):
    denied("syslog", lambda: call("syslog", action, buffer, 4096 if action != 5 else 0))
for path in ("/dev/kmsg", "/proc/kmsg"):
    refused("read " + path, lambda: os.open(path, os.O_RDONLY | os.O_NONBLOCK))
`
    ),
    python(
      "kernel-addresses",
      "Learn where the kernel is in memory",
      "no capabilities",
      raw`
for path in ("/proc/kallsyms", "/proc/modules", "/proc/timer_list", "/proc/self/stack", "/proc/net/unix", "/proc/net/tcp"):
    try:
        with open(path) as file:
            for line in file:
                for word in line.replace(":", " ").split():
                    if len(word) == 16 and word.startswith("ffff"):
                        escaped("%s: %s" % (path, line))
                        raise StopIteration
    except OSError as error:
        held(code_of(error))
    except StopIteration:
        pass
with open("/proc/self/pagemap", "rb") as file:
    file.seek(ctypes.addressof(ctypes.create_string_buffer(8)) // 4096 * 8)
    frame = struct.unpack("Q", file.read(8))[0] & ((1 << 55) - 1)
escaped("a physical address") if frame else held("no addresses")
`
    ),
    python(
      "kernel-clock",
      "Set the clock",
      "seccomp filter, no capabilities",
      raw`
now = struct.pack("qq", int(time.time()), 0)
denied("clock_settime", lambda: call("clock_settime", 0, now))
denied("settimeofday", lambda: call("settimeofday", now, 0))
denied("adjtimex", lambda: call("adjtimex", ctypes.create_string_buffer(struct.pack("I", 1), 208)))
denied("clock_adjtime", lambda: call("clock_adjtime", 0, ctypes.create_string_buffer(struct.pack("I", 1), 208)))
`
    ),
    python(
      "kernel-names",
      "Rename the host",
      "UTS namespace, seccomp filter",
      raw`
denied("sethostname", lambda: call("sethostname", b"mine", 4))
denied("setdomainname", lambda: call("setdomainname", b"mine", 4))
`
    ),
    python(
      "kernel-swap",
      "Switch swap, accounting and quotas",
      "seccomp filter, no capabilities",
      raw`
denied("swapon", lambda: call("swapon", b"/workspace/swap", 0))
denied("swapoff", lambda: call("swapoff", b"/swapfile"))
denied("acct", lambda: call("acct", b"/workspace/acct"))
denied("quotactl", lambda: call("quotactl", 0x800002 << 8, b"/dev/vda", 0, 0))
`
    ),
    python(
      "kernel-watch-mounts",
      "Watch whole file systems (fanotify)",
      FILTER,
      raw`
for flags in (0, 4, 8, 0x200, 0x600):
    denied("fanotify_init", lambda: call("fanotify_init", flags, 0))
`
    ),
    python(
      "kernel-memory-nodes",
      "Move memory of others between nodes",
      FILTER,
      raw`
denied("migrate_pages", lambda: call("migrate_pages", 1, 64, ctypes.create_string_buffer(b"\1", 8), ctypes.create_string_buffer(b"\1", 8)))
denied("move_pages", lambda: call("move_pages", 1, 0, 0, 0, 0, 0))
`
    ),
    bash(
      "kernel-programs",
      "Use the host's programs for all this",
      "no capabilities, seccomp filter",
      raw`
now=@$(date +%s)
for line in "dmesg" "sysctl -w kernel.core_pattern=$(cat /proc/sys/kernel/core_pattern)" "hostname mine" "date -s $now" \
  "mknod /workspace/n c 1 3" "mknod /workspace/b b 7 0" "ip link add dummy0 type dummy" "ip addr add 10.9.8.7/24 dev lo" \
  "ip netns add mine" "iptables -L" "nft list ruleset" "modprobe dummy" "setcap cap_net_raw+ep /workspace/true" \
  "keyctl show" "systemctl list-units" "loginctl list-sessions" "perf stat true" "renice -n -5 $$" "ionice -c 1 true" \
  "chrt -f 10 true" "hwclock -r" "lsns -p 1 -o NS,PATH" "fuser -k /usr" "wall mine" "write root"; do
  command -v $(echo $line | cut -d" " -f1) > /dev/null || continue
  cp -f /bin/true /workspace/true
  if said=$(timeout 5 $line 2>&1 < /dev/null); then
    case $line in
      # They end with 0 and have done nothing.
      lsns*|wall*|fuser*) ;;
      *) escaped "$line worked: $said" ;;
    esac
  fi
done
held "refused"`
    )
  ]
}

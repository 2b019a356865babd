/**
 * More rights than were given.
 */
import { bash, type Family, python } from "../Attempt.js"

const { raw } = String

const NO_NAMESPACES = "user namespaces disabled, seccomp filter"

/** Machine code is for one kind of machine. */
const x64Only = () => process.arch === "x64" ? undefined : "only x64 has this door"

export const privileges: Family = {
  name: "privileges",
  title: "Rights",
  attempts: [
    python(
      "privileges-become-root",
      "Become root by asking",
      "no capabilities",
      raw`
for what, action in (
    ("setuid", lambda: os.setuid(0)),
    ("seteuid", lambda: os.seteuid(0)),
    ("setresuid", lambda: os.setresuid(0, 0, 0)),
    ("setgid", lambda: os.setgid(0)),
    ("setgroups", lambda: os.setgroups([0, 27, 999])),
    ("another sandbox's user", lambda: os.setuid(1001)),
    ("nobody", lambda: os.setuid(65534))
):
    refused(what, action)
if os.getuid() == 0:
    escaped("it is root")
`
    ),
    python(
      "privileges-capabilities",
      "Find or raise a capability",
      "capability sets emptied",
      raw`
status = dict(line.split(":\t", 1) for line in read("/proc/self/status").decode().splitlines() if ":\t" in line)
for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
    if int(status[name], 16):
        escaped("%s is %s" % (name, status[name]))
header = struct.pack("Ii", 0x20080522, 0)
refused("capset", lambda: call("capset", header, struct.pack("6I", 0xffffffff, 0xffffffff, 0, 0x1ff, 0x1ff, 0)))
for option, name in ((47, "ambient"), (28, "securebits")):
    ctypes.set_errno(0)
    if libc.prctl(option, 2 if option == 47 else 0x2f, 21, 0, 0) == 0:
        escaped(name + " was set")
held("all empty")
`
    ),
    python(
      "privileges-no-new-privileges",
      "Unset no_new_privs",
      "no_new_privs",
      raw`
if libc.prctl(39, 0, 0, 0, 0) != 1:
    escaped("it was never set")
if libc.prctl(38, 0, 0, 0, 0) == 0 or libc.prctl(39, 0, 0, 0, 0) != 1:
    escaped("it was unset")
held("EINVAL")
`
    ),
    bash(
      "privileges-setuid-programs",
      "Run the set-user-id programs of the host",
      "no_new_privs, nosuid mounts",
      raw`
found=0
while read -r program; do
  found=$((found + 1))
  case $program in
    */su) said=$(timeout 2 "$program" root -c 'id -u' 2>&1 < /dev/null) ;;
    */sudo) said=$(timeout 2 "$program" -n id -u 2>&1) ;;
    */mount) said=$(timeout 2 "$program" -t tmpfs x /tmp 2> /dev/null && echo 0) ;;
    */pkexec) said=$(timeout 2 "$program" id -u 2>&1 < /dev/null) ;;
    *) said= ;;
  esac
  [ "$said" = 0 ] && escaped "$program made us root"
done < <(find / /usr -xdev -perm /6000 -type f 2>/dev/null)
held "$found programs"`
    ),
    python(
      "privileges-setuid-running",
      "Keep the rights of a set-user-id program while it runs",
      "no_new_privs, nosuid mounts",
      raw`
me = str(os.getuid())
programs = subprocess.run(["find", "/usr", "-perm", "/6000", "-type", "f"], capture_output=True, text=True).stdout.split()
for program in programs:
    try:
        process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    except OSError as error:
        held(code_of(error))
        continue
    try:
        for line in read("/proc/%d/status" % process.pid).decode().splitlines():
            if line.startswith(("Uid:", "CapEff:")):
                values = line.split()[1:]
                if line.startswith("Uid:") and set(values) != {me} or line.startswith("CapEff") and int(values[0], 16):
                    escaped("%s runs with %s" % (program, line))
    except OSError:
        pass
    process.kill()
    process.communicate()
held("%d programs run as user %s" % (len(programs), me)) if me != "0" else escaped("root")
`
    ),
    bash(
      "privileges-setuid-own",
      "Make a set-user-id program of one's own",
      "an unprivileged user owns it",
      raw`
cp /bin/bash own && chmod 6755 own
said=$(./own -p -c 'id -u; id -G')
[ "$said" = "$(id -u)"$'\n'"$(id -u)" ] && [ "$(id -u)" != 0 ] && held "it runs as $(echo $said)" || escaped "it runs as $said"
refused chown 0 own
rm -f own`
    ),
    python(
      "privileges-file-capabilities",
      "Give a program a capability",
      "no capabilities",
      raw`
import shutil
shutil.copy("/bin/true", "/workspace/true")
capability = struct.pack("<IIIII", 0x02000001, 1 << 21, 0, 0, 0)
refused("set", lambda: os.setxattr("/workspace/true", "security.capability", capability))
refused("trusted", lambda: os.setxattr("/workspace/true", "trusted.overlay.opaque", b"y"))
`
    ),
    python(
      "privileges-user-map",
      "Change who one is mapped to",
      "user namespace",
      raw`
for name, text in (("uid_map", "0 0 4294967295"), ("gid_map", "0 0 4294967295"), ("setgroups", "allow"), ("projid_map", "0 0 1")):
    for number in ("self", "1"):
        refused("write " + name, lambda: os.write(os.open("/proc/%s/%s" % (number, name), os.O_WRONLY), text.encode()))
first, outside, count = read("/proc/self/uid_map").split()[:3]
# In a user namespace of its own there is one; in that of the host it must be nobody's.
if (first, count) == (b"1000", b"1"):
    held("one user number")
elif (first, outside) == (b"0", b"0") and os.getuid() > 65535:
    held("user %d of the host" % os.getuid())
else:
    escaped(read("/proc/self/uid_map"))
`
    ),
    python(
      "privileges-unshare",
      "Make namespaces of one's own (unshare)",
      NO_NAMESPACES,
      raw`
for name, flag in NAMESPACES.items():
    said, _ = in_child(lambda: call("unshare", flag))
    held(said) if "EPERM" in said else escaped("%s: %s" % (name, said))
for flag in (0x80, 0x10000000 | 0x20000, 0x7e020000):
    said, _ = in_child(lambda: call("unshare", flag))
    held(said) if "EPERM" in said else escaped("%x: %s" % (flag, said))
`
    ),
    python(
      "privileges-clone",
      "Make namespaces of one's own (clone, clone3)",
      NO_NAMESPACES,
      raw`
def clone(flag):
    number = call("clone", flag | signal.SIGCHLD, 0, 0, 0, 0)
    if number == 0:
        os._exit(0)
    return number
for name, flag in NAMESPACES.items():
    denied("clone " + name, lambda: clone(flag))
    arguments = struct.pack("11Q", flag, 0, 0, 0, signal.SIGCHLD, 0, 0, 0, 0, 0, 0)
    def clone3():
        number = call("clone3", arguments, len(arguments))
        if number == 0:
            os._exit(0)
        return number
    denied("clone3 " + name, clone3)
`
    ),
    python(
      "privileges-filter",
      "Take the filter of system calls away",
      "seccomp filter",
      raw`
ctypes.set_errno(0)
if libc.prctl(22, 0, 0, 0, 0) == 0:
    escaped("it was switched off")
# One's own filter that allows everything is asked besides the other, not instead of it.
allow = struct.pack("HBBI", 6, 0, 0, 0x7fff0000)
def weaken():
    code = ctypes.create_string_buffer(allow)
    own = ctypes.create_string_buffer(struct.pack("HxxxxxxP", 1, ctypes.addressof(code)))
    call("seccomp", 1, 0, own)
    return call("unshare", NAMESPACES["user"])
said, _ = in_child(weaken)
held(said) if "EPERM" in said else escaped(said)
`
    ),
    python(
      "privileges-other-door",
      "Call the kernel as a 32-bit program (int 0x80, x32)",
      "seccomp filter, by architecture",
      raw`
# mov eax, 20 (getpid); int 0x80; ret
code = bytes.fromhex("b814000000cd80c3")
def by_interrupt():
    memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    memory.write(code)
    address = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
said, status = in_child(by_interrupt)
if os.WIFSIGNALED(status) and os.WTERMSIG(status) in (signal.SIGSYS, signal.SIGSEGV):
    held(signal.Signals(os.WTERMSIG(status)).name)
else:
    escaped("int 0x80: %s %d" % (said, status))
for number in (39, 165, 272, 520, 547):
    denied_or_killed("x32 call %d" % number, lambda: call_number(0x40000000 | number, 0, 0, 0, 0, 0))
`,
      { without: x64Only }
    ),
    python(
      "privileges-new-calls",
      "Call what is newer than the filter",
      "seccomp filter",
      raw`
for number in list(range(463, 700)) + [1000, 4096, 65535]:
    denied("call %d" % number, lambda: call_number(number, 0, 0, 0, 0, 0, 0))
denied_or_killed("call 0x7fffffff", lambda: call_number(0x7fffffff, 0, 0, 0, 0, 0, 0))
`
    ),
    python(
      "privileges-personality",
      "Switch protections off by personality",
      "seccomp filter",
      raw`
for flag in (0x0040000, 0x0400000, 0x0100000, 0x0200000, 0x0040000 | 0x0400000):
    denied("personality %x" % flag, lambda: call("personality", flag))
done = subprocess.run(["setarch", "-R", "true"], capture_output=True, text=True)
held(done.stderr.split(":")[-1]) if done.returncode else escaped("setarch -R worked")
`
    ),
    python(
      "privileges-ports",
      "Reach the machine's ports and segments",
      "seccomp filter, no capabilities",
      raw`
denied("iopl", lambda: call("iopl", 3))
denied("ioperm", lambda: call("ioperm", 0x70, 2, 1))
denied("modify_ldt", lambda: call("modify_ldt", 0, ctypes.create_string_buffer(64), 64))
`
    )
  ]
}

/**
 * Open files and terminals of the engine.
 */
import { bash, type Family, python } from "../Attempt.js"

const { raw } = String

const SESSION = "a session of its own without a terminal, seccomp filter"

export const descriptors: Family = {
  name: "descriptors",
  title: "Open files and terminals of the engine",
  attempts: [
    python(
      "descriptors-inherited",
      "Use a file that the engine has open",
      "close-on-exec, inherited descriptors replaced",
      raw`
for path in glob.glob("/proc/*/fd/*"):
    try:
        target = os.readlink(path)
    except OSError:
        continue
    kind = target.split(":")[0]
    if kind in ("pipe", "socket", "anon_inode") or target.startswith(("/dev/null", "/proc", "/opt/sandbox", "/run/sandbox", "/workspace", "/usr")):
        held(kind if ":" in target else target)
        continue
    try:
        print(read(path, 4096))
    except OSError:
        pass
    escaped("%s is %s" % (path, target))
for number in range(4, 260):
    try:
        print(os.pread(number, 4096, 0))
        held("a file of its own")
    except OSError as error:
        held(code_of(error))
`
    ),
    bash(
      "descriptors-inherited-command",
      "Use a file that the engine has open, from a command",
      "close-on-exec, inherited descriptors replaced",
      raw`
for number in $(seq 3 255); do
  [ -e /proc/$$/fd/$number ] || continue
  target=$(readlink /proc/$$/fd/$number)
  case $target in
    pipe:*|socket:*|/dev/null|/opt/sandbox/*|/run/sandbox/*|/dev/fd/*|/tmp/sh-thd*|/proc/*) ;;
    *) escaped "$number is $target"; cat <&$number ;;
  esac
done
held "none"`
    ),
    python(
      "descriptors-terminal",
      "Open the engine's terminal",
      SESSION,
      raw`
for path in ["/dev/tty", "/dev/console", "/dev/tty0", "/dev/tty1", "/dev/ttyS0"] + ["/dev/pts/%d" % each for each in range(64)]:
    refused("open " + path, lambda: os.close(os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)))
for number in (0, 1, 2):
    if os.isatty(number):
        escaped("descriptor %d is a terminal" % number)
`
    ),
    python(
      "descriptors-type",
      "Type into a terminal (TIOCSTI, TIOCLINUX)",
      SESSION,
      raw`
TIOCSTI, TIOCLINUX = 0x5412, 0x541c
leader, follower = os.openpty()
deny_ioctls((0, 1, 2, 3, leader, follower), (TIOCSTI, TIOCLINUX, TIOCSTI | 1 << 32, TIOCLINUX | 1 << 32))
`
    ),
    python(
      "descriptors-session",
      "Take a terminal for one's own session",
      SESSION,
      raw`
if os.getsid(0) <= 0:
    escaped("the session is one of outside")
for number in (0, 1, 2, 3):
    refused("take", lambda: fcntl.ioctl(number, 0x540e, 1))
said, _ = in_child(lambda: (os.setsid(), os.open("/dev/tty", os.O_RDWR)))
held(said) if "OSError" in said else escaped(said)
refused("group", lambda: os.setpgid(0, 1))
`
    )
  ]
}

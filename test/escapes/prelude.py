"""What stands before each program in Python that tries to get out. `H` has what it is told of the host.

A program says `HELD …` for each thing that was refused and `ESCAPED …` for each that was not. One that says neither has
shown nothing, and counts as a failure of the suite.
"""
import ctypes
import errno
import fcntl
import glob
import hashlib
import json
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import subprocess
import sys
import time

libc = ctypes.CDLL(None, use_errno=True)
X64 = os.uname().machine == "x86_64"

# Numbers of system calls: x64, arm64 (None where the machine has none).
NUMBERS = {
    "clone": (56, 220), "chmod": (90, None), "ptrace": (101, 117), "syslog": (103, 116), "setuid": (105, 146),
    "capset": (126, 91), "personality": (135, 92), "modify_ldt": (154, None), "pivot_root": (155, 41),
    "adjtimex": (159, 171), "chroot": (161, 51), "acct": (163, 89), "settimeofday": (164, 170), "mount": (165, 40),
    "umount2": (166, 39), "swapon": (167, 224), "swapoff": (168, 225), "reboot": (169, 142), "sethostname": (170, 161),
    "setdomainname": (171, 162), "iopl": (172, None), "ioperm": (173, None), "init_module": (175, 105),
    "delete_module": (176, 106), "quotactl": (179, 60), "clock_settime": (227, 112), "kexec_load": (246, 104),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "ioprio_set": (251, 30),
    "migrate_pages": (256, 238), "unshare": (272, 97), "move_pages": (279, 239), "perf_event_open": (298, 241),
    "fanotify_init": (300, 262), "name_to_handle_at": (303, 264), "open_by_handle_at": (304, 265),
    "clock_adjtime": (305, 266), "setns": (308, 268), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271),
    "kcmp": (312, 272), "finit_module": (313, 273), "sched_setattr": (314, 274), "seccomp": (317, 277),
    "kexec_file_load": (320, 294), "bpf": (321, 280), "userfaultfd": (323, 282), "pidfd_send_signal": (424, 424),
    "io_uring_setup": (425, 425), "io_uring_enter": (426, 426), "io_uring_register": (427, 427),
    "open_tree": (428, 428), "move_mount": (429, 429), "fsopen": (430, 430), "fsconfig": (431, 431),
    "fsmount": (432, 432), "pidfd_open": (434, 434), "clone3": (435, 435), "pidfd_getfd": (438, 438),
    "process_madvise": (440, 440), "mount_setattr": (442, 442), "process_mrelease": (448, 448),
    "statmount": (457, 457), "listmount": (458, 458)
}

NAMESPACES = {
    "mount": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000, "pid": 0x20000000,
    "network": 0x40000000
}

# How a wall says no; any other error of a call means that the kernel has looked at its arguments.
REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EAFNOSUPPORT, errno.EPROTONOSUPPORT)


def held(text):
    print("HELD", " ".join(str(text).split()), flush=True)


def escaped(text):
    print("ESCAPED", " ".join(str(text).split())[:300], flush=True)


def code_of(error):
    return errno.errorcode.get(error.errno, type(error).__name__)


def refused(what, action, *expected):
    """Held when the action fails; where errors are named, by one of these."""
    try:
        got = action()
    except OSError as error:
        if expected and error.errno not in expected:
            escaped("%s was let in: %s" % (what, code_of(error)))
        else:
            held(code_of(error))
        return True
    escaped("%s worked: %r" % (what, got))
    return False


def denied(what, action):
    """Held when a wall says no, and not when the kernel only did not like the arguments."""
    return refused(what, action, *REFUSALS)


def call(name, *arguments):
    number = NUMBERS[name][0 if X64 else 1]
    if number is None:
        raise OSError(errno.ENOSYS, "no such call on this machine")
    return call_number(number, *arguments)


def call_number(number, *arguments):
    ctypes.set_errno(0)
    given = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = libc.syscall(ctypes.c_long(number), *given)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def read(path, size=65536):
    with open(path, "rb") as file:
        return file.read(size)


def open_for_writing(path):
    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
    return "opened " + path


def in_child(action):
    """What a child that does it says, and its wait status."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        said = b""
        try:
            said = repr(action()).encode()
        except OSError as error:
            said = b"OSError " + code_of(error).encode()
        except BaseException as error:
            said = b"failed " + repr(error).encode()
        os.write(writer, said[:60000])
        os._exit(0)
    os.close(writer)
    said = b""
    while piece := os.read(reader, 65536):
        said += piece
    os.close(reader)
    return said.decode("utf-8", "replace"), os.waitpid(pid, 0)[1]


def denied_or_killed(what, action):
    """The same in a child: a wall may also end whoever asks, which is one thread, and nobody would speak any more."""
    _, status = in_child(lambda: denied(what, action))
    if os.WIFSIGNALED(status):
        held(signal.Signals(os.WTERMSIG(status)).name)


def deny_ioctls(descriptors, requests):
    for descriptor in descriptors:
        for request in requests:
            def ask():
                ctypes.set_errno(0)
                if libc.ioctl(descriptor, ctypes.c_ulong(request), b"x") < 0:
                    raise OSError(ctypes.get_errno(), "ioctl")
            denied("ioctl %x" % request, ask)


def numbers_in_proc():
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())


def connect(family, kind, address, say=b"GET / HTTP/1.0\r\n\r\n"):
    """Connects, speaks, and gives what came back."""
    with socket.socket(family, kind) as client:
        client.settimeout(1)
        client.connect(address)
        client.send(say)
        return client.recv(4096)

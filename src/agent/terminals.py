"""Terminals: pseudoterminals of the sandbox's own devpts (pty(7)), each for one program and what that starts."""
import _signal as signal
import errno
import fcntl
import os
import struct
import termios

from .processes import kill_group

# asm-generic/termbits.h; Python's module does not have it. The line discipline then erases whole characters of UTF-8.
IUTF8 = 0o40000

# What a program finds when nobody has said what terminal it has.
TERM = "xterm-256color"

# More than the kernel holds of what was written to a terminal and has not been read from it.
TERMINAL_BUFFER = 64 * 1024


def open_terminal(cols, rows):
    """`(master that does not block, slave, path of the slave)`."""
    master, slave = os.openpty()
    try:
        attributes = termios.tcgetattr(slave)
        attributes[0] |= IUTF8
        termios.tcsetattr(slave, termios.TCSANOW, attributes)
        resize(master, cols, rows)
        os.set_blocking(master, False)
        return master, slave, os.ttyname(slave)
    except BaseException as error:
        os.close(master)
        os.close(slave)
        # It is no OSError, but is made like one.
        raise OSError(*error.args) if isinstance(error, termios.error) else error


def resize(master, cols, rows):
    """The kernel tells what runs in the foreground (`SIGWINCH`, ioctl_tty(2))."""
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))


def is_terminal_end(error):
    """Whether a read from a master failed because nobody has the terminal open any more."""
    return error.errno == errno.EIO


def hang_up(master, leader):
    """What closing its window does to a terminal: the leader and what runs in the foreground get SIGHUP."""
    groups = {leader}
    try:
        groups.add(os.tcgetpgrp(master))
    except OSError:
        pass
    for group in groups:
        if group > 0:
            kill_group(group, signal.SIGHUP)
            # One that is stopped would not notice.
            kill_group(group, signal.SIGCONT)


def end_of_file(master, after):
    """The bytes that mean the end of the input, when `after` was the last that was written before them.

    In a terminal that is a character, which ends a line early; only on an empty line it says that there is no more.
    """
    try:
        character = termios.tcgetattr(master)[6][termios.VEOF]
    except termios.error:
        return b""
    return character if after in (b"", b"\n") else character * 2

"""Watching a directory: inotify(7) turned into events about entries.

What cannot be sent for lack of credit stays with the kernel, whose queue is bounded; when it overflows, the watch fails
instead of going on with a gap.
"""
import ctypes
import errno
import os
import re
import stat
import struct

from .framing import dump
from .libc import libc
from .loop import READ
from .paths import FileFailure, Place, explain, in_proc
from .transfers import NEW, REPLACING

IN_ATTRIB = 0x4
IN_CLOSE_WRITE = 0x8
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
IN_MOVE_SELF = 0x800
IN_UNMOUNT = 0x2000
IN_Q_OVERFLOW = 0x4000
IN_IGNORED = 0x8000
IN_ONLYDIR = 0x1000000
IN_ISDIR = 0x40000000

ENTRIES = IN_ATTRIB | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE
FLAGS = ENTRIES | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR
GONE = IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED

EVENT = struct.Struct("iIII")
PIECE = 16 * 1024

# The name that the kernel gives to a file without a name, which is how the agent writes files.
NAMELESS = re.compile(rb"#\d+$")


class Watching:
    """One watch. Events wait in `pending` as JSON, until there is credit for them."""

    def __init__(self, files, header, path):
        self.files = files
        self.id = header["id"]
        self.path = header["path"]
        self.root = path
        self.recursive = header["recursive"]
        self.whole = header.get("whole", False)
        self.credit = header["credit"]
        self.paths = {}
        self.wds = {}
        self.pending = []
        self.announced = set()
        self.moved = None
        self.failure = None
        self.settling = False
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self.fd < 0:
            self.refuse(ctypes.get_errno())

    def refuse(self, number):
        if number in (errno.ENOSPC, errno.EMFILE, errno.ENOMEM):
            raise FileFailure("quota_exceeded", "%s has more directories than can be watched here." % self.path)
        raise explain(OSError(number, os.strerror(number)), self.path)

    def start(self):
        """Steps: watches the directory, and with `recursive` all below it; then answers."""
        self.add(self.root, must=True)
        if self.recursive:
            for _ in self.descend(self.root, False):
                yield
        with self.files.workspace.open(self.path, whole=self.whole) as place:
            self.files.reply(self.id, self.files.describe(place))
        self.pump()

    def add(self, path, must=False):
        if self.fd < 0:
            return False
        try:
            folder = self.files.workspace.enter(path)
        except OSError:
            if must:
                raise
            return False
        if in_proc(os.fstat(folder)):
            os.close(folder)
            return False
        # By the open folder: any part of the path may be a link by now.
        wd = libc.inotify_add_watch(self.fd, b"/proc/self/fd/%d" % folder, FLAGS)
        number = ctypes.get_errno()
        os.close(folder)
        if wd < 0:
            if must or number in (errno.ENOSPC, errno.ENOMEM):
                self.refuse(number)
            return False
        self.paths[wd] = path
        self.wds[path] = wd
        return True

    def descend(self, top, announce):
        """Watches what is below; `announce` tells of the entries that are there already."""
        folders = [top]
        while folders:
            folder = folders.pop()
            for name, directory in self.entries(folder):
                path = os.path.join(folder, name)
                if announce and not path.rpartition(b"/")[2].startswith((NEW, REPLACING)):
                    self.announced.add(path)
                    self.tell("created", path, directory)
                if directory and self.add(path):
                    folders.append(path)
            yield

    def entries(self, path):
        """The names in a folder, and whether each is a folder itself."""
        found = []
        try:
            with Place(path, self.files.workspace.enter(path), b".") as place:
                folder = place.open(os.O_RDONLY | os.O_DIRECTORY)
        except OSError:
            return found
        try:
            for name in sorted(map(os.fsencode, os.listdir(folder))):
                try:
                    found.append((name, stat.S_ISDIR(os.lstat(name, dir_fd=folder).st_mode)))
                except OSError:
                    # It went away meanwhile.
                    continue
        finally:
            os.close(folder)
        return found

    # Events

    def pump(self):
        """Goes on, as far as credit and the queue to the engine allow."""
        if self.fd < 0:
            return
        while self.pending and self.credit > 0 and not self.files.link.congested:
            count, size = 0, 1
            while count < len(self.pending) and size + len(self.pending[count]) + 1 <= self.credit:
                size += len(self.pending[count]) + 1
                count += 1
            if not count:
                break
            blob = ("[" + ",".join(self.pending[:count]) + "]").encode("ascii")
            del self.pending[:count]
            self.credit -= len(blob)
            self.files.link.send({"ev": "file.events", "id": self.id}, blob)
        if self.pending:
            self.files.loop.unwatch(self.fd)
        elif self.failure is not None:
            self.files.fail(self.id, self.failure)
        else:
            self.files.loop.watch(self.fd, READ, self.ready)

    def ready(self, events=0):
        try:
            self.read()
        except FileFailure as failure:
            self.failure = failure
        except OSError as error:
            self.failure = explain(error, self.path)
        self.pump()

    def read(self):
        try:
            data = os.read(self.fd, PIECE)
        except BlockingIOError:
            self.announced.clear()
            return
        offset = 0
        while offset < len(data):
            wd, mask, cookie, length = EVENT.unpack_from(data, offset)
            name = data[offset + EVENT.size:offset + EVENT.size + length].rstrip(b"\0")
            offset += EVENT.size + length
            self.on_event(wd, mask, cookie, name)
        # The second half of a move comes right behind the first, but may not have been there yet.
        if self.moved is not None and not self.settling:
            self.settling = True
            self.files.loop.spawn(self.settle())

    def settle(self):
        yield
        self.settling = False
        if self.fd >= 0 and self.moved is not None:
            self.ready()
            if self.fd >= 0 and self.moved is not None:
                self.moved_away()
                self.pump()

    def on_event(self, wd, mask, cookie, name):
        if mask & IN_Q_OVERFLOW:
            raise FileFailure("quota_exceeded", "So much changed in %s that events were lost." % self.path)
        folder = self.paths.get(wd)
        if folder is None:
            return
        if mask & GONE:
            if folder == self.root:
                raise FileFailure("file_not_found", "%s is gone." % self.path)
            if mask & IN_IGNORED:
                self.drop(wd)
            return
        if not name:
            return
        path = os.path.join(folder, name)
        directory = bool(mask & IN_ISDIR)
        if self.moved is not None and not (mask & IN_MOVED_TO and self.moved[0] == cookie):
            self.moved_away()
        if NAMELESS.match(name) and not os.path.lexists(path):
            return
        if mask & IN_MOVED_FROM:
            self.moved = (cookie, path, directory)
        elif mask & IN_MOVED_TO:
            self.moved_here(path, directory)
        elif name.startswith((NEW, REPLACING)):
            return
        elif mask & IN_CREATE:
            self.appeared(path, directory)
        elif mask & IN_CLOSE_WRITE:
            self.tell("modified", path, directory)
        elif mask & IN_DELETE:
            self.announced.discard(path)
            self.tell("deleted", path, directory)
        elif mask & IN_ATTRIB:
            self.tell("attributes", path, directory)

    def appeared(self, path, directory):
        if path in self.announced:
            self.announced.discard(path)
            return
        self.tell("created", path, directory)
        if directory and self.recursive and self.add(path):
            for _ in self.descend(path, True):
                pass

    def moved_here(self, path, directory):
        if self.moved is None:
            self.appeared(path, directory)
            return
        before = self.moved[1]
        self.moved = None
        name = before.rpartition(b"/")[2]
        if name.startswith(REPLACING):
            self.tell("modified", path, directory)
        elif name.startswith(NEW):
            self.tell("created", path, directory)
        else:
            self.rename(before, path)
            self.tell("renamed", path, directory, before)

    def moved_away(self):
        """A move whose other end is not in what is watched."""
        _, path, directory = self.moved
        self.moved = None
        self.tell("deleted", path, directory)
        for known in [known for known in self.wds if known == path or known.startswith(path + b"/")]:
            wd = self.wds[known]
            libc.inotify_rm_watch(self.fd, wd)
            self.drop(wd)

    def rename(self, before, path):
        """The watches of a directory go with it."""
        for known in [known for known in self.wds if known == before or known.startswith(before + b"/")]:
            wd = self.wds.pop(known)
            moved = path + known[len(before):]
            self.paths[wd] = moved
            self.wds[moved] = wd

    def drop(self, wd):
        path = self.paths.pop(wd, None)
        if self.wds.get(path) == wd:
            del self.wds[path]

    def tell(self, kind, path, directory, before=None):
        public = self.files.workspace.public
        event = {"type": kind, "path": public(path), "isDirectory": directory}
        if before is not None:
            event["from"] = public(before)
        self.pending.append(dump(event))

    def close(self):
        if self.fd >= 0:
            self.files.loop.unwatch(self.fd)
            os.close(self.fd)
            self.fd = -1

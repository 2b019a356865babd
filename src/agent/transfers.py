"""The contents of files, streamed under credit."""
import os
import stat

from .libc import libc
from .paths import FileFailure, explain

CHUNK = 256 * 1024

# How much of a file is written before it is written out, so that each time takes a moment only.
SYNC_STEP = 8 * 1024 * 1024

# Files from this size on are lent to an engine that asks for it.
LEND_FROM = 1024 * 1024

# How the names begin that files have for a moment: before the first one of that name, and before a replacement.
NEW = b".sandbox-new-"
REPLACING = b".sandbox-old-"


# At the end of what there is: the engine may have written more.
WRITE = os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC


def unused_name(prefix):
    return prefix + os.urandom(9).hex().encode("ascii")


def refuse_to_replace(status, path):
    """Only a file can be replaced by one."""
    if not stat.S_ISREG(status.st_mode):
        what = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
        raise FileFailure("not_a_file", "%s is %s." % (path, what))


class Reading:
    """One file on its way to the engine."""

    def __init__(self, files, header, place):
        self.files = files
        self.id = header["id"]
        self.path = header["path"]
        self.credit = header["credit"]
        # A FIFO without a writer must not hold up the agent.
        self.fd = place.open(os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            self.status = os.fstat(self.fd)
            if not stat.S_ISREG(self.status.st_mode):
                raise FileFailure("not_a_file", "%s is not a regular file." % self.path)
        except BaseException:
            os.close(self.fd)
            raise
        self.lent = header.get("lend") is True and self.status.st_size >= LEND_FROM
        if self.lent:
            # Nothing is sent until the engine says that it wants it so.
            self.credit = 0
        self.paused = False

    def pump(self):
        """Sends what credit and the queue allow, in one piece a turn of the loop."""
        if not self.paused:
            self.paused = True
            self.files.loop.spawn(self.turns())

    def turns(self):
        while self.fd >= 0 and self.credit > 0 and not self.files.link.congested:
            try:
                data = os.read(self.fd, min(CHUNK, self.credit))
            except OSError as error:
                self.files.fail(self.id, explain(error, self.path))
                return
            self.credit -= len(data)
            self.files.link.send({"ev": "file.data", "id": self.id, "last": not data}, data)
            if not data:
                self.files.forget(self.id)
                return
            yield
        self.paused = False

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Writing:
    """One file on its way from the engine: it gets its name when it is complete, in one step."""

    def __init__(self, files, header, place):
        self.files = files
        self.id = header["id"]
        self.path = header["path"]
        self.place = place
        self.mode = 0o644
        self.prefix = NEW
        self.temporary = None
        self.fd = -1
        self.unsynced = 0
        self.size = 0
        self.lend = header.get("lend") is True
        self.lent = False
        try:
            status = place.status()
        except FileNotFoundError:
            pass
        else:
            refuse_to_replace(status, self.path)
            self.mode = stat.S_IMODE(status.st_mode)
            self.prefix = REPLACING
        if self.path.endswith("/"):
            raise FileFailure("not_a_file", "%s names a directory." % self.path)
        self.open()
        os.fchmod(self.fd, self.mode)

    def open(self):
        """A file without a name leaves no trace however this ends; not every file system has them."""
        folder = self.place.folder
        try:
            self.fd = os.open(b".", os.O_TMPFILE | WRITE, 0o600, dir_fd=folder)
        except FileNotFoundError:
            raise
        except OSError:
            self.temporary = unused_name(self.prefix)
            flags = os.O_CREAT | os.O_EXCL | WRITE
            self.fd = os.open(self.temporary, flags, 0o600, dir_fd=folder)

    def data(self, blob, last):
        view = memoryview(blob)
        while view:
            view = view[os.write(self.fd, view):]
        self.unsynced += len(blob)
        if last or self.unsynced >= SYNC_STEP:
            self.sync()
        if last:
            self.finish()
        elif blob:
            credit = {"ev": "file.credit", "id": self.id, "bytes": len(blob)}
            self.size += len(blob)
            if self.lend and self.size >= LEND_FROM:
                self.lent = True
                credit["fd"] = self.fd
            self.files.link.send(credit)

    def sync(self):
        """Where the workspace is a disk of its own, only now is it certain that the host's disk had room for this."""
        self.unsynced = 0
        if self.files.sync:
            try:
                os.fsync(self.fd)
            except OSError as error:
                what = "could not be written to the disk of the machine that the sandbox is on"
                raise FileFailure("disk_full", "%s %s: %s." % (self.path, what, os.strerror(error.errno))) from None

    def finish(self):
        folder = self.place.folder
        if self.lent:
            # As the kernel does when its owner writes; the engine may be more than that.
            os.fchmod(self.fd, self.mode & ~(stat.S_ISUID | stat.S_ISGID))
        if self.temporary is None:
            self.temporary = unused_name(self.prefix)
            # os.link calls linkat(2), which follows /proc, only when it is given folders.
            os.link(
                b"/proc/self/fd/%d" % self.fd,
                self.temporary,
                src_dir_fd=folder,
                dst_dir_fd=folder,
                follow_symlinks=True
            )
        os.rename(self.temporary, self.place.name, src_dir_fd=folder, dst_dir_fd=folder)
        self.temporary = None
        if self.files.sync:
            # Its name, and what the file system notes of the room that it takes.
            libc.syncfs(self.fd)
        info = self.files.describe(self.place)
        self.files.forget(self.id)
        self.files.reply(self.id, info)

    def close(self):
        if self.temporary is not None:
            try:
                os.unlink(self.temporary, dir_fd=self.place.folder)
            except OSError:
                pass
            self.temporary = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        self.place.close()

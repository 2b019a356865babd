"""Many small files in one request, one after the other.

Each is written and read as `transfers.py` does it. What makes it fast is that folders stay open from one file to the next,
and that all are written out to the disk together.
"""
import os
import resource
import stat
from _collections import deque

from .framing import dump
from .libc import libc
from .paths import FileFailure, Place, explain
from .transfers import NEW, REPLACING, refuse_to_replace, unused_name

# How many files are done between two looks at what else there is to do.
BATCH = 32

# How many folders are open at a time, at most; and of the descriptors that the sandbox is limited to, the part of them.
FOLDERS = 256
SHARE = 4

# Since Linux 5.8 syncfs(2) tells of what could not be written.
SYNCFS_TELLS = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2] if part.isdigit()) >= (5, 8)


class Folders:
    """Open folders, by the path that they were asked for by."""

    def __init__(self, workspace):
        self.workspace = workspace
        self.known = {}
        self.most = min(FOLDERS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE)

    def place(self, path, make=False):
        """What a path means, links followed. The place is closed with all the others."""
        parent, _, name = path.rpartition("/")
        # Names that are shown otherwise than they are, and `/workspace` itself.
        if "\ufffd" in path or "\0" in path or not parent or name in ("", ".", ".."):
            return self.apart(path, make)
        known = self.known.get(parent)
        if known is None:
            location = self.workspace.locate(parent)
            known = Place(location, self.workspace.enter(location, make), b".")
            self.known[parent] = known
        raw = name.encode("utf-8", "replace")
        place = Place(os.path.join(known.path, raw), known.folder, raw)
        try:
            place.known = place.status()
        except FileNotFoundError:
            place.known = None
            return place
        return self.apart(path, make) if stat.S_ISLNK(place.known.st_mode) else place

    def apart(self, path, make):
        place = self.workspace.open(path, make=make)
        self.known[path + "/"] = place
        try:
            place.known = place.status()
        except FileNotFoundError:
            place.known = None
        return place

    @property
    def full(self):
        return len(self.known) >= self.most

    def close(self):
        for place in self.known.values():
            place.close()
        self.known.clear()


class Many:
    """A request for many files: a task of the loop, until it is done or forgotten."""

    def __init__(self, files, header):
        self.files = files
        self.id = header["id"]
        self.paths = header["paths"]
        self.folders = Folders(files.workspace)
        self.open = True
        # The file that is worked on.
        self.index = 0

    def run(self):
        """All of it, in steps."""
        try:
            for index, path in enumerate(self.paths):
                self.index = index
                if self.folders.full:
                    self.settle()
                    self.folders.close()
                if not self.one(index, path):
                    break
                if index % BATCH == BATCH - 1:
                    yield
                    if not self.open:
                        return
            self.settle()
            self.files.forget(self.id)
            self.answer()
        except (OSError, FileFailure) as error:
            self.fail(error)

    def fail(self, error):
        """What was before the file at fault is done all the same."""
        index = self.index
        try:
            self.settle()
        except (OSError, FileFailure) as earlier:
            error, index = earlier, self.index
        if isinstance(error, OSError):
            error = explain(error, self.paths[index])
        self.files.fail(self.id, error, index)

    def settle(self):
        """What has to be done while the folders are open."""

    def close(self):
        self.open = False
        self.folders.close()


class WritingMany(Many):
    """Files on their way from the engine: each gets its name in one step, in the order of the request."""

    def __init__(self, files, header, blob):
        super().__init__(files, header)
        self.make = header["createParents"]
        self.sizes = header["sizes"]
        self.rest = memoryview(blob)
        self.staged = deque()
        self.written = []

    def one(self, index, path):
        content, self.rest = self.rest[:self.sizes[index]], self.rest[self.sizes[index]:]
        place = self.folders.place(path, self.make)
        mode = 0o644
        prefix = NEW
        if place.known is not None:
            refuse_to_replace(place.known, path)
            mode = stat.S_IMODE(place.known.st_mode)
            prefix = REPLACING
        temporary = unused_name(prefix)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=place.folder)
        self.staged.append((index, place, temporary))
        try:
            os.fchmod(fd, mode)
            while content:
                content = content[os.write(fd, content):]
            if self.files.sync and not SYNCFS_TELLS:
                os.fsync(fd)
        except BaseException:
            self.staged.pop()
            remove(temporary, place.folder)
            raise
        finally:
            os.close(fd)
        return True

    def settle(self):
        if not self.staged:
            return
        self.index = self.staged[0][0]
        self.sync()
        while self.staged:
            self.index, place, temporary = self.staged[0]
            os.rename(temporary, place.name, src_dir_fd=place.folder, dst_dir_fd=place.folder)
            self.staged.popleft()
            self.written.append(self.files.workspace.public(place.path))
        self.sync()

    def sync(self):
        """Where the workspace is a disk of its own, only now is it certain that the host's disk had room for all of it."""
        if self.files.sync:
            root = os.open(self.files.workspace.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if libc.syncfs(root) != 0 and SYNCFS_TELLS:
                    what = "could not be written to the disk of the machine that the sandbox is on"
                    raise FileFailure("disk_full", "%s %s." % (self.paths[self.index], what))
            finally:
                os.close(root)

    def answer(self):
        self.files.link.send({"ev": "file.written", "id": self.id}, dump(self.written).encode("ascii"))

    def close(self):
        while self.staged:
            _, place, temporary = self.staged.pop()
            remove(temporary, place.folder)
        super().close()


class ReadingMany(Many):
    """Files on their way to the engine: as many of them, from the first on, as have room in what was asked for."""

    def __init__(self, files, header):
        super().__init__(files, header)
        self.room = header["most"]
        self.contents = []

    def one(self, index, path):
        place = self.folders.place(path)
        # A FIFO without a writer must not hold up the agent.
        fd = place.open(os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise FileFailure("not_a_file", "%s is not a regular file." % path)
            if status.st_size > self.room:
                return False
            pieces = []
            size = 0
            while size <= self.room:
                piece = os.read(fd, self.room - size + 1)
                if not piece:
                    break
                pieces.append(piece)
                size += len(piece)
        finally:
            os.close(fd)
        if size > self.room:
            return False
        self.room -= size
        self.contents.append(b"".join(pieces))
        return True

    def answer(self):
        sizes = [len(content) for content in self.contents]
        self.files.link.send({"ev": "file.contents", "id": self.id, "sizes": sizes}, b"".join(self.contents))


def remove(name, folder):
    try:
        os.unlink(name, dir_fd=folder)
    except OSError:
        pass

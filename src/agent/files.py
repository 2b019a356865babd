"""File operations, in the sandbox's own view and by the rights of its user."""
import errno
import os
import stat

from .framing import MAX_BLOB, dump
from .paths import FileFailure, Workspace, explain, show
from .times import created
from .transfers import Reading, Writing
from .watching import Watching

# How much is done between two looks at what else there is to do.
BATCH = 200

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device"
}


def describe(workspace, path, status):
    """A `FileInfo`. `path` is bytes; the status is that of a link itself, not of what it points to."""
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "unknown")
    public = workspace.public(path)
    info = {
        "path": public,
        "name": public.rpartition("/")[2],
        "type": kind,
        "isDirectory": kind == "directory",
        "size": status.st_size,
        "mode": stat.S_IMODE(status.st_mode),
        "createdAt": created(path, status),
        "modifiedAt": status.st_mtime_ns // 1000000
    }
    if kind == "symlink":
        try:
            info["target"] = show(os.readlink(path))
        except OSError:
            pass
    return info


class Files:
    def __init__(self, loop, link, root):
        self.loop = loop
        self.link = link
        self.workspace = Workspace(root)
        self.transfers = {}

    def on_message(self, op, header, blob):
        transfer = self.transfers.get(header["id"])
        if op == "file.data":
            if isinstance(transfer, Writing):
                self.guard(header, transfer.data, blob, header["last"])
        elif op == "file.credit":
            if isinstance(transfer, (Reading, Watching)):
                transfer.credit += header["bytes"]
                self.guard(header, transfer.pump)
        elif op == "file.cancel":
            if transfer is not None:
                self.forget(header["id"])
        elif op in OPERATIONS:
            self.guard(header, getattr(self, OPERATIONS[op]), header)

    def guard(self, header, operation, *arguments):
        """Turns what goes wrong into a `failed` message."""
        try:
            operation(*arguments)
        except FileFailure as failure:
            self.fail(header["id"], failure)
        except OSError as error:
            path = header.get("path") or getattr(self.transfers.get(header["id"]), "path", "")
            self.fail(header["id"], explain(error, path))

    def fail(self, number, failure):
        self.forget(number)
        self.link.send(
            {"ev": "failed", "id": number, "code": failure.code, "message": failure.message, "field": failure.field}
        )

    def forget(self, number):
        transfer = self.transfers.pop(number, None)
        if transfer is not None:
            transfer.close()

    def reply(self, number, value):
        """Answers; a list goes into the blob, where there is room for it."""
        if isinstance(value, list):
            blob = dump(value).encode("ascii")
            if len(blob) > MAX_BLOB:
                raise FileFailure("file_error", "The directory has too many entries to be listed at once.")
            self.link.send({"ev": "reply", "id": number, "value": None}, blob)
        else:
            self.link.send({"ev": "reply", "id": number, "value": value})

    def pump(self):
        """The engine has read on: so can files be."""
        for number, transfer in tuple(self.transfers.items()):
            if isinstance(transfer, (Reading, Watching)):
                self.guard({"id": number}, transfer.pump)

    def describe(self, path):
        return describe(self.workspace, path, os.lstat(path))

    # The operations

    def stat(self, header):
        self.reply(header["id"], self.describe(self.workspace.locate(header["path"], follow=False)))

    def list(self, header):
        path = self.workspace.locate(header["path"])
        self.loop.spawn(self.steps(header, self.listing(header["id"], path)))

    def listing(self, number, path):
        names = sorted(os.listdir(path), key=show)
        entries = []
        for index, name in enumerate(names):
            entry = os.path.join(path, name)
            try:
                entries.append(describe(self.workspace, entry, os.lstat(entry)))
            except FileNotFoundError:
                # It went away meanwhile.
                continue
            if index % BATCH == BATCH - 1:
                yield
        self.reply(number, entries)

    def steps(self, header, task):
        """A long operation as a task of the loop."""
        while True:
            try:
                next(task)
            except StopIteration:
                return
            except FileFailure as failure:
                self.fail(header["id"], failure)
                return
            except OSError as error:
                self.fail(header["id"], explain(error, header["path"]))
                return
            yield

    def delete(self, header):
        path = self.workspace.locate(header["path"], follow=False)
        if path == self.workspace.root:
            raise FileFailure("permission_denied", "/workspace itself cannot be deleted.")
        if stat.S_ISDIR(os.lstat(path).st_mode):
            self.loop.spawn(self.steps(header, self.deletion(header["id"], path)))
        else:
            os.unlink(path)
            self.reply(header["id"], None)

    def deletion(self, number, path):
        count = 0
        for _ in remove_tree(path):
            count += 1
            if count % BATCH == 0:
                yield
        self.reply(number, None)

    def make_directory(self, header):
        path = self.workspace.locate(header["path"])
        if header["parents"]:
            if os.path.lexists(path) and not os.path.isdir(path):
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            make_parents(path)
        else:
            os.mkdir(path)
        self.reply(header["id"], self.describe(path))

    def move(self, header):
        path = self.workspace.locate(header["path"], follow=False)
        to = self.workspace.locate(header["to"], "to", follow=False)
        if self.workspace.root in (path, to):
            raise FileFailure("permission_denied", "/workspace itself cannot be moved or replaced.")
        os.lstat(path)
        try:
            os.rename(path, to)
        except OSError as error:
            raise explain(error, header["to"], "to")
        self.reply(header["id"], self.describe(to))

    def read(self, header):
        path = self.workspace.locate(header["path"])
        reading = Reading(self, header, path)
        self.transfers[header["id"]] = reading
        self.reply(header["id"], describe(self.workspace, path, reading.status))
        reading.pump()

    def write(self, header):
        path = self.workspace.locate(header["path"])
        if header["createParents"]:
            make_parents(os.path.dirname(path))
        self.transfers[header["id"]] = Writing(self, header, path)

    def watch(self, header):
        path = self.workspace.locate(header["path"])
        watching = Watching(self, header, path)
        self.transfers[header["id"]] = watching
        self.loop.spawn(self.steps(header, watching.start()))


OPERATIONS = {
    "file.stat": "stat",
    "file.list": "list",
    "file.delete": "delete",
    "file.makeDirectory": "make_directory",
    "file.move": "move",
    "file.read": "read",
    "file.write": "write",
    "file.watch": "watch"
}


def make_parents(path):
    """The directory and those above it; what is there already is left alone."""
    missing = []
    while not os.path.isdir(path):
        missing.append(path)
        path = os.path.dirname(path)
    for each in reversed(missing):
        try:
            os.mkdir(each)
        except FileExistsError:
            if not os.path.isdir(each):
                raise NotADirectoryError(20, "Not a directory") from None


def remove_tree(path):
    """Deletes a directory and all in it, one entry a step, without following links and however deep it is.

    It stands in one directory at a time, so that the depth costs no descriptors and no stack.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    parent, name = os.path.split(path)
    here = os.open(parent, flags)
    try:
        levels = [(name, identity(here), None)]
        here = enter(here, name, flags)
        entries = os.listdir(here)
        while True:
            if entries:
                entry = os.fsencode(entries.pop())
                if remove_entry(entry, here):
                    yield
                else:
                    levels.append((entry, identity(here), entries))
                    here = enter(here, entry, flags)
                    entries = os.listdir(here)
                continue
            name, expected, entries = levels.pop()
            up = os.open("..", flags, dir_fd=here)
            os.close(here)
            here = up
            if identity(here) != expected:
                raise FileNotFoundError(2, "moved while it was deleted")
            try:
                os.rmdir(name, dir_fd=here)
            except FileNotFoundError:
                pass
            yield
            if not levels:
                return
    finally:
        os.close(here)


def remove_entry(entry, here):
    """Deletes what is no directory; False for a directory."""
    try:
        os.unlink(entry, dir_fd=here)
    except IsADirectoryError:
        return False
    except FileNotFoundError:
        pass
    return True


def enter(here, name, flags):
    """Goes down; a directory that its owner cannot change is made changeable, as it is to be deleted anyway."""
    try:
        os.chmod(name, 0o700, dir_fd=here)
    except OSError:
        pass
    below = os.open(name, flags, dir_fd=here)
    os.close(here)
    return below


def identity(fd):
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


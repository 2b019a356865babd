"""File operations, in the sandbox's own view and by the rights of its user."""
import errno
import os
import stat

from .framing import MAX_BLOB, dump
from .many import ReadingMany, WritingMany
from .paths import FileFailure, explain, show
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


def describe(workspace, path, folder, name, status):
    """A `FileInfo` of a name in an open folder. The status is that of a link itself, not of what it points to."""
    kind = KINDS.get(stat.S_IFMT(status.st_mode), "unknown")
    public = workspace.public(path)
    info = {
        "path": public,
        "name": public.rpartition("/")[2],
        "type": kind,
        "isDirectory": kind == "directory",
        "size": status.st_size,
        "mode": stat.S_IMODE(status.st_mode),
        "createdAt": created(folder, name, status),
        "modifiedAt": status.st_mtime_ns // 1000000
    }
    if kind == "symlink":
        try:
            info["target"] = show(os.readlink(name, dir_fd=folder))
        except OSError:
            pass
    return info


class Files:
    def __init__(self, loop, link, workspace, sync):
        """`sync`: whether what is written is brought to the disk before the answer."""
        self.loop = loop
        self.link = link
        self.workspace = workspace
        self.sync = sync
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
        elif op == "file.writeMany":
            self.begin(WritingMany(self, header, blob))
        elif op == "file.readMany":
            self.begin(ReadingMany(self, header))
        elif op in OPERATIONS:
            self.guard(header, getattr(self, OPERATIONS[op]), header)

    def begin(self, many):
        self.transfers[many.id] = many
        self.loop.spawn(many.run())

    def guard(self, header, operation, *arguments):
        """Turns what goes wrong into a `failed` message."""
        try:
            operation(*arguments)
        except FileFailure as failure:
            self.fail(header["id"], failure)
        except OSError as error:
            path = header.get("path") or getattr(self.transfers.get(header["id"]), "path", "")
            self.fail(header["id"], explain(error, path))

    def fail(self, number, failure, index=None):
        """`index`: that of the file at fault, of many."""
        self.forget(number)
        message = {"ev": "failed", "id": number, "code": failure.code, "message": failure.message, "field": failure.field}
        if index is not None:
            message["index"] = index
        self.link.send(message)

    def forget(self, number):
        transfer = self.transfers.pop(number, None)
        if transfer is not None:
            transfer.close()

    def reply(self, number, value, fd=None):
        """Answers; a list goes into the blob, where there is room for it. `fd`: at which descriptor a file is lent."""
        if isinstance(value, list):
            blob = dump(value).encode("ascii")
            if len(blob) > MAX_BLOB:
                raise FileFailure("file_error", "The directory has too many entries to be listed at once.")
            self.link.send({"ev": "reply", "id": number, "value": None}, blob)
        else:
            message = {"ev": "reply", "id": number, "value": value}
            if fd is not None:
                message["fd"] = fd
            self.link.send(message)

    def pump(self):
        """The engine has read on: so can files be."""
        for number, transfer in tuple(self.transfers.items()):
            if isinstance(transfer, (Reading, Watching)):
                self.guard({"id": number}, transfer.pump)

    def describe(self, place):
        return describe(self.workspace, place.path, place.folder, place.name, place.status())

    # The operations

    def place(self, header, follow=True, make=False):
        """The place that a request is about."""
        return self.workspace.open(header["path"], follow=follow, make=make, whole=header.get("whole", False))

    def refuse_top(self, what, *places):
        for place in places:
            if place.path in (self.workspace.root, b"/"):
                raise FileFailure("permission_denied", "%s itself cannot be %s." % (self.workspace.public(place.path), what))

    def stat(self, header):
        with self.place(header, follow=False) as place:
            self.reply(header["id"], self.describe(place))

    def list(self, header):
        with self.place(header) as place:
            folder = place.open(os.O_RDONLY | os.O_DIRECTORY)
        self.loop.spawn(self.steps(header, self.listing(header["id"], place.path, folder)))

    def listing(self, number, path, folder):
        try:
            names = sorted(map(os.fsencode, os.listdir(folder)), key=show)
            entries = []
            for index, name in enumerate(names):
                try:
                    status = os.lstat(name, dir_fd=folder)
                except FileNotFoundError:
                    # It went away meanwhile.
                    continue
                entries.append(describe(self.workspace, os.path.join(path, name), folder, name, status))
                if index % BATCH == BATCH - 1:
                    yield
        finally:
            os.close(folder)
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
        with self.place(header, follow=False) as place:
            self.refuse_top("deleted", place)
            if stat.S_ISDIR(place.status().st_mode):
                tree = remove_tree(os.dup(place.folder), place.name)
                self.loop.spawn(self.steps(header, self.deletion(header["id"], tree)))
            else:
                os.unlink(place.name, dir_fd=place.folder)
                self.reply(header["id"], None)

    def deletion(self, number, tree):
        count = 0
        for _ in tree:
            count += 1
            if count % BATCH == 0:
                yield
        self.reply(number, None)

    def make_directory(self, header):
        with self.place(header, make=header["parents"]) as place:
            if place.name != b".":
                try:
                    os.mkdir(place.name, dir_fd=place.folder)
                except FileExistsError:
                    if not header["parents"] or not stat.S_ISDIR(place.status().st_mode):
                        raise
            elif not header["parents"]:
                raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
            self.reply(header["id"], self.describe(place))

    def move(self, header):
        with self.place(header, follow=False) as place:
            with self.workspace.open(header["to"], "to", follow=False, whole=header.get("whole", False)) as to:
                self.refuse_top("moved or replaced", place, to)
                place.status()
                try:
                    os.rename(place.name, to.name, src_dir_fd=place.folder, dst_dir_fd=to.folder)
                except OSError as error:
                    raise explain(error, header["to"], "to")
                self.reply(header["id"], self.describe(to))

    def read(self, header):
        with self.place(header) as place:
            reading = Reading(self, header, place)
            self.transfers[header["id"]] = reading
            self.reply(
                header["id"],
                describe(self.workspace, place.path, place.folder, place.name, reading.status),
                reading.fd if reading.lent else None
            )
        reading.pump()

    def write(self, header):
        place = self.place(header, make=header["createParents"])
        try:
            self.transfers[header["id"]] = Writing(self, header, place)
        except BaseException:
            place.close()
            raise

    def watch(self, header):
        with self.place(header) as place:
            path = place.path
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


def remove_tree(here, name):
    """Deletes a directory, and all in it, from an open one, which is closed at the end. One entry a step, without
    following links and however deep it is: it stands in one directory at a time, so that the depth costs no descriptors
    and no stack.
    """
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
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
            up = os.open(b"..", os.O_PATH | flags, dir_fd=here)
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
    found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=here)
    try:
        try:
            # By the open one: the name may be a link by now.
            os.chmod(b"/proc/self/fd/%d" % found, 0o700)
        except OSError:
            pass
        below = os.open(b".", flags, dir_fd=found)
    finally:
        os.close(found)
    os.close(here)
    return below


def identity(fd):
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


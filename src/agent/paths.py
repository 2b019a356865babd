"""Paths of a workspace: where they lead, whether that is inside, and how names that are no UTF-8 are shown.

On the wire a path starts with `/workspace`, unless a request may reach the whole sandbox. Inside, paths are bytes, for a name on Linux is bytes. A byte that is not
part of valid UTF-8 is shown as U+FFFD; and a path with U+FFFD in it leads to the one entry that is shown like it.
"""
import errno
import os

PUBLIC = "/workspace"


class FileFailure(Exception):
    """Becomes a `failed` message."""

    def __init__(self, code, message, field="path"):
        super().__init__(message)
        self.code = code
        self.message = message
        self.field = field


CODES = {
    errno.ENOENT: ("file_not_found", "does not exist"),
    errno.EEXIST: ("file_exists", "exists already"),
    errno.EISDIR: ("not_a_file", "is a directory"),
    errno.ENOTDIR: ("not_a_directory", "is not a directory, or a part of it is not"),
    errno.ENOTEMPTY: ("directory_not_empty", "is a directory that is not empty"),
    errno.EACCES: ("permission_denied", "cannot be accessed: permission denied"),
    errno.EPERM: ("permission_denied", "cannot be changed: operation not permitted"),
    errno.EROFS: ("permission_denied", "is on a file system that is read-only"),
    errno.ENOSPC: ("disk_full", "cannot be written: the disk of the sandbox is full (resources.diskMb); delete some files"),
    errno.EDQUOT: ("disk_full", "cannot be written: the disk of the sandbox is full (resources.diskMb); delete some files"),
    errno.EFBIG: ("quota_exceeded", "would be larger than a file of this sandbox may be (resources.fileSizeMb)"),
    errno.EMFILE: ("quota_exceeded", "cannot be opened: as many files are open as may be (resources.openFiles)"),
    errno.ELOOP: ("file_error", "has too many symbolic links in it"),
    errno.ENAMETOOLONG: ("file_error", "is too long, or a name in it is"),
    errno.EXDEV: ("file_error", "is on another file system"),
    errno.EINVAL: ("file_error", "cannot be used like this (moved into itself?)")
}


def explain(error, shown, field="path"):
    """The failure for an error of the operating system about a path."""
    code, reason = CODES.get(error.errno, ("file_error", "failed: %s" % os.strerror(error.errno or errno.EIO)))
    return FileFailure(code, "%s %s." % (shown, reason), field)


def show(name):
    """A name or path as text."""
    return name.decode("utf-8", "replace")


ENTER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def in_proc(status):
    """Whether something is in /proc. The agent sees more there than the code does: itself."""
    try:
        return status.st_dev == os.lstat(b"/proc").st_dev
    except OSError:
        return False


class Place:
    """A name in a folder that is open, and inside of the workspace unless more was asked for; `close` it.

    What is done by the two cannot be led elsewhere: code may turn any part of a path into a link once it has been looked
    at, but a folder that is open stays the one that it is, and cannot be moved out of the file system of the workspace.
    """

    def __init__(self, path, folder, name):
        self.path = path
        self.folder = folder
        self.name = name

    def status(self):
        """That of a link itself, not of what it points to."""
        return os.lstat(self.name, dir_fd=self.folder)

    def open(self, flags, mode=0o777):
        return os.open(self.name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, mode, dir_fd=self.folder)

    def close(self):
        if self.folder >= 0:
            os.close(self.folder)
            self.folder = -1

    def __enter__(self):
        return self

    def __exit__(self, *raised):
        self.close()


class Workspace:
    """The folder that the file operations are confined to, where a request does not reach the whole sandbox."""

    def __init__(self, root):
        self.root = os.path.realpath(os.fsencode(root))

    def public(self, path):
        """A path as it is called on the wire."""
        return PUBLIC + show(path[len(self.root):]) if self.inside(path) else show(path)

    def inside(self, path):
        return path == self.root or path.startswith(self.root + b"/")

    def enter(self, path, make=False):
        """Opens the folder with this path, which has no symbolic links in it; with `make`, makes what is missing of it.

        It goes one step at a time from the top and follows nothing, so that a part which has become a link since the path
        was resolved fails (`NotADirectoryError`) in place of leading out.
        """
        top = self.root if self.inside(path) else b"/"
        here = os.open(top, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for part in path[len(top):].split(b"/"):
                if part:
                    below = self.step(here, part, make)
                    os.close(here)
                    here = below
            return here
        except BaseException:
            os.close(here)
            raise

    def step(self, here, part, make):
        try:
            return os.open(part, ENTER, dir_fd=here)
        except FileNotFoundError:
            if not make:
                raise
        try:
            os.mkdir(part, dir_fd=here)
        except FileExistsError:
            # Somebody else was faster; if that is no folder, the next line says so.
            pass
        return os.open(part, ENTER, dir_fd=here)

    def open(self, path, field="path", follow=True, make=False, whole=False):
        """The place that a path means, its folder open. Without `follow`, a symbolic link at its end is that place itself.
        With `make`, the folders above it are made. With `whole`, it may be anywhere in the sandbox but in /proc.

        Fails with `path_outside_workspace`, also by way of a symbolic link, and when the path is not absolute.
        """
        place = self.locate(path, field, follow, whole)
        if place in (self.root, b"/"):
            return Place(place, self.enter(place), b".")
        folder, name = os.path.split(place)
        opened = Place(place, self.enter(folder, make), name)
        if whole:
            try:
                self.keep_out_of_proc(opened, path, field)
            except BaseException:
                opened.close()
                raise
        return opened

    def keep_out_of_proc(self, place, path, field):
        """By what is open: nobody inside can mount, so what has been looked at stays where it is."""
        try:
            barred = in_proc(os.fstat(place.folder)) or in_proc(place.status())
        except FileNotFoundError:
            return
        if barred:
            raise FileFailure("permission_denied", "%s is in /proc: use a command for that." % path, field)

    def locate(self, path, field="path", follow=True, whole=False):
        """The bytes of the place that a path means, as things are at this moment."""
        if "\0" in path:
            raise FileFailure("file_error", "The path contains a NUL character.", field)
        if path == PUBLIC or path.startswith(PUBLIC + "/"):
            raw = self.root + path[len(PUBLIC):].encode("utf-8", "replace")
        elif path.startswith("/"):
            raw = path.encode("utf-8", "replace")
        else:
            raise FileFailure("path_outside_workspace", "%s is not an absolute path." % path, field)
        place = self.resolve(raw, follow)
        if not whole and not self.inside(place):
            raise FileFailure("path_outside_workspace", "%s leads outside of %s." % (path, PUBLIC), field)
        return place

    def resolve(self, raw, follow):
        raw = self.find_shown(raw)
        trimmed = raw.rstrip(b"/")
        name = os.path.basename(trimmed)
        if follow or name in (b"", b".", b".."):
            return os.path.realpath(raw)
        return os.path.join(os.path.realpath(os.path.dirname(trimmed)), name)

    def find_shown(self, raw):
        """Replaces names with U+FFFD by the one entry that is shown like that, where there is no such name."""
        if b"\xef\xbf\xbd" not in raw:
            return raw
        found = b"/"
        for part in raw.split(b"/"):
            if b"\xef\xbf\xbd" in part and not os.path.lexists(os.path.join(found, part)):
                wanted = show(part)
                try:
                    alike = [name for name in os.listdir(found) if show(name) == wanted]
                except OSError:
                    alike = []
                if len(alike) == 1:
                    part = alike[0]
            found = os.path.join(found, part)
        return found

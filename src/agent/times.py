"""When a file was made. Python's `os.stat` does not tell; statx(2) does, on file systems that know."""
import ctypes

from .libc import libc

AT_SYMLINK_NOFOLLOW = 0x100
STATX_BTIME = 0x800
BTIME_OFFSET = 80

_buffer = ctypes.create_string_buffer(256)
_statx = getattr(libc, "statx", None)


def created(folder, name, status):
    """Of a name in an open folder. Milliseconds since the epoch; the time of the last change where the file system keeps no other."""
    if _statx is not None and _statx(folder, name, AT_SYMLINK_NOFOLLOW, STATX_BTIME, _buffer) == 0:
        if int.from_bytes(_buffer.raw[0:4], "little") & STATX_BTIME:
            seconds = int.from_bytes(_buffer.raw[BTIME_OFFSET:BTIME_OFFSET + 8], "little", signed=True)
            nanoseconds = int.from_bytes(_buffer.raw[BTIME_OFFSET + 8:BTIME_OFFSET + 12], "little")
            return seconds * 1000 + nanoseconds // 1000000
    return min(status.st_ctime_ns, status.st_mtime_ns) // 1000000

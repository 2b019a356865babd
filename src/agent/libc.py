"""What the C library has and Python has not: for files, and so not imported before the first of them is asked for."""
import ctypes

libc = ctypes.CDLL(None, use_errno=True)

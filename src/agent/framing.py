"""Frames: `u32le header length, u32le blob length, header (a UTF-8 JSON object), blob`.

The same framing is spoken with the engine and with the kernels. What a kernel sends is hostile, so lengths are capped
before anything is stored, and whatever is not a frame raises `FramingError`.
"""
import struct
from _json import encode_basestring_ascii, make_encoder, make_scanner

MAX_HEADER = 1024 * 1024
MAX_BLOB = 64 * 1024 * 1024

LENGTHS = struct.Struct("<II")

SPACE = " \t\n\r"


class FramingError(Exception):
    """What was read is not a frame."""


def dump(value):
    """A value as JSON. Plain ASCII: a lone surrogate in a string cannot make a header that is no UTF-8."""
    return "".join(make_encoder({}, refuse, encode_basestring_ascii, None, ":", ",", False, False, False)(value, 0))


def refuse(value):
    raise TypeError("a %s has no JSON" % type(value).__name__)


class Reading:
    """How JSON is read, in the words of `json.JSONDecoder`. What JSON itself does not have (`NaN`, `Infinity`) is refused."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int

    @staticmethod
    def parse_constant(name):
        raise ValueError(name)


scan = make_scanner(Reading)


def load(text):
    """The value of a JSON text. Raises ValueError for what is none."""
    text = text.strip(SPACE)
    try:
        value, end = scan(text, 0)
    except StopIteration as stopped:
        raise ValueError("no JSON from character %d on" % stopped.value) from None
    if end != len(text):
        raise ValueError("more than JSON from character %d on" % end)
    return value


def head(header, blob_length=0):
    """The bytes of a frame up to its blob."""
    text = dump(header).encode("ascii")
    return LENGTHS.pack(len(text), blob_length) + text


class Decoder:
    """Cuts a byte stream into frames, however it was split on the way."""

    def __init__(self, max_header=MAX_HEADER, max_blob=MAX_BLOB):
        self.max_header = max_header
        self.max_blob = max_blob
        self.buffer = bytearray()

    def feed(self, data):
        """Takes bytes; yields each `(header, blob)` that is complete with them."""
        buffer = self.buffer
        buffer += data
        while len(buffer) >= 8:
            header_length, blob_length = LENGTHS.unpack_from(buffer)
            if header_length > self.max_header or blob_length > self.max_blob:
                raise FramingError("a frame of %d + %d bytes" % (header_length, blob_length))
            end = 8 + header_length + blob_length
            if len(buffer) < end:
                return
            with memoryview(buffer) as view:
                text = bytes(view[8:8 + header_length])
                blob = bytes(view[8 + header_length:end])
            del buffer[:end]
            try:
                header = load(text.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                raise FramingError("a header that is no JSON") from error
            if type(header) is not dict:
                raise FramingError("a header that is no object")
            yield header, blob

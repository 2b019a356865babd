"""Errors as they are reported: the user's lines and those of libraries, without the frames of the kernel."""
import os
import traceback

FOLDER = os.path.dirname(os.path.abspath(__file__)) + os.sep
LONGEST = 1024 * 1024
ASYNCIO = os.sep + "asyncio" + os.sep


def is_cell(frame):
    return frame.filename.startswith("<cell ")


def strip(stack):
    """Leaves out the kernel's frames, and those of the event loop that ran a cell."""
    frames = [frame for frame in stack if not frame.filename.startswith(FOLDER)]
    for index, frame in enumerate(frames):
        if is_cell(frame):
            if all(ASYNCIO in before.filename for before in frames[:index]):
                frames = frames[index:]
            break
    stack[:] = frames


def strip_chain(error):
    """The same for the errors that led to this one, and for those in a group."""
    seen = set()
    pending = [error]
    while pending:
        each = pending.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if each.stack is not None:
            strip(each.stack)
        pending += [each.__cause__, each.__context__]
        pending += getattr(each, "exceptions", None) or []


def describe_error(raised, evaluator):
    """`{name, value, traceback}` of an exception."""
    evaluator.restore_sources()
    name = type(raised).__name__
    try:
        value = str(raised)
    except BaseException as broken:
        if isinstance(broken, KeyboardInterrupt):
            raise
        value = "<its message could not be made: %s>" % type(broken).__name__
    formatted = traceback.TracebackException(type(raised), raised, raised.__traceback__)
    strip_chain(formatted)
    if formatted.stack:
        text = "".join(formatted.format())
    elif formatted.__cause__ is None and formatted.__context__ is None:
        text = "".join(formatted.format_exception_only())
    else:
        text = "".join(formatted.format())
    return {"name": shorten(name), "value": shorten(value), "traceback": shorten(text)}


def shorten(text):
    """Keeps both ends of a text that is too long to be read anyway."""
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(text) <= LONGEST:
        return text
    half = LONGEST // 2
    return "%s\n… (%d characters left out) …\n%s" % (text[:half], len(text) - 2 * half, text[-half:])

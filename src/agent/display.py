"""Values as results: every representation that a value offers, each within bounds, whatever the value does."""
import binascii
import math
import sys

# Longest representation, in characters; a longer text is cut, a longer one of another kind is left out.
LONGEST = 8 * 1024 * 1024

# Longest result, in characters of JSON: what the engine accepts, with room to spare. Of a longer one the longest
# representations are left out.
LONGEST_RESULT = 48 * 1024 * 1024

# Under this media type `extra` says which representations were cut or left out, and how long they were: in characters; a
# table that was not written out, in cells, and a chart, in points.
CUT = "application/vnd.sandbox-sdk.cut+json"

FIELDS = {
    "text/plain": "text",
    "text/html": "html",
    "text/markdown": "markdown",
    "image/svg+xml": "svg",
    "image/png": "png",
    "image/jpeg": "jpeg",
    "application/pdf": "pdf",
    "text/latex": "latex",
    "application/json": "json",
    "application/javascript": "javascript",
    "text/javascript": "javascript"
}

METHODS = (
    ("_repr_html_", "text/html"),
    ("_repr_markdown_", "text/markdown"),
    ("_repr_svg_", "image/svg+xml"),
    ("_repr_png_", "image/png"),
    ("_repr_jpeg_", "image/jpeg"),
    ("_repr_pdf_", "application/pdf"),
    ("_repr_latex_", "text/latex"),
    ("_repr_json_", "application/json"),
    ("_repr_javascript_", "application/javascript")
)


class Unsafe(Exception):
    """A value that has no JSON."""


def safe_json(value, depth=0):
    """The value as plain JSON. What JSON cannot hold becomes null (not a number) or its text."""
    if value is None or value is True or value is False or type(value) is str:
        return value
    if type(value) is int:
        return value if -(2 ** 53) < value < 2 ** 53 else str(value)
    if type(value) is float:
        return value if math.isfinite(value) else None
    if depth > 64:
        raise Unsafe("nested too deeply")
    if isinstance(value, dict):
        return {str(key): safe_json(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [safe_json(item, depth + 1) for item in value]
    if isinstance(value, (bytes, bytearray)):
        return binascii.b2a_base64(value, newline=False).decode("ascii")
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (int, float)):
        return safe_json(int(value) if isinstance(value, int) else float(value), depth + 1)
    item = getattr(value, "item", None)
    if callable(item) and getattr(value, "shape", None) == ():
        return safe_json(item(), depth + 1)
    return str(value)


# The types whose values say all that they are in JSON. Numbers do so by their text already.
PLAIN = frozenset((dict, list, tuple, str, bool))


def scalar(value):
    """What a scalar of numpy is in Python; anything else as it is."""
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    return value.item() if isinstance(generic, type) and isinstance(value, generic) else value


class TooLong(Unsafe):
    """Plain data that is not worth sending twice."""


class Budget:
    """How much plain data is worth sending twice: in characters, and in values."""

    def __init__(self):
        self.left = 1024 * 1024

    def spend(self, amount):
        self.left -= amount
        if self.left < 0:
            raise TooLong("too large")


def plain_json(value, budget, depth=0):
    """The value as JSON, exactly: what would lose something on the way has none."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is str:
        budget.spend(len(value))
        return value
    budget.spend(8)
    if kind is int and -(2 ** 53) < value < 2 ** 53 or kind is float and math.isfinite(value):
        return value
    if depth < 64 and (kind is list or kind is tuple):
        return [plain_json(item, budget, depth + 1) for item in value]
    if depth < 64 and kind is dict and all(type(key) is str for key in value):
        return {key: plain_json(item, budget, depth + 1) for key, item in value.items()}
    raise Unsafe("not plain")


def method(value, name):
    """A display method, found on the class: a proxy that answers to every name offers nothing."""
    if isinstance(value, type):
        return None
    found = getattr(type(value), name, None)
    return found if callable(found) else None


class Display:
    def __init__(self, figures):
        self.figures = figures

    def result(self, value, main):
        """The encoded `Result` of a value."""
        if self.figures.is_figure(value):
            return self.figure_result(value, main)
        bundle = self.bundle(value)
        if "text/plain" not in bundle:
            bundle["text/plain"] = plain(value)
        result = encode(bundle, main)
        self.tabulate(result, value)
        if main and "json" not in result:
            self.add_json(result, value)
        return fitting(result)

    def add_json(self, result, value):
        """Plain data as JSON too, for who wants the value and not its looks."""
        own = scalar(value)
        if own is value and type(value) not in PLAIN:
            return
        try:
            limited(result, "json", plain_json(own, Budget()))
        except TooLong:
            # How long it would be nobody has counted: about as long as its text.
            cut(result, "json", len(result.get("text", "")))
        except Unsafe:
            pass

    def bundle(self, value):
        """What the value offers, by media type. A method that fails offers nothing; an interrupt is no failure."""
        bundle = {}
        whole = method(value, "_repr_mimebundle_")
        if whole is not None:
            offered = attempt(lambda: whole(value, include=None, exclude=None))
            if isinstance(offered, tuple) and offered:
                offered = offered[0]
            if isinstance(offered, dict):
                bundle.update((str(kind), item) for kind, item in offered.items() if item is not None)
        for name, kind in METHODS:
            if kind in bundle:
                continue
            one = method(value, name)
            if one is not None:
                offered = attempt(lambda: one(value))
                if isinstance(offered, tuple) and offered:
                    offered = offered[0]
                if offered is not None:
                    bundle[kind] = offered
        return bundle

    def tabulate(self, result, value):
        """The columns of a frame of pandas or polars."""
        for library in ("pandas", "polars"):
            frame = getattr(sys.modules.get(library), "DataFrame", None)
            if isinstance(frame, type) and isinstance(value, frame):
                from . import tables
                cells = attempt(lambda: tables.cells(value))
                if cells is not None and cells > tables.MOST_CELLS:
                    cut(result, "data", cells)
                    return
                data = attempt(lambda: getattr(tables, library)(value))
                if data is not None:
                    limited(result, "data", data)
                return

    def figure_result(self, figure, main):
        bundle = {"text/plain": plain(figure)}
        png = attempt(lambda: self.figures.png(figure))
        if png is not None:
            bundle["image/png"] = png
        result = encode(bundle, main)
        chart, points = attempt(lambda: self.figures.chart(figure)) or (None, None)
        if chart is not None:
            limited(result, "chart", chart)
        if points is not None:
            cut(result, "chart", points)
        return fitting(result)


def attempt(operation):
    """What it gives, or None where it fails."""
    try:
        return operation()
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:
        return None


def plain(value):
    """`repr`, or why there is none."""
    try:
        return repr(value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return "<%s: repr() raised %s>" % (type(value).__name__, type(error).__name__)


def encode(bundle, main):
    """A bundle of media types as the encoded `Result`."""
    result = {"isMainResult": main, "extra": {}}
    for kind, item in bundle.items():
        field = FIELDS.get(kind)
        if field == "json":
            item = attempt(lambda: [safe_json(item)])
            if item is not None:
                limited(result, "json", item[0])
            continue
        if isinstance(item, (bytes, bytearray)):
            if kind.startswith("text/") or kind == "image/svg+xml":
                item = bytes(item).decode("utf-8", "replace")
            else:
                item = binascii.b2a_base64(item, newline=False).decode("ascii")
        if isinstance(item, str):
            item = str.__str__(item)
        elif field is None:
            item = attempt(lambda: [safe_json(item)])
            if item is None:
                continue
            item = item[0]
        else:
            item = plain(item)
        limited(result, field, item, kind)
    return result


def limited(result, field, item, kind=None):
    """Puts a representation in, within bounds."""
    size = len(item) if isinstance(item, str) else json_size(item)
    if size > LONGEST:
        cut(result, field or kind, size)
        if field != "text":
            return
        item = item[:LONGEST] + "… (%d more characters)" % (size - LONGEST)
    if isinstance(item, str):
        item = item.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    if field is None:
        result["extra"][kind] = item
    else:
        result[field] = item


def cut(result, name, size):
    """Tells that a representation was cut or left out."""
    result["extra"].setdefault(CUT, {})[name] = size


def fitting(result):
    """The result within what the engine accepts as a whole."""
    held = [(result, name) for name in result if name not in ("isMainResult", "extra", "text")]
    held += [(result["extra"], name) for name in result["extra"] if name != CUT]
    rough = sum(len(item) if isinstance(item, str) else json_size(item) for item in (where[name] for where, name in held))
    # A character takes up to six in JSON.
    if (rough + len(result.get("text", ""))) * 6 <= LONGEST_RESULT:
        return result
    sizes = sorted((json_size(where[name]), name, where) for where, name in held)
    total = sum(size for size, _, _ in sizes) + json_size(result.get("text", ""))
    while total > LONGEST_RESULT and sizes:
        size, name, where = sizes.pop()
        item = where.pop(name)
        cut(result, name, len(item) if isinstance(item, str) else size)
        total -= size
    return result


def json_size(item):
    from .framing import dump
    return len(dump(item))

"""Frames of pandas and polars as plain JSON, by column."""
from .display import safe_json

# More cells than this are not sent as data: the text and the HTML show the frame in short anyway.
MOST_CELLS = 500000


def cells(frame):
    """How many values it has."""
    rows, width = frame.shape
    return rows * width


def pandas(frame):
    """`{column: [values]}`."""
    return named((str(label), frame.iloc[:, index].tolist()) for index, label in enumerate(frame.columns))


def polars(frame):
    """`{column: [values]}`."""
    return named((str(label), list(values)) for label, values in frame.to_dict(as_series=False).items())


def named(columns):
    """Columns of the same name get a number, so that none is lost."""
    data = {}
    for base, values in columns:
        name, number = base, 0
        while name in data:
            number += 1
            name = "%s.%d" % (base, number)
        data[name] = [cell(value) for value in values]
    return data


def cell(value):
    """One value: missing ones are null, times are ISO 8601, what JSON has no form for is its text."""
    if value is None or type(value) in (str, bool):
        return value
    if type(value).__name__ in ("NaTType", "NAType"):
        return None
    iso = getattr(value, "isoformat", None)
    if callable(iso):
        return iso()
    return safe_json(value)

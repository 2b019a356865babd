"""pandas frames as plain JSON, by column."""
from .display import safe_json

# More cells than this are not sent as data: the text and the HTML show the frame in short anyway.
MOST_CELLS = 500000


def columns(frame):
    """`{column: [values]}`; None when the frame is too large."""
    if frame.shape[0] * frame.shape[1] > MOST_CELLS:
        return None
    data = {}
    for index, label in enumerate(frame.columns):
        name = base = str(label)
        number = 0
        while name in data:
            number += 1
            name = "%s.%d" % (base, number)
        data[name] = [cell(value) for value in frame.iloc[:, index].tolist()]
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

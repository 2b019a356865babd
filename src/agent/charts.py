"""Figures of matplotlib as data: what was drawn, with the axes it was drawn on."""
import datetime
import functools
import math
import re
import sys

BOXES = "_sandbox_boxes"

# More points of one series than this are not sent as data; the picture shows them.
MOST_POINTS = 200000

# A label that matplotlib has written as a formula, as it does for powers.
FORMULA = re.compile(r"\$\\mathdefault\{(.*)\}\$", re.DOTALL)

UNIT = re.compile(r"(?:\(([^()]+)\)|\[([^\[\]]+)\])\s*$")
SCALES = frozenset(("linear", "log", "symlog", "logit"))


class TooLarge(Exception):
    """More was drawn than is sent as data: so many points."""

    def __init__(self, size):
        super().__init__(size)
        self.size = size


def record_boxes(axes_class):
    """Makes box plots remember their statistics, which cannot be told from the lines that they draw."""
    original = axes_class.bxp

    @functools.wraps(original)
    def bxp(self, bxpstats, *arguments, **keywords):
        drawn = original(self, bxpstats, *arguments, **keywords)
        lines = {id(line) for kind in drawn.values() for line in kind}
        known = getattr(self, BOXES, None)
        if known is None:
            known = ([], set())
            setattr(self, BOXES, known)
        known[0].extend((stats, box) for stats, box in zip(bxpstats, drawn.get("medians", ())))
        known[1].update(lines)
        return drawn

    axes_class.bxp = bxp


def describe(figure):
    """The chart of a figure; one with several axes is a superchart."""
    charts = [
        one for axes in figure.axes if axes.get_visible() and axes.get_label() != "<colorbar>" for one in charts_of(axes)
    ]
    title = figure._suptitle.get_text() if getattr(figure, "_suptitle", None) is not None else ""
    if len(charts) == 1:
        if title and "title" not in charts[0]:
            charts[0]["title"] = title
        return charts[0]
    if not charts:
        return None
    return with_text({"type": "superchart", "elements": charts}, title=title)


def charts_of(axes):
    """What was drawn on one pair of axes; bars and lines on the same axes are a chart each."""
    if getattr(axes, "name", "") == "3d":
        return [labelled(axes, {"type": "unknown", "elements": []})]
    drawn = [one for one in (box_chart(axes), pie_chart(axes), bar_chart(axes)) if one is not None]
    points_drawn = point_chart(axes, bool(drawn))
    if points_drawn is not None:
        drawn.append(points_drawn)
    return drawn or [labelled(axes, {"type": "unknown", "elements": []})]


def box_chart(axes):
    found = boxes(axes)
    return labelled(axes, {"type": "box_and_whisker", "elements": found}) if found else None


def pie_chart(axes):
    found = wedges(axes)
    return with_text({"type": "pie", "elements": found}, title=axes.get_title()) if found else None


def bar_chart(axes):
    found, flat = bars(axes)
    if not found:
        return None
    described = {"type": "bar", "elements": found, "orientation": "horizontal" if flat else "vertical"}
    described.update(xScale=scale(axes.xaxis), yScale=scale(axes.yaxis))
    return labelled(axes, described)


def point_chart(axes, beside):
    """Lines and dots. `beside` other things a short line without a name only marks something, as an error bar does."""
    dots = scattered(axes)
    lines = lined(axes, beside)
    if not dots and not lines:
        return None
    described = {"type": "scatter" if dots else "line", "elements": dots + lines}
    described.update(axis("x", axes.xaxis, axes.get_xlim()))
    described.update(axis("y", axes.yaxis, axes.get_ylim()))
    return labelled(axes, described)


def with_text(described, **texts):
    for name, text in texts.items():
        if text:
            described[name] = text
    return described


def labelled(axes, described):
    for side, label in (("x", axes.get_xlabel()), ("y", axes.get_ylabel())):
        unit = UNIT.search(label)
        with_text(described, **{side + "Label": label, side + "Unit": (unit.group(1) or unit.group(2)) if unit else ""})
    return with_text(described, title=axes.get_title())


# Axes


def converter_name(one):
    converter = getattr(one, "converter", None) or getattr(one, "_converter", None)
    return type(converter).__name__


def is_datetime(one):
    name = converter_name(one)
    return "Date" in name or "Period" in name or "Date" in type(one.get_major_formatter()).__name__


def is_categorical(one):
    return "Category" in converter_name(one)


def scale(one):
    if is_categorical(one):
        return "categorical"
    if is_datetime(one):
        return "datetime"
    name = one.get_scale()
    if name in SCALES:
        return name
    return "function" if name.startswith("function") else "unknown"


def axis(side, one, limits):
    low, high = sorted(limits)
    ticks = [(place, label.get_text()) for place, label in zip(one.get_ticklocs(), one.get_ticklabels())]
    shown = [(place, text) for place, text in ticks if low <= place <= high]
    places = [rounded(coordinate(one, place)) for place, _ in shown]
    return {
        side + "Ticks": [place for place in places if place is not None],
        side + "TickLabels": [readable(text) for (_, text), place in zip(shown, places) if place is not None],
        side + "Scale": scale(one)
    }


def rounded(place):
    """Where a tick is meant to be: matplotlib adds up steps, and floats add up to 0.6000000000000001."""
    return number_of("%.12g" % place) if isinstance(place, float) else place


def readable(text):
    """`10^3` in place of a formula."""
    found = FORMULA.fullmatch(text)
    if found is None:
        return text
    inner = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", found[1])
    return re.sub(r"\^\{([^{}]*)\}", r"^\1", inner).replace("\\times", "\u00d7").replace("\\dfrac", "")


def coordinate(one, value):
    """A number, or the text of a date or category; None for what is neither."""
    if isinstance(value, str):
        return value
    if isinstance(value, (datetime.date, datetime.datetime)):
        return None if value != value else value.isoformat()
    if type(value).__name__ == "datetime64":
        text = str(value)
        return None if text == "NaT" else text
    if type(value).__name__ == "Period":
        return value.start_time.isoformat()
    try:
        number = float(value)
    except (TypeError, ValueError):
        return str(value)
    if not math.isfinite(number):
        return None
    if is_categorical(one):
        units = getattr(getattr(one, "units", None), "_mapping", {})
        for text, place in units.items():
            if place == number:
                return str(text)
    if is_datetime(one):
        return date(one, number)
    return number_of(number)


def number_of(value):
    """A plain number; None when it is none."""
    number = float(value)
    if not math.isfinite(number):
        return None
    return int(number) if number.is_integer() and abs(number) < 2 ** 53 else number


def date(one, number):
    if "Period" in converter_name(one):
        # pandas counts periods from the epoch in units of the frequency.
        frequency = getattr(one, "freq", None)
        pandas = sys.modules.get("pandas")
        if frequency is not None and pandas is not None:
            return pandas.Period(ordinal=int(number), freq=frequency).start_time.isoformat()
    from matplotlib import dates
    moment = dates.num2date(number)
    if moment.utcoffset() == datetime.timedelta(0):
        moment = moment.replace(tzinfo=None)
    return moment.isoformat()


# What is drawn


def series_label(artist):
    """The label that the user gave; matplotlib's own start with an underscore."""
    label = str(artist.get_label())
    return "" if label.startswith("_") else label


def legend_labels(axes):
    """The names that were given to the legend alone, `plt.legend(["a", "b"])`, by what they are for."""
    legend, module = axes.get_legend(), sys.modules.get("matplotlib.legend")
    if legend is None or not hasattr(module, "_get_legend_handles"):
        return {}
    handles = list(module._get_legend_handles([axes]))
    if any(series_label(handle) for handle in handles):
        return {}
    return {id(handle): text.get_text() for handle, text in zip(handles, legend.get_texts())}


def points(axes, xs, ys, gaps):
    """Points; where there is none, null in a line, which is broken there, and nothing among dots."""
    if len(xs) > MOST_POINTS:
        raise TooLarge(len(xs))
    found = []
    for x, y in zip(xs, ys):
        x, y = coordinate(axes.xaxis, x), coordinate(axes.yaxis, y)
        if gaps or x is not None and y is not None:
            found.append([x, y])
    return found


def parts(axes):
    """Lines that belong to something else: `(those that are no series, the names of those that are)`."""
    container = sys.modules.get("matplotlib.container")
    dropped, names = set(getattr(axes, BOXES, ((), ()))[1]), {}
    for each in axes.containers:
        if isinstance(each, container.ErrorbarContainer):
            line, caps, _ = each.lines
            dropped.update(id(cap) for cap in caps)
        elif isinstance(each, container.StemContainer):
            line = each.markerline
            dropped.add(id(each.baseline))
        else:
            continue
        if line is not None:
            names[id(line)] = series_label(each)
    return dropped, names


def lined(axes, beside):
    dropped, names = parts(axes)
    named = legend_labels(axes)
    found = []
    for line in axes.lines:
        # A line across the whole axes (axhline) is not in the data's coordinates.
        if id(line) in dropped or not line.get_visible() or line.get_transform() != axes.transData:
            continue
        xs, ys = line.get_xdata(orig=True), line.get_ydata(orig=True)
        if len(xs) != len(ys):
            xs, ys = line.get_xdata(orig=False), line.get_ydata(orig=False)
        label = series_label(line) or names.get(id(line)) or named.get(id(line), "")
        if beside and not label and len(xs) < 3:
            continue
        found.append({"label": label, "points": points(axes, xs, ys, True)})
    return found


def scattered(axes):
    collections = sys.modules.get("matplotlib.collections")
    named = legend_labels(axes)
    found = []
    for each in axes.collections:
        if not isinstance(each, collections.PathCollection) or not each.get_visible():
            continue
        # Contours are made of the same, but they are not placed by the data.
        if each.get_offset_transform() != axes.transData:
            continue
        offsets = [(x, y) for x, y in each.get_offsets().tolist() if x is not None and y is not None]
        found.append({
            "label": series_label(each) or named.get(id(each), ""),
            "points": points(axes, [x for x, _ in offsets], [y for _, y in offsets], False)
        })
    return found


def bars(axes):
    """`(bars, whether they lie)`."""
    container = sys.modules.get("matplotlib.container")
    named = legend_labels(axes)
    found, lying = [], False
    for each in axes.containers:
        if not isinstance(each, container.BarContainer):
            continue
        # matplotlib has told the direction of bars since 3.4; the widths of standing ones are alike.
        flat = getattr(each, "orientation", None) == "horizontal"
        lying = lying or flat
        one = axes.yaxis if flat else axes.xaxis
        names = tick_names(one)
        group = series_label(each) or named.get(id(each), "")
        own = [series_label(bar) for bar in each.patches]
        for bar, name in zip(each.patches, own):
            start, length = (bar.get_y(), bar.get_height()) if flat else (bar.get_x(), bar.get_width())
            value = number_of(bar.get_width() if flat else bar.get_height())
            if value is None:
                continue
            described = {
                "label": bar_label(one, names, start, length),
                # Each bar may have a name of its own; a histogram gives that of the series to its first bar.
                "group": group or (name if all(own) else own[0]),
                "value": value
            }
            base = number_of(bar.get_x() if flat else bar.get_y())
            if base:
                described["base"] = base
            found.append(described)
            if len(found) > MOST_POINTS:
                raise TooLarge(sum(len(other.patches) for other in axes.containers))
    return found, lying


def tick_names(one):
    return [(place, label.get_text()) for place, label in zip(one.get_ticklocs(), one.get_ticklabels())]


def bar_label(one, names, start, length):
    """The text of the tick under the bar (under the group, where bars stand side by side), else its place."""
    middle = start + length / 2
    if is_categorical(one) or not is_datetime(one) and any(not is_number(text) for _, text in names):
        near = [(abs(place - middle), text) for place, text in names if text]
        if near and min(near)[0] < 1:
            return min(near)[1]
    place = coordinate(one, middle)
    if isinstance(place, float):
        return "%.6g" % place
    return str(place)


def is_number(text):
    """Whether a tick only says its place; matplotlib writes a real minus sign."""
    try:
        float(text.replace("\u2212", "-") or 0)
    except ValueError:
        return False
    return True


def wedges(axes):
    patches = sys.modules.get("matplotlib.patches")
    named = legend_labels(axes)
    return [
        {
            "label": series_label(each) or named.get(id(each), ""),
            "angle": abs(float(each.theta2) - float(each.theta1)),
            "radius": float(each.r)
        }
        for each in axes.patches
        if isinstance(each, patches.Wedge)
    ]


def boxes(axes):
    found = []
    known = getattr(axes, BOXES, None)
    for stats, median in known[0] if known is not None else ():
        numbers = [float(stats[name]) for name in ("whislo", "q1", "med", "q3", "whishi")]
        if not all(math.isfinite(number) for number in numbers):
            continue
        found.append({
            "label": box_label(axes, stats, median),
            "min": numbers[0],
            "firstQuartile": numbers[1],
            "median": numbers[2],
            "thirdQuartile": numbers[3],
            "max": numbers[4],
            "outliers": [float(value) for value in stats.get("fliers", ()) if math.isfinite(float(value))]
        })
    return found


def box_label(axes, stats, median):
    """The text of the tick at the box, which is where its median is drawn."""
    xs, ys = median.get_xdata(orig=False), median.get_ydata(orig=False)
    standing = ys[0] == ys[-1]
    middle = (xs[0] + xs[-1]) / 2 if standing else (ys[0] + ys[-1]) / 2
    for place, text in tick_names(axes.xaxis if standing else axes.yaxis):
        if text and abs(place - middle) < 1e-6:
            return text
    return str(stats.get("label", ""))

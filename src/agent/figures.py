"""Figures of matplotlib: found where pyplot was imported, shown at the end of a run or by `show()`, closed afterwards."""
import io
import sys

PYPLOT = "matplotlib.pyplot"


class Figures:
    def __init__(self):
        self.show_figure = None

    def loaded(self, pyplot):
        """`show()` shows at once, in order with the text around it; box plots remember their numbers."""

        def show(*arguments, **keywords):
            for figure in self.open_figures():
                self.show_figure(figure)
            self.close()

        pyplot.show = show
        try:
            from .charts import record_boxes
            record_boxes(sys.modules["matplotlib.axes"].Axes)
        except Exception:
            pass

    def is_figure(self, value):
        figure = getattr(sys.modules.get("matplotlib.figure"), "Figure", None)
        return isinstance(figure, type) and isinstance(value, figure)

    def open_figures(self):
        """Those that pyplot knows, in the order in which they were made."""
        pyplot = sys.modules.get(PYPLOT)
        if pyplot is None or not hasattr(pyplot, "get_fignums"):
            return []
        return [pyplot.figure(number) for number in pyplot.get_fignums()]

    def close(self):
        pyplot = sys.modules.get(PYPLOT)
        if pyplot is not None:
            try:
                pyplot.close("all")
            except Exception:
                pass

    def png(self, figure):
        file = io.BytesIO()
        figure.savefig(file, format="png", bbox_inches="tight")
        return file.getvalue()

    def chart(self, figure):
        """`(chart, None)`, or `(None, how many points were too many)`."""
        from .charts import TooLarge, describe
        try:
            return describe(figure), None
        except TooLarge as error:
            return None, error.size

"""All of matplotlib that is used here; imported when a plot is drawn."""

import io
from typing import Any

# Not pyplot: no display, no global state.
import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import Normalize
from matplotlib.figure import Figure as _Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

__all__ = [
    "FancyArrowPatch",
    "FancyBboxPatch",
    "Figure",
    "FixedLocator",
    "FuncFormatter",
    "LogLocator",
    "MaxNLocator",
    "Normalize",
    "NullLocator",
    "Path",
    "colour_map",
]


class Figure(_Figure):
    """A figure that notebooks show without pyplot."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def colour_map(name: str, bad: str) -> Any:
    return mpl.colormaps[name].with_extremes(bad=bad)

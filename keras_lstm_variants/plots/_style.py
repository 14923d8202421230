"""One look for all plots: figures, colours, and tokens along an axis."""

from types import ModuleType
from typing import Any

import numpy as np

# Okabe and Ito's colours, which colour-blind readers can tell apart.
COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000"]
# Each round of colours has other markers and another line style.
MARKERS, LINES = ["o", "s", "^", "D", "v", "P", "X"], ["-", "--", ":", "-."]
# From 0 to 1, and around 0; both in shades that colour-blind readers can tell apart. Neither
# passes through the grey of what is not there.
ONE_SIDED, TWO_SIDED, NOT_THERE = "viridis", "RdBu_r", "0.65"

_SHOWN = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "⏎", "": "∅"}


def drawing() -> ModuleType:
    """matplotlib's parts.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    try:
        from keras_lstm_variants.plots import _figure
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] != "matplotlib":
            raise
        raise ModuleNotFoundError(
            "Pictures need matplotlib: pip install 'keras_lstm_variants[plot]'",
            name="matplotlib",
        ) from None
    return _figure


def new_figure(width: float, height: float) -> Any:
    """An empty figure of this size in inches, whose parts find their places by themselves."""
    return drawing().Figure(figsize=(width, height), layout="constrained")


def look(k: int) -> dict[str, str]:
    """Colour, line style and marker of the k-th of several lines."""
    return {
        "color": COLOURS[k % len(COLOURS)],
        "linestyle": LINES[k // len(COLOURS) % len(LINES)],
        # One further in each round: no two of 49 look the same.
        "marker": MARKERS[(k + k // len(COLOURS)) % len(MARKERS)],
    }


def whole_numbers(axis: Any) -> None:
    """Ticks at whole numbers only."""
    axis.set_major_locator(drawing().MaxNLocator(integer=True, min_n_ticks=1))


def plain_log(axis: Any, subs: tuple[int, ...] = (1, 2, 5)) -> None:
    """Numbers along a logarithmic axis as people write them, also where it is short."""
    parts = drawing()
    axis.set_major_locator(parts.LogLocator(subs=subs))
    axis.set_major_formatter(parts.FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(parts.NullLocator())


def scale(values: np.ndarray, one_sided: bool, limit: float | None = None) -> dict[str, Any]:
    """Colours for these values: from 0 to `limit` (1), or around 0 up to the largest."""
    parts = drawing()
    if one_sided:
        high = 1.0 if limit is None else limit
        return {
            "cmap": parts.colour_map(ONE_SIDED, NOT_THERE),
            "norm": parts.Normalize(0, high or 1.0),
        }
    real = np.abs(values[np.isfinite(values)])
    high = limit or (float(real.max()) if real.size else 0.0) or 1.0
    return {"cmap": parts.colour_map(TWO_SIDED, NOT_THERE), "norm": parts.Normalize(-high, high)}


def heat_map(axes: Any, values: np.ndarray, **options: Any) -> Any:
    """An image of (rows, columns), whose cells keep their edges and fill the axes."""
    masked = np.ma.masked_invalid(values)
    return axes.imshow(masked, aspect="auto", interpolation="nearest", **options)


def shown(token: Any) -> str:
    """A token as it is written below an axis: white space that can be seen."""
    text = str(token)
    if text in _SHOWN:
        return _SHOWN[text]
    return no_formula("".join(_SHOWN.get(c, c) if c.isspace() else c for c in text))


def no_formula(text: Any) -> str:
    """A text whose dollar signs do not begin a formula."""
    return str(text).replace("$", r"\$")


def label_axis(axis: Any, labels: list[str] | None, name: str, inches: float) -> None:
    """Labels along a length; as many as can be read there, with whole numbers for none."""
    if labels is None:
        axis.set_label_text(name)
        whole_numbers(axis)
        return
    vertical = axis.axis_name == "y"
    longest = max(map(len, labels), default=0)
    place = inches / max(1, len(labels))
    size = float(np.clip(place * 72 * 0.95, 5, 10))
    # A letter is about 0.65 as wide as high.
    turned = not vertical and longest > 1 and longest * size * 0.65 > place * 72
    every = max(1, int(np.ceil(5 / (place * 72))))
    axis.set_ticks(range(0, len(labels), every), labels[::every])
    for text in axis.get_ticklabels():
        text.set_fontsize(size)
        if turned:
            text.set_rotation(90)
        elif longest == 1:
            text.set_family("monospace")
    axis.set_label_text(name if every == 1 else f"{name} (one in {every} is named)")
    axis.set_tick_params(length=0, pad=2)


def text_colour(rgba: Any) -> str:
    """Black or white, whichever is seen better on this colour."""
    red, green, blue = rgba[:3]
    return "black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white"

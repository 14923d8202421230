"""Plots of texts, attention maps and attributions."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_lstm_variants.analysis import gate_statistics as statistics
from keras_lstm_variants.analysis.attribution import Attribution
from keras_lstm_variants.core import checks
from keras_lstm_variants.plots import _arguments, _style


def units_over_text(
    text: Sequence[str],
    values: Any,
    columns: int = 64,
    limits: tuple[float, float] | None = None,
    row: int = 0,
    units: Sequence[int] | int | None = None,
) -> Any:
    """A text whose characters are coloured by the value of a unit at each of them.

    Args:
        text: what was read, one character a step: a text, or a list of characters.
        values: those of one unit, (time,); or of a batch, (batch, time, units), as
            `history["c"]`: then a panel for each of `units`. NaN is grey.
        columns: how many characters a line has at most. Lines also end where the text's do, and
            before a word that does not fit.
        limits: the values at the two ends of the colours. Default: 0 and 1 where all values are
            in between, as those of gates; else around 0, up to the largest.
        row: which sequence of a batch.
        units: which units of a batch, from the top.

    Returns:
        A `matplotlib.figure.Figure`. The panels are its first axes.

    Raises:
        ValueError: an argument is out of its range, or text and values differ in length.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import numpy as np, keras_lstm_variants as klv
        >>> figure = klv.plots.units_over_text("to be, or not to be", np.linspace(-1, 1, 19))
        >>> [t.get_text() for t in figure.axes[0].texts[:5]]
        ['t', 'o', '␣', 'b', 'e']
    """
    text = _characters(text)
    columns = checks.positive_integer("columns", columns)
    panels = _by_unit(values, row, units)
    length = len(next(iter(panels.values())))
    if length != len(text):
        raise ValueError(
            f"`values` must be one number for each of the {len(text)} characters. "
            f"Received: {length}"
        )
    places = _places(text, columns)
    lines = max(line for line, _ in places) + 1
    across = max(column for _, column in places) + 1
    together = np.stack(list(panels.values()))
    colours = _style.scale(together, statistics.in_unit_range(together))
    if limits is not None:
        colours["norm"] = _style.drawing().Normalize(*_ordered(limits))
    title = 0.25 * (len(panels) > 1)
    height = (max(0.8, 0.27 * lines) + title) * len(panels) + 0.4
    figure = _style.new_figure(max(3.5, 0.155 * across + 1.2), height)
    all_axes = list(figure.subplots(len(panels), squeeze=False).flat)
    for axes, (unit, of_unit) in zip(all_axes, panels.items(), strict=True):
        image = _write(axes, text, places, of_unit, colours)
        if len(panels) > 1:
            axes.set_title(f"unit {unit}", fontsize=10, pad=3)
    figure.colorbar(image, ax=all_axes, pad=0.01, aspect=10 * len(panels), label="value")
    return figure


def _by_unit(values: Any, row: int, units: Sequence[int] | int | None) -> dict[int, np.ndarray]:
    """Unit -> its values, (time,)."""
    array = _arguments.numbers("values", values, (1, 3))
    if array.ndim == 1:
        for name, given, default in (("row", row, 0), ("units", units, None)):
            if given != default:
                raise ValueError(
                    f"`{name}` needs `values` of a batch, (batch, time, units). "
                    f"Received: {name}={given!r}, values of the shape {array.shape}"
                )
        return {0: array}
    array = _arguments.of_row("values", array, row, 2)
    if units is None:
        raise ValueError(
            f"`units` must name some of the {array.shape[1]} units of `values`. "
            "Received: units=None"
        )
    return {unit: array[:, unit] for unit in _arguments.units(units, array.shape[1])}


def _write(
    axes: Any,
    text: str,
    places: list[tuple[int, int]],
    values: np.ndarray,
    colours: dict[str, Any],
) -> Any:
    """The text on the colours of the values; the image of the colours."""
    shape = tuple(max(place) + 1 for place in zip(*places, strict=True))
    grid, written = np.full(shape, np.nan), np.zeros(shape, bool)
    for place, value in zip(places, values, strict=True):
        grid[place], written[place] = value, True
    image = _style.heat_map(axes, grid, alpha=written.astype(float), **colours)
    for character, place, value in zip(text, places, values, strict=True):
        behind = image.cmap(image.norm(value)) if np.isfinite(value) else (0.65,) * 3
        axes.text(
            place[1],
            place[0],
            _style.shown(character),
            ha="center",
            va="center",
            family="monospace",
            fontsize=9,
            color=_style.text_colour(behind),
            alpha=0.45 if character.isspace() else 1,
        )
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set_visible(False)
    return image


def attention(
    map: Any,
    read: Sequence[Any] | str | None = None,
    said: Sequence[Any] | str | None = None,
    row: int = 0,
) -> Any:
    """An attention map: at each step, how much attention went to each place.

    Args:
        map: (time, places), or (batch, time, places), as `AttentionLSTM(return_attention=True)`
            returns it and `gate_history` has it as `alpha`. NaN (masked steps) is grey.
        read: a label for each place, (places,), as the words of the memory.
        said: a label for each step, (time,), as the words of the output.
        row: which sequence of a batch.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: an argument does not have this form.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import numpy as np, keras_lstm_variants as klv
        >>> figure = klv.plots.attention(np.eye(3), read="abc", said="ABC")
        >>> figure.axes[0].get_xlabel(), figure.axes[0].get_ylabel()
        ('place', 'step')
    """
    values = _arguments.of_row("map", map, row, 2)
    steps, places = values.shape
    if np.nanmin(values, initial=0) < 0:
        raise ValueError(
            "`map` must be shares of attention, which are at least 0. Received: "
            f"a smallest value of {np.nanmin(values)}"
        )
    below = _arguments.labels("read", read, places)
    beside = _arguments.labels("said", said, steps)
    width, height = (float(np.clip(0.25 * n, 2.5, 12)) for n in (places, steps))
    figure = _style.new_figure(width + 1.6, height + 0.9)
    axes = figure.add_subplot()
    # The brightest colour is the largest share: attention over many places is thin.
    colours = _style.scale(values, True, float(np.nanmax(values, initial=0)))
    image = _style.heat_map(axes, values, **colours)
    _style.label_axis(axes.xaxis, below, "place", width)
    _style.label_axis(axes.yaxis, beside, "step", height)
    figure.colorbar(image, ax=axes, pad=0.01, label="attention")
    return figure


def attribution(
    values: Any,
    tokens: Sequence[Any] | str | None = None,
    feature_names: Sequence[str] | None = None,
    row: int = 0,
) -> Any:
    """What each input contributed to an output: a map of steps and features, and sums by step.

    Beside the bars stands the gap, if there is one: how far their sum is from
    F(x) - F(baseline), in red where it is more than a tenth of that.

    Args:
        values: what `klv.attribution` returned or its `values` (batch, time, features); or those
            of one sequence, (time, features). Of tokens, with one number each: what it returned.
        tokens: a label for each step, (time,), as a text or words.
        feature_names: a name for each feature, (features,).
        row: which sequence of a batch.

    Returns:
        A `matplotlib.figure.Figure`: bars of what each step contributed, above the map. For
        tokens only the bars.

    Raises:
        ValueError: an argument does not have this form.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import numpy as np, keras_lstm_variants as klv
        >>> figure = klv.plots.attribution(np.ones((4, 2)), feature_names=("rain", "wind"))
        >>> [text.get_text() for text in figure.axes[1].get_yticklabels()]
        ['rain', 'wind']
    """
    found = values if isinstance(values, Attribution) else None
    if found is None:
        values = _arguments.of_row("values", values, row, 2)
    else:
        values = _arguments.numbers("values", found.values, (2, 3))
        row = _arguments.index("row", row, len(values))
        values = values[row]
    tokens_alone = values.ndim == 1
    values = values[:, None] if tokens_alone else values
    steps, features = values.shape
    below = _arguments.labels("tokens", tokens, steps)
    beside = _arguments.labels("feature_names", feature_names, features, _style.no_formula)
    width = float(np.clip(0.16 * steps, 4.5, 14))
    height = 0 if tokens_alone else float(np.clip(0.2 * features, 0.6, 5))
    figure = _style.new_figure(width + 1.8, height + 2.6)
    if tokens_alone:
        bars = last = figure.subplots()
    else:
        bars, last = figure.subplots(2, 1, sharex=True, height_ratios=(1.3, height))
    total = np.nansum(values, axis=1)
    colours = np.where(total < 0, _style.COLOURS[0], _style.COLOURS[1])
    bars.bar(range(steps), total, color=list(colours), width=0.9)
    bars.axhline(0, color="0.4", linewidth=0.8)
    bars.set_ylabel("contribution" if tokens_alone else "sum")
    bars.tick_params(labelbottom=tokens_alone)
    if not tokens_alone:
        image = _style.heat_map(last, values.T, **_style.scale(values, False))
        _style.label_axis(last.yaxis, beside, "feature", height)
        figure.colorbar(image, ax=last, pad=0.01, label="contribution")
    bars.set_xlim(-0.5, steps - 0.5)
    if found is not None and found.gap is not None:
        whole = float(found.output[row] - found.baseline_output[row])
        _draw_gap(bars, steps, float(found.gap[row]), whole)
    _style.label_axis(last.xaxis, below, "step" if below is None else "token", width)
    return figure


def _draw_gap(bars: Any, steps: int, gap: float, whole: float) -> None:
    """A hatched bar behind the last step, and what it means."""
    wide = 0.5 + 0.03 * steps
    colour = "#B00020" if abs(gap) > 0.1 * abs(whole) else "0.4"
    bars.bar(steps + wide, gap, width=0.9, color="white", edgecolor=colour, hatch="////")
    bars.axvline(steps + wide - 0.9, color="0.7", linewidth=0.8)
    bars.set_xlim(-0.5, steps + wide + 0.6)
    share = f", {100 * abs(gap / whole):.2g} %" if whole else ""
    bars.text(
        1.0,
        1.02,
        f"bars: {whole + gap:.3g}, F(x) - F(baseline): {whole:.3g}, "
        f"gap (hatched): {gap:.2g}{share}",
        transform=bars.transAxes,
        ha="right",
        va="bottom",
        fontsize=8,
        color=colour,
    )


def _characters(text: Any) -> str:
    given = checks.listed(text) or []
    if not given or any(not isinstance(c, str) or len(c) != 1 for c in given):
        raise ValueError(
            "`text` must be a text of at least one character, or a list of single characters; "
            f"longer tokens are for `klv.plots.gates(..., tokens=...)`. Received: text={text!r}"
        )
    return "".join(given)


def _ordered(limits: Any) -> tuple[float, float]:
    try:
        low, high = map(float, checks.listed(limits) or ())
    except (TypeError, ValueError):
        low = high = np.nan
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ValueError(
            f"`limits` must be two numbers, the smaller one first. Received: limits={limits!r}"
        )
    return low, high


def _places(text: str, columns: int) -> list[tuple[int, int]]:
    """Line and column of each character; a word that a line has no place for is on the next one."""
    line = column = 0
    places = []
    for part in re.findall(r"\S+|\s", text):
        if columns - column < len(part) <= columns:
            line, column = line + 1, 0
        for character in part:
            if column == columns:
                line, column = line + 1, 0
            places.append((line, column))
            column += 1
            if character == "\n":
                line, column = line + 1, 0
    return places

"""The plot of a search: score against forget bias and the parameters that mattered most."""

import math
import statistics
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_lstm_variants.core.registry import list_variants
from keras_lstm_variants.plots import _style

BIAS, RULE = "forget_bias", "forget_bias_rule"
PANELS = 4  # in a row


def importance(values: Sequence[Any], scores: Sequence[float]) -> float:
    """How much of the order of the scores a parameter explains, from 0 to 1.

    Epsilon squared of the ranks over groups: each value of a choice, or quarters of the
    range of numbers. It is adjusted for the number of groups: 0 is what chance gives.
    """
    pairs = [(v, s) for v, s in zip(values, scores, strict=True) if v is not None]
    if len(pairs) < 4:
        return 0.0
    order = sorted(range(len(pairs)), key=lambda k: pairs[k][1])
    rank = {k: place for place, k in enumerate(order)}
    numbers = sorted(
        (k for k, (v, _) in enumerate(pairs) if _is_number(v)), key=lambda k: pairs[k][0]
    )
    quarters = len({pairs[k][0] for k in numbers}) > 4
    group = {k: f"quarter {4 * place // len(numbers)}" for place, k in enumerate(numbers)}
    groups: dict[Any, list[int]] = {}
    for k, (value, _) in enumerate(pairs):
        groups.setdefault(group[k] if quarters and k in group else value, []).append(rank[k])
    count, number = len(pairs), len(groups)
    if number < 2 or count <= number:
        return 0.0
    middle = statistics.fmean(rank.values())
    total = sum((r - middle) ** 2 for r in rank.values())
    within = sum(sum((r - statistics.fmean(g)) ** 2 for r in g) for g in groups.values())
    between = total - within
    return max(0.0, (between - (number - 1) * within / (count - number)) / total)


def draw(
    records: list[dict[str, Any]],
    score: str,
    direction: str,
    path: Path,
    title: str,
    baselines: dict[str, float] | None = None,
    note: str = "",
) -> None:
    """Draw completed trials, a panel for each parameter that was searched.

    Args:
        records: the trials, each with `score` and `settings`.
        score: what it is, for the axis; `direction` "max" or "min" is better.
        path: of the image.
        title, note: above and below.
        baselines: scores without memory, drawn as lines.

    Raises:
        ModuleNotFoundError: matplotlib is not installed.
    """
    records = [{**r, "settings": _with_places(r["settings"])} for r in records]
    scores = [r["score"] for r in records]
    better = [-s if direction == "max" else s for s in scores]
    names = list(dict.fromkeys(n for r in records for n in r["settings"]))
    weights = {
        name: importance([r["settings"].get(name) for r in records], better)
        for name in names
        if name != RULE and len({r["settings"].get(name) for r in records} - {None}) > 1
    }
    panels = sorted((n for n in weights if n != BIAS), key=lambda n: -weights[n])
    if any(BIAS in r["settings"] for r in records):
        panels.insert(0, BIAS)
    panels = panels or names[:1]
    columns = min(len(panels), PANELS)
    rows = -(-len(panels) // columns)
    figure = _style.new_figure(4.2 * columns + 1.8, 3.7 * rows + 0.7)
    all_axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    every = [*scores, *(baselines or {}).values()]
    log = min(every) > 0 and max(every) > 20 * min(every)
    for axes, name in zip(all_axes, panels, strict=False):
        # Of a few trials no share can be told.
        _panel(axes, name, records, weights.get(name) if len(records) >= 8 else None)
        for k, (baseline, value) in enumerate((baselines or {}).items()):
            label = f"{baseline} (baseline)"
            axes.axhline(value, color="0.35", linestyle=_style.LINES[1 + k % 3], label=label)
        if log:
            axes.set_yscale("log")
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    best = "higher" if direction == "max" else "lower"
    for axes in all_axes[::columns]:
        axes.set_ylabel(f"{score.replace('_', ' ')} ({best} is better)")
    handles, labels = all_axes[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside right upper")
    figure.suptitle(title)
    if note:
        figure.supxlabel(textwrap.fill(note, 26 * columns + 10), fontsize="small")
    figure.savefig(path, dpi=120)


def _with_places(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings in which the forget bias is a number or a word, and absent without a gate."""
    rule = settings.get(RULE)
    return {**settings, BIAS: rule} if rule in ("chrono", "default") else settings


def _panel(axes: Any, name: str, records: list[dict[str, Any]], weight: float | None) -> None:
    values = [r["settings"].get(name) for r in records]
    numbers = [v for v in values if _is_number(v)]
    words = sorted({str(v) for v in values if v is not None and not _is_number(v)})
    if None in values:
        words.append("none")
    log = bool(numbers) and min(numbers) > 0 and max(numbers) > 8 * min(numbers)
    # Words stand to the right of the numbers.
    low, high = (min(numbers), max(numbers)) if numbers else (0.0, 0.0)
    width = (high - low) or 1.0
    step = 0.22 * width if numbers else 1.0
    start = high + step if numbers else 0.0
    if log and words:
        log = False
    places = {word: start + k * step for k, word in enumerate(words)}
    known = {v: k for k, v in enumerate(list_variants())}
    for variant in dict.fromkeys(r["settings"].get("variant", "") for r in records):
        look = _style.look(known.get(variant, 0))
        mine = [
            (v if _is_number(v) else places["none" if v is None else str(v)], r["score"])
            for v, r in zip(values, records, strict=True)
            if r["settings"].get("variant", "") == variant
        ]
        x, y = zip(*mine, strict=True)
        axes.scatter(
            x, y, color=look["color"], marker=look["marker"], s=38, alpha=0.8, label=variant
        )
    if words:
        for place in places.values():
            axes.axvline(place, color="0.85", linewidth=1, zorder=0)
        ticks = [t for t in _ticks(low, high) if numbers]
        axes.set_xticks([*ticks, *places.values()], [*(f"{t:g}" for t in ticks), *places])
        if len(words) > 4:
            axes.tick_params(axis="x", rotation=90)
    elif not log:
        whole = all(isinstance(v, int) for v in numbers)
        ticks = _style.drawing().MaxNLocator(5, integer=whole, min_n_ticks=1)
        axes.xaxis.set_major_locator(ticks)
    if log:
        axes.set_xscale("log")
        _style.plain_log(axes.xaxis, (1, 3) if max(numbers) > 30 * min(numbers) else (1, 2, 5))
    label = name.replace("_", " ")
    if weight is not None:
        share = f"accounts for {weight:.0%} of the ranking" if weight >= 0.05 else "no effect seen"
        label += f" ({share})"
    axes.set_xlabel(label)
    axes.grid(alpha=0.25)


def _ticks(low: float, high: float) -> list[float]:
    """Some round numbers from low to high."""
    span = high - low
    if not span:
        return [low]
    step = 10 ** math.floor(math.log10(span))
    step *= next(f for f in (0.2, 0.5, 1, 2) if span / (f * step) <= 6)
    first = math.ceil(low / step)
    return [k * step for k in range(first, math.floor(high / step) + 1)]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)

"""Plots of gate histories."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_lstm_variants.analysis import gate_statistics as statistics
from keras_lstm_variants.analysis.gate_history import GateHistory, check_history
from keras_lstm_variants.core import checks
from keras_lstm_variants.plots import _arguments, _style


def gates(
    history: Mapping[str, np.ndarray],
    tokens: Sequence[Any] | str | None = None,
    row: int = 0,
    names: Sequence[str] | None = None,
    units: Sequence[int] | None = None,
) -> Any:
    """Heat maps of all gates, candidates and states of one sequence: units down, steps across.

    Gates are coloured from 0 to 1, the others around 0, each by its own largest value. Masked
    steps are grey.

    Args:
        history: name -> (batch, time, units), of one layer: `klv.gate_history(model, x)["lstm"]`.
        tokens: a label for each step, (time,), as a text or words.
        row: which sequence of a batch.
        names: which gates, candidates and states, from the top. Default: all of them.
        units: which units, from the top. Default: all of them.

    Returns:
        A `matplotlib.figure.Figure`, to be changed, shown or saved (`figure.savefig(path)`). The
        panels are its first axes, the colour bars the others.

    Raises:
        ValueError: an argument does not fit the history.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = klv.LSTM(4, name="lstm")
        >>> output = layer(keras.ops.ones((2, 5, 3)))
        >>> history = klv.gate_history(layer, keras.ops.ones((2, 5, 3)))["lstm"]
        >>> figure = klv.plots.gates(history, tokens="hello", names=("f", "c"))
        >>> [axes.get_title() for axes in figure.axes[:2]]
        ['f', 'c']
    """
    checked = check_history(history)
    chosen = _arguments.names("names", names, list(checked))
    batch, steps = next(iter(checked.values())).shape[:2]
    row = _arguments.index("row", row, batch)
    labels = _arguments.labels("tokens", tokens, steps)
    values = {name: _units_of(checked[name][row].reshape(steps, -1), units) for name in chosen}
    gate_names = statistics.gates_of(checked)
    columns = -(-len(chosen) // 8)
    rows = -(-len(chosen) // columns)
    width = float(np.clip(0.13 * steps, 5, 15 / columns))
    height = float(np.clip(0.05 * max(v.shape[1] for v in values.values()), 0.9, 2.2))
    figure = _style.new_figure((width + 1.6) * columns, (height + 0.35) * rows + 0.5)
    panels = figure.subplots(rows, columns, sharex=True, squeeze=False)
    # Down a column first, so that what stands together in the history does so here.
    for k, axes in enumerate(panels.T.flat):
        if k >= len(chosen):
            axes.axis("off")
            continue
        name = chosen[k]
        one_sided = name in gate_names or name.startswith("alpha")
        colours = _style.scale(values[name], one_sided)
        image = _style.heat_map(axes, values[name].T, **colours)
        figure.colorbar(image, ax=axes, pad=0.01, aspect=12)
        axes.set_title(name, fontsize=10, pad=3)
        axes.set_ylabel("place" if name.startswith("alpha") else "unit")
        _label_units(axes.yaxis, units, values[name].shape[1])
    if labels is not None:
        for axes in panels.flat:
            axes.tick_params(axis="x", length=0)
    for column in panels.T:
        last = [axes for axes in column if axes.axison][-1]
        last.tick_params(labelbottom=True)
        _style.label_axis(last.xaxis, labels, "step" if labels is None else "token", width)
    return figure


def saturation(history: Mapping[str, np.ndarray], low: float = 0.1, high: float = 0.9) -> Any:
    """How often each gate is almost closed or almost open, unit by unit, and its values.

    For each gate, above: a point for each unit, by the share of steps at which it is below `low`
    (left-saturated) and above `high` (right-saturated). A unit in the corner on the right is
    always closed, one at the top always open; near the origin it is neither. Below: the histogram
    of the gate's values over all steps and units.

    Reference: Karpathy, Johnson & Fei-Fei 2015, Visualizing and understanding recurrent networks,
    arXiv 1506.02078.

    Args:
        history: name -> (batch, time, units), of one layer, as `klv.gate_history` gives it. Masked
            steps do not count.
        low: a gate counts as closed below it, in [0, 1].
        high: a gate counts as open above it, in [low, 1].

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ValueError: an argument is out of its range, or the layer has no gate.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = klv.GRU(4, name="gru")
        >>> output = layer(keras.ops.ones((2, 5, 3)))
        >>> history = klv.gate_history(layer, keras.ops.ones((2, 5, 3)))["gru"]
        >>> [axes.get_title() for axes in klv.plots.saturation(history).axes[:2]]
        ['z', 'r']
    """
    checked = check_history(history)
    low, high = checks.limits(low, high)
    names = statistics.gates_of(checked)
    if not names:
        raise ValueError(
            "`history` must be of a layer with gates whose values are from 0 to 1. "
            f"Received: a history of {', '.join(checked)}"
        )
    columns = min(len(names), 4)
    blocks = -(-len(names) // columns)
    figure = _style.new_figure(2.7 * columns + 0.6, 4.6 * blocks)
    panels = figure.subplots(2 * blocks, columns, squeeze=False)
    scatters = [panels[2 * (k // columns), k % columns] for k in range(blocks * columns)]
    below = [panels[2 * (k // columns) + 1, k % columns] for k in range(blocks * columns)]
    for k, (points, histogram) in enumerate(zip(scatters, below, strict=True)):
        if k >= len(names):
            points.remove()
            histogram.remove()
            continue
        name, colour = names[k], _style.COLOURS[k % (len(_style.COLOURS) - 1)]
        closed, opened = statistics.saturated(checked[name], low, high)
        points.plot([0, 1], [1, 0], color="0.7", linewidth=1, zorder=0)
        points.scatter(closed, opened, s=22, color=colour, alpha=0.6, clip_on=False)
        points.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", title=name)
        note = f"{len(closed)} units, a dot each"
        points.text(0.97, 0.95, note, ha="right", va="top", fontsize=7, color="0.4")
        points.set_xlabel(f"share of steps below {low:g}")
        values = statistics.by_unit(checked[name])
        histogram.hist(values.ravel(), bins=np.linspace(0, 1, 41), color=colour)
        for edge in (low, high):
            histogram.axvline(edge, color="0.4", linewidth=1, linestyle=":")
        histogram.set(xlim=(0, 1), xlabel=f"value of {name}")
        histogram.ticklabel_format(axis="y", scilimits=(-3, 4))
        if k % columns == 0:
            points.set_ylabel(f"share of steps above {high:g}")
            histogram.set_ylabel("steps x units")
    return figure


def time_constants(
    history: Mapping[str, np.ndarray],
    gate: str | None = None,
    *,
    layer: Any = None,
    sign: int | None = None,
) -> Any:
    r"""How long the memory lasts: over the units, the steps until half of it is left.

    $$T = \log 0.5 / \log \bar f$$

    where $\bar f$ is the mean over steps and rows of what a step keeps: the forget gate, or
    one minus the gate that overwrites. What is newly written meanwhile does not count. In a
    clockwork cell the steps are those of the unit's clock.

    Args:
        history: name -> (batch, time, units), of one layer, as `klv.gate_history` gives it. Masked
            steps do not count.
        gate: the gate's name; `f` also means `f_1`, `f_2`, ... of a cell with levels. Default:
            the gate that the cell of the history names; where no cell is known, `f`.
        layer: the layer, its cell, or their class or variant's name, for a history that does not
            know its cell, as a dict of arrays.
        sign: 1 where the open gate keeps the memory, -1 where it overwrites. Default: what the
            cell says.

    Returns:
        A `matplotlib.figure.Figure`: a histogram with a logarithmic axis for each gate. Units
        beyond its ends, which keep everything or nothing, are counted in its title.

    Raises:
        ValueError: there is no such gate, or what it does is not known.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = klv.GRU(4, name="gru")
        >>> output = layer(keras.ops.ones((2, 5, 3)))
        >>> history = klv.gate_history(layer, keras.ops.ones((2, 5, 3)))["gru"]
        >>> figure = klv.plots.time_constants(history)
        >>> figure.axes[0].get_xlabel()
        'steps until half is left (log scale)'
    """
    checked = check_history(history)
    gate, sign = _keeping_gate(checked, gate, layer, sign)
    kept = statistics.kept_shares(checked, gate, sign)
    lives = {name: statistics.half_lives(values) for name, values in kept.items()}
    between = np.concatenate([v[np.isfinite(v) & (v > 0)] for v in lives.values()])
    first, last = (between.min(), between.max()) if between.size else (0.1, 10.0)
    # Whole powers of ten would leave a narrow distribution in one bar or two.
    edges = np.geomspace(first / 1.2, last * 1.2, 31)
    columns = min(len(lives), 3)
    rows = -(-len(lives) // columns)
    figure = _style.new_figure(max(6.0, 3.6 * columns), 3.4 * rows)
    panels = figure.subplots(rows, columns, squeeze=False, sharex=True).ravel()
    for axes in panels[len(lives) :]:
        axes.remove()
    for axes, (name, values) in zip(panels, lives.items(), strict=False):
        axes.set_xscale("log")
        axes.hist(values[np.isfinite(values) & (values > 0)], bins=edges, color=_style.COLOURS[0])
        real = values[~np.isnan(values)]
        title = f"{name if sign > 0 else f'1 - {name}'}: "
        if real.size:
            median = float(np.sort(real)[(real.size - 1) // 2 :][: 2 - real.size % 2].mean())
            axes.axvline(median, color=_style.COLOURS[1], linestyle="--", label="median")
            axes.legend(fontsize=8)
            title += f"median {median:.3g}"
        for what, count in (("all", np.isinf(real).sum()), ("nothing", (real == 0).sum())):
            if count:
                title += f"\n{count} of {values.size} units keep {what}"
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("steps until half is left (log scale)")
        axes.set_ylabel("units")
        axes.tick_params(labelbottom=True)
        _style.whole_numbers(axes.yaxis)
        _style.plain_log(axes.xaxis)
    return figure


def _keeping_gate(
    history: GateHistory, gate: str | None, layer: Any, sign: int | None
) -> tuple[str, int]:
    """The gate that decides how long memory lasts, and its sign, or a `ValueError`."""
    known = statistics.gates_of(history)
    if gate is not None and (not isinstance(gate, str) or not gate):
        raise ValueError(f"`gate` must be None or one of {known}. Received: gate={gate!r}")
    if sign is not None:
        checks.one_of("sign", sign, (1, -1))
    declared = getattr(history.cell, "forget_gate", None) if layer is None else _declared_by(layer)
    name = gate or (declared[0] if declared else "f")
    if not statistics.kept_shares({n: history[n] for n in known}, name):
        argument, hint = ("history", "") if gate is None else ("gate", "")
        if gate is None and layer is None and history.cell is None:
            hint = " Give `layer=model.get_layer(...)`, which knows its gate, or `gate` and `sign`."
        elif gate is None:
            hint = " Cells without a gate that keeps memory have none."
        raise ValueError(
            f"`{argument}` must have or name the gate that keeps the memory; the gates here are "
            f"{known}.{hint} Received: gate={gate!r}, layer={layer!r}"
        )
    if sign is None and declared and declared[0] == name:
        sign = declared[1]
    if sign is None and name.split("_")[0] != "f":
        raise ValueError(
            f"Whether the open gate {name!r} keeps the memory or overwrites it is not known: give "
            f"`layer=model.get_layer(...)`, or `sign` (1 or -1). Received: gate={gate!r}"
        )
    return name, sign or 1


def _declared_by(layer: Any) -> tuple[str, int]:
    """The gate that keeps the memory and its sign, as a layer's cell declares it."""
    if isinstance(layer, str):
        from keras_lstm_variants.core.registry import get_variant

        try:
            layer = get_variant(layer)
        except ValueError as error:
            raise ValueError(f"`layer` must name a variant. {error}") from error
    cell = getattr(layer, "cell", None) or getattr(layer, "cell_class", None) or layer
    if not hasattr(cell, "forget_gate"):
        raise ValueError(
            "`layer` must be a layer or cell of keras_lstm_variants, or a variant's name; of a "
            f"stack, one of its cells. Received: layer={layer!r}"
        )
    if cell.forget_gate is None:
        raise ValueError(
            "`layer` must have a gate that keeps its memory, and this cell has none. "
            f"Received: layer={layer!r}"
        )
    return cell.forget_gate


def _units_of(values: np.ndarray, units: Sequence[int] | None) -> np.ndarray:
    # A single number a step, as attention's beta, is drawn whatever the units.
    if units is None or values.shape[1] == 1:
        return values
    return values[:, _arguments.units(units, values.shape[1])]


def _label_units(axis: Any, units: Sequence[int] | None, count: int) -> None:
    if units is not None and count <= 20 and count == np.size(units):
        axis.set_ticks(range(count), [str(unit) for unit in np.ravel(units)])
        axis.set_tick_params(labelsize=7)
    else:
        _style.whole_numbers(axis)

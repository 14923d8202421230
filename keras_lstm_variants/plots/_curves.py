"""Learning curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_lstm_variants.core import checks
from keras_lstm_variants.plots import _style


def learning_curves(histories: Any, metric: str = "loss") -> Any:
    """A metric over the epochs, in training and, where there is any, in validation.

    Args:
        histories: what `model.fit` returned, or its `.history`; several of them as a dict
            (name -> history) or a list.
        metric: whose curve, as `"loss"` or `"accuracy"`; also one that a `GateMonitor` adds, as
            `"lstm/f/half_life"`.

    Returns:
        A `matplotlib.figure.Figure`: a colour a history; training dashed, validation solid.

    Raises:
        ValueError: there is no history, or one without this metric.
        ModuleNotFoundError: matplotlib is not installed.

    Example:
        >>> import keras_lstm_variants as klv
        >>> figure = klv.plots.learning_curves({"loss": [3.0, 2.0], "val_loss": [3.1, 2.5]})
        >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
        ['training', 'validation']
    """
    named = _named(histories)
    if not isinstance(metric, str):
        raise ValueError(f"`metric` must be a name. Received: metric={metric!r}")
    metric = metric.removeprefix("val_")
    many = len(named) > 6
    figure = _style.new_figure(10, 5.5) if many else _style.new_figure(7.5, 4.5)
    axes = figure.add_subplot()
    for k, (name, (epochs, curves)) in enumerate(named.items()):
        parts = {"training": metric, "validation": f"val_{metric}"}
        present = {part: curves[key] for part, key in parts.items() if key in curves}
        if not present:
            known = [key for key in curves if not key.startswith("val_")]
            raise ValueError(
                f"`metric` must be one of {known}. Received: metric={metric!r}"
                f"{checks.nearest(metric, known)}"
            )
        for part, curve in present.items():
            style = _style.look(k)
            if len(present) > 1 and part == "training":
                style |= {"linestyle": (0, (3, 2)), "alpha": 0.6, "marker": None}
            axes.plot(
                epochs if len(epochs) == len(curve) else range(1, len(curve) + 1),
                curve,
                markersize=4,
                markevery=max(1, len(curve) // 12),
                label=f"{name}, {part}".removeprefix(", "),
                **style,
            )
    axes.set_xlabel("epoch")
    axes.set_ylabel(metric)
    axes.grid(alpha=0.3)
    _style.whole_numbers(axes.xaxis)
    if many:  # beside the curves, not over them
        figure.legend(loc="outside right upper")
    else:
        axes.legend()
    return figure


def _named(histories: Any) -> dict[str, tuple[Sequence[int], Mapping[str, Any]]]:
    """Name -> epochs, counted from 1, and the curves."""
    if _is_history(histories):
        several = {"": histories}
    elif isinstance(histories, Mapping):
        several = {str(name): history for name, history in histories.items()}
    elif isinstance(histories, list | tuple):
        several = {f"run {k}": history for k, history in enumerate(histories, 1)}
    else:
        several = {}
    if not several or not all(map(_is_history, several.values())):
        raise ValueError(
            "`histories` must be what `model.fit` returned, its `.history` (name -> a value an "
            "epoch), or several of them as a dict or list. Received: "
            f"{ {name: type(h).__name__ for name, h in several.items()} or histories!r}"
        )
    named = {}
    for name, history in several.items():
        knows_epochs = isinstance(history, keras.callbacks.History)
        curves = history.history if knows_epochs else history
        epochs = [epoch + 1 for epoch in history.epoch] if knows_epochs else []
        named[name] = (epochs, curves)
    return named


def _is_history(value: Any) -> bool:
    if isinstance(value, keras.callbacks.History):
        return True
    return (
        isinstance(value, Mapping)
        and bool(value)
        and all(not isinstance(v, Mapping | str) and np.ndim(v) == 1 for v in value.values())
        and all(np.issubdtype(np.asarray(v).dtype, np.number) for v in value.values())
    )

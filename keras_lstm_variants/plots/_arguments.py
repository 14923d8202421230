"""The arguments that several plots share, each checked in one place.

`row` (which sequence of a batch) and `tokens` (a label for each step) mean the same in all.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from keras_lstm_variants.core import checks
from keras_lstm_variants.plots._style import shown


def index(name: str, value: Any, size: int) -> int:
    """The index, or a `ValueError` unless it is one into `size` places."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or not -size <= value < size:
        raise ValueError(
            f"`{name}` must be a whole number below {size}. Received: {name}={value!r}"
        )
    return int(value)


def of_row(name: str, values: Any, row: Any, dimensions: int) -> np.ndarray:
    """The values of one sequence: those given, or the ones of a row where they are a batch.

    Args:
        name: what the argument is called.
        values: numbers with `dimensions` axes, or with one more, the batch, in front.
        row: which sequence of the batch; of one sequence only row 0 exists.
        dimensions: the number of axes of one sequence.
    """
    array = numbers(name, values, (dimensions, dimensions + 1))
    batch = array if array.ndim > dimensions else array[None]
    return batch[index("row", row, len(batch))]


def numbers(name: str, values: Any, dimensions: tuple[int, ...]) -> np.ndarray:
    """The values as an array, or a `ValueError` unless they are numbers of so many axes."""
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        array = None
    if array is None or array.ndim not in dimensions or not array.size:
        allowed = " or ".join(str(n) for n in dimensions)
        shape = type(values).__name__ if array is None else array.shape
        raise ValueError(
            f"`{name}` must be numbers with {allowed} dimension(s), and not empty. "
            f"Received: {shape}"
        )
    return array


def labels(
    name: str,
    given: Sequence[Any] | str | None,
    count: int,
    show: Callable[[Any], str] = shown,
) -> list[str] | None:
    """Labels as they are drawn, or a `ValueError` unless there are `count`; None stays None."""
    if given is None:
        return None
    listed = checks.listed(given)
    if listed is None or len(listed) != count:
        received = repr(given) if listed is None else len(listed)
        raise ValueError(f"`{name}` must be {count} labels, one a place. Received: {received}")
    return [show(label) for label in listed]


def names(argument: str, wanted: Sequence[str] | str | None, known: Sequence[str]) -> list[str]:
    """The names that are wanted, all of them for None; or a `ValueError`."""
    if wanted is None:
        return list(known)
    wanted = [wanted] if isinstance(wanted, str) else checks.listed(wanted) or [wanted]
    for name in wanted:
        if not isinstance(name, str) or name not in known:
            raise ValueError(
                f"`{argument}` must be some of {list(known)}. Received: {argument}={wanted!r}"
                f"{checks.nearest(name, known)}"
            )
    return wanted


def units(wanted: Sequence[int] | int, count: int) -> list[int]:
    """The units that are wanted, or a `ValueError`."""
    listed = checks.listed(wanted) if np.ndim(wanted) else [wanted]
    if not listed:
        raise ValueError(f"`units` must name at least one unit. Received: units={wanted!r}")
    return [index("units", unit, count) for unit in listed]

"""Checks of arguments: each error names the argument, its value and what is allowed."""

import difflib
import math
import numbers
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

# The largest number of inputs or units that is described. An LSTM of both has 32 TB of weights.
MOST_UNITS = 1_000_000


def positive_integer(name: str, value: Any) -> int:
    """`value` as an int, or a `ValueError` unless it is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value <= 0:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    return int(value)


def whole_number(name: str, value: Any) -> int:
    """`value` as an int, or a `ValueError` unless it is a whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"`{name}` must be a whole number from 0. Received: {name}={value!r}")
    return int(value)


def shape(name: str, found: Sequence[int | None], wanted: Sequence[int | None]) -> None:
    """A `ValueError` unless `found` is the shape `wanted`; None is any size."""
    pairs = zip(found, wanted, strict=False)
    if len(found) != len(wanted) or any(None not in p and p[0] != p[1] for p in pairs):
        raise ValueError(
            f"`{name}` must have the shape {tuple(wanted)} (None is any size). "
            f"Received: {name} of shape {tuple(found)}"
        )


def positive_number(name: str, value: Any) -> float:
    """`value` as a float, or a `ValueError` unless it is a finite number above 0."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 < value < math.inf:
        raise ValueError(f"`{name}` must be a positive number. Received: {name}={value!r}")
    return float(value)


def not_negative(name: str, value: Any) -> float:
    """`value` as a float, or a `ValueError` unless it is a finite number of at least 0."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 <= value < math.inf:
        raise ValueError(f"`{name}` must be a number from 0. Received: {name}={value!r}")
    return float(value)


def share(name: str, value: Any) -> float:
    """`value` as a float, or a `ValueError` unless it is a number in [0, 1]."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 <= value <= 1:
        raise ValueError(f"`{name}` must be a number from 0 to 1. Received: {name}={value!r}")
    return float(value)


def limits(low: Any, high: Any) -> tuple[float, float]:
    """Two shares of which the first is no greater, or a `ValueError`."""
    low, high = share("low", low), share("high", high)
    if low > high:
        raise ValueError(f"`low` must not be above `high`. Received: low={low!r}, high={high!r}")
    return low, high


def flag(name: str, value: Any) -> bool:
    """`value` as a bool, or a `ValueError` unless it is True, False, 1 or 0."""
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, bool | int) or value not in (0, 1):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return bool(value)


def seed(name: str, value: Any) -> int | None:
    """`value` as an int or None, or a `ValueError`."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(
            f"`{name}` must be None or a whole number from 0. Received: {name}={value!r}"
        )
    return int(value)


def rate(name: str, value: Any) -> float:
    """`value` as a float, or a `ValueError` unless it is a number in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real) or not 0 <= value < 1:
        raise ValueError(
            f"`{name}` must be a number from 0 up to, but not including, 1 "
            f"(the fraction to drop). Received: {name}={value!r}"
        )
    return float(value)


def one_of(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """`value`, or a `ValueError` unless it is one of `allowed`."""
    allowed = list(allowed)
    # `True == 1`: compare types too, so that `implementation=True` is no 1.
    if not any(value == a and isinstance(value, bool) == isinstance(a, bool) for a in allowed):
        hint = nearest(value, allowed)
        raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}{hint}")
    return value


def subset(name: str, value: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    """`value` as a tuple in the order of `allowed`, or a `ValueError`."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        raise ValueError(
            f"`{name}` must be a tuple with some of {tuple(allowed)}. Received: {name}={value!r}"
        )
    value = tuple(value)
    if any(v not in allowed for v in value) or len(set(value)) < len(value):
        raise ValueError(
            f"`{name}` must be a tuple with some of {tuple(allowed)}, each at most once. "
            f"Received: {name}={value!r}"
        )
    return tuple(a for a in allowed if a in value)


def features(name: str, input_shape: Sequence[int | None]) -> int:
    """The number of features in an input of the cell or layer `name`, or a `ValueError`."""
    if input_shape[-1] is None:
        raise ValueError(
            f"{name} needs to know the number of input features, the last dimension of its "
            f"input. Received: input shape {tuple(input_shape)}"
        )
    return input_shape[-1]


def nearest(word: Any, known: Iterable[Any]) -> str:
    """A clause that names the known words nearest to `word`; empty if none is near."""
    # Compared in lower case: a wrong capital is the commonest slip.
    names = {k.lower(): k for k in known if isinstance(k, str)}
    found = difflib.get_close_matches(str(word).lower(), names, n=3, cutoff=0.5)
    return f". Did you mean {' or '.join(repr(names[f]) for f in found)}?" if found else ""

"""Checks of arguments: each error names the argument, its value and what is allowed."""

import difflib
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

import numpy as np

# More of anything overflows TensorFlow's 32-bit integers.
_LARGEST = 2**31 - 1
# The largest number of inputs or units that is described. An LSTM of both has 32 TB of weights.
MOST_UNITS = 1_000_000


def positive_integer(name: str, value: Any) -> int:
    """`value` as an int, or a `ValueError` unless it is a whole number above 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value <= 0:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")
    if value > _LARGEST:
        raise ValueError(f"`{name}` must be at most {_LARGEST:,}. Received: {name}={value!r}")
    return int(value)


def whole_number(name: str, value: Any) -> int:
    """`value` as an int, or a `ValueError` unless it is a whole number from 0."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 0:
        raise ValueError(f"`{name}` must be a whole number from 0. Received: {name}={value!r}")
    if value > _LARGEST:
        raise ValueError(f"`{name}` must be at most {_LARGEST:,}. Received: {name}={value!r}")
    return int(value)


def positive_integers(name: str, value: Any) -> tuple[int, ...]:
    """`value` as a tuple of ints, or a `ValueError` unless it lists whole numbers above 0."""
    # What is in a set or a dict is in no order, and in bytes it is no list of numbers.
    unordered = isinstance(value, str | bytes | Set | Mapping)
    found = None if unordered else listed(value)
    if found is None:
        raise ValueError(
            f"`{name}` must be a tuple of positive integers. Received: {name}={value!r}"
        )
    return tuple(positive_integer(name, v) for v in found)


def listed(value: Any) -> list[Any] | None:
    """What is in it, in a list; None where it has no parts, or parts without values."""
    try:
        return list(value)
    except Exception:  # Tensors and symbols have errors of their own.
        return None


def sizes(name: str, value: Any) -> tuple[int, ...]:
    """`value` as a tuple of ints, or a `ValueError` unless it is a shape."""
    if not isinstance(value, list | tuple):
        raise ValueError(f"`{name}` must be a tuple of sizes. Received: {name}={value!r}")
    return tuple(whole_number(name, v) for v in value)


def shape(name: str, found: Sequence[int | None], wanted: Sequence[int | None]) -> None:
    """A `ValueError` unless `found` is the shape `wanted`; None is any size."""
    pairs = zip(found, wanted, strict=False)
    if len(found) != len(wanted) or any(None not in p and p[0] != p[1] for p in pairs):
        raise ValueError(
            f"`{name}` must have the shape {tuple(wanted)} (None is any size). "
            f"Received: {name} of shape {tuple(found)}"
        )


def new_states(
    owner: str, names: Sequence[str | int], old: Sequence[Any], new: Sequence[Any]
) -> None:
    """A `ValueError` unless each new state of a step is like the old one.

    Of the same shape, as far as both are known, and of the same dtype; a floating state may come
    in another precision.
    """
    for name, before, after in zip(names, old, new, strict=True):
        if not hasattr(after, "shape") or not hasattr(after, "dtype"):
            raise ValueError(
                f"{owner} must return tensors as its new states. Received: {name}={after!r}"
            )
        wanted, found = tuple(before.shape), tuple(after.shape)
        pairs = zip(wanted, found, strict=False)
        types = [str(getattr(value.dtype, "name", value.dtype)) for value in (before, after)]
        like = types[0] == types[1] or all("float" in t for t in types)
        if len(wanted) != len(found) or any(None not in p and p[0] != p[1] for p in pairs):
            raise ValueError(
                f"{owner} must return its new state {name!r} in the shape of the old one, "
                f"{wanted}. Received: {name} of the shape {found}"
            )
        if not like:
            raise ValueError(
                f"{owner} must return its new state {name!r} in the dtype of the old one, "
                f"{types[0]}. Received: {name} of the dtype {types[1]}"
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


def part(name: str, value: Any) -> float:
    """`value` as a float, or a `ValueError` unless it is a number in (0, 1]."""
    real = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not real or not 0 < value <= 1:
        raise ValueError(
            f"`{name}` must be a number above 0, and at most 1. Received: {name}={value!r}"
        )
    return float(value)


def interval(name: str, value: Any) -> tuple[float, float]:
    """`value` as two floats, or a `ValueError` unless they are positive and in order."""
    ends = listed(value)
    real = ends is not None and len(ends) == 2
    real = real and all(isinstance(v, numbers.Real) and not isinstance(v, bool) for v in ends)
    if not real or not 0 < ends[0] <= ends[1] < math.inf:
        raise ValueError(
            f"`{name}` must be two positive numbers, the least first. Received: {name}={value!r}"
        )
    return float(ends[0]), float(ends[1])


def limits(low: Any, high: Any) -> tuple[float, float]:
    """Two shares of which the first is no greater, or a `ValueError`."""
    low, high = share("low", low), share("high", high)
    if low > high:
        raise ValueError(f"`low` must not be above `high`. Received: low={low!r}, high={high!r}")
    return low, high


def flag(name: str, value: Any) -> bool:
    """`value` as a bool, or a `ValueError` unless it is True, False, 1, 0 or None (False)."""
    plain = value.item() if isinstance(value, np.generic) else value
    if plain is not None and (not isinstance(plain, bool | int | float) or plain not in (0, 1)):
        raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")
    return bool(plain)


def seed(name: str, value: Any) -> int | None:
    """`value` as an int or None, or a `ValueError`."""
    if value is None:
        return None
    whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not whole or not 0 <= value < 2**63:
        raise ValueError(
            f"`{name}` must be None or a whole number from 0 to 2**63 - 1. "
            f"Received: {name}={value!r}"
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
    plain = value.item() if isinstance(value, np.generic) else value
    # `True == 1`: compare types too, so that `implementation=True` is no 1. And first: an array
    # is equal to nothing.
    for a in allowed:
        is_bool = isinstance(a, bool)
        if isinstance(plain, type(a)) and isinstance(plain, bool) == is_bool and plain == a:
            return a
    hint = nearest(value, allowed)
    raise ValueError(f"`{name}` must be one of {allowed}. Received: {name}={value!r}{hint}")


def subset(name: str, value: Any, allowed: Sequence[str]) -> tuple[str, ...]:
    """`value` as a tuple in the order of `allowed`, or a `ValueError`."""
    names = isinstance(value, list | tuple | set | frozenset)
    if not names or not all(isinstance(v, str) for v in value):
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

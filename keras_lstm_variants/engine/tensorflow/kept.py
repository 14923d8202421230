"""What is kept of a cell's loops, in the cell: tracing them again takes long."""

import functools
import json
from collections.abc import Hashable
from typing import Any

import keras
import numpy as np

from keras_lstm_variants.core.cell import Cell


class Loops:
    """What is kept of the loops of a cell, in the cell: they hold it as well."""

    def __init__(self) -> None:
        self.counter: Any = None  # of the steps that have been run
        self.forms: dict[Hashable, Any] = {}
        self.traces: dict[Hashable, Any] = {}  # of a step
        self.refused: str | None = None  # why XLA does not compile them


def loops_of(cell: Cell) -> Loops:
    # Past Keras and TensorFlow, which would save it.
    return vars(cell).setdefault("_loops", Loops())


class _Itself:
    """Equal to the same object alone, which it keeps: its id goes to no other meanwhile."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Itself) and self.value is other.value

    def __hash__(self) -> int:
        return id(self.value)


def facts_of(cell: Cell) -> Hashable | None:
    """What of the cell may change the loop besides its weights; None if it cannot be told."""
    try:
        config = json.dumps(cell.get_config(), default=repr, sort_keys=True)
    except NotImplementedError:
        return None
    names = sorted(k for k in vars(cell) if not k.startswith("_self_") and k not in _not_its_own())
    return config, tuple((k, _fact(vars(cell)[k])) for k in names)


@functools.cache
def _not_its_own() -> frozenset[str]:
    """Private attributes that every cell has, of Keras and of ours."""
    from keras_lstm_variants.cells import ElmanCell

    later = {"_loops", "_dropout_mask", "_recurrent_dropout_mask"}
    return frozenset(k for k in vars(ElmanCell(1)) if k.startswith("_")) | later


def _fact(value: Any) -> Hashable:
    if isinstance(value, bool | int | float | str | None):
        return repr(value)
    if isinstance(value, np.ndarray):
        return value.shape, value.dtype.str, value.tobytes()
    if isinstance(value, list | tuple):
        return tuple(map(_fact, value))
    if isinstance(value, dict):
        return tuple((repr(k), _fact(v)) for k, v in value.items())
    return _Itself(value)


def specs_of(values: Any, first: int = 0) -> Hashable:
    """Shapes, from the axis `first`, and types of tensors in some structure."""
    leaves = keras.tree.flatten(values)
    return tuple(None if v is None else (tuple(v.shape[first:]), v.dtype) for v in leaves)

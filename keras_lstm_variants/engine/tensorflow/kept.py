"""What is kept of a cell's loops, in the cell: tracing them again takes long."""

import json
from collections.abc import Hashable
from typing import Any

import keras

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
    simple = (bool, int, float, str, tuple, type(None))
    public = {k: v for k, v in vars(cell).items() if not k.startswith("_")}
    facts = [(k, repr(v) if isinstance(v, simple) else _Itself(v)) for k, v in public.items()]
    try:
        config = json.dumps(cell.get_config(), default=repr, sort_keys=True)
    except NotImplementedError:
        return None
    return config, tuple(sorted(facts, key=lambda fact: fact[0]))


def specs_of(values: Any, first: int = 0) -> Hashable:
    """Shapes, from the axis `first`, and types of tensors in some structure."""
    leaves = keras.tree.flatten(values)
    return tuple(None if v is None else (tuple(v.shape[first:]), v.dtype) for v in leaves)

"""What a cell declares: states, side inputs, and the blocks of columns of its weights."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

HALF_TYPES = ("float16", "bfloat16")
Size = int | tuple[int, ...]
# The states of a step: one tensor each, in the order in which they are declared.
States = tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class State:
    """A state of a cell, as data.

    Args:
        name: its name, as in the equations.
        size: a number, a tuple of numbers (a matrix), the name of an attribute of the cell
            that holds one of these, or a function of the cell that gives one. Without the
            batch.
        dtype: the type it always has, such as `"float32"` for a sum that must stay exact in
            mixed precision. None: the cell's compute type.
        kind: `"state"`; `"counter"`: it counts steps, has no gradient and is not learned;
            `"sum"`: it adds something up over the steps and no step reads it, so that stopped
            or clipped gradients between steps leave it alone.

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> import keras_lstm_variants as klv
        >>> klv.State("phase", size="groups", kind="counter").kind
        'counter'
    """

    name: str
    size: Size | str | Callable[[Any], Size] = "units"
    dtype: str | None = None
    kind: Literal["state", "counter", "sum"] = "state"

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.kind not in ("state", "counter", "sum"):
            raise ValueError(
                '`kind` must be "state", "counter" or "sum". '
                f"Received: kind={self.kind!r} of the state {self.name!r}"
            )

    def size_in(self, cell: Any) -> Size:
        """The size in this cell: a number, or a tuple of numbers."""
        size = _size(self.size, cell)
        return size[0] if len(size) == 1 else size

    def shape_in(self, cell: Any) -> tuple[int, ...]:
        """The shape in this cell, without the batch."""
        return _size(self.size, cell)

    def dtype_in(self, cell: Any) -> str:
        """The type in this cell; of a 64 bit cell never less."""
        return fixed_dtype(self.dtype, cell)


@dataclasses.dataclass(frozen=True)
class SideInput:
    """What a cell is given at each step besides its input, as data: times, noise, flags.

    The layer takes it by its name, `layer(sequences, times=...)`, and so does the cell's
    `project_inputs(inputs, training=False, times=None)`, where it comes as (rows, *size). Keras's
    own classes hand none on: in place of `Sequential` take a functional model, of
    `keras.layers.RNN(cell)` take `klv.RecurrentLayer(cell)`, of `Bidirectional` two layers, one of
    which has `go_backwards=True`.

    Args:
        name: the keyword.
        size: as of a `State`. `()`: one number a step; the layer then takes (batch, time), and
            the cell sees a column (rows, 1).
        dtype: the type it always has, whatever the precision of the layer; of a layer in
            float64 float64. None: the layer's compute type.
        required: whether the cell cannot do without.
        kind: `"value"`; or `"time"`: when time. A layer that goes backwards then counts it from
            the latest real step of each row, so that gaps between steps stay positive.

    Raises:
        ValueError: an argument is none of these.

    Example:
        >>> import keras_lstm_variants as klv
        >>> klv.SideInput("times", kind="time").size
        ()
    """

    name: str
    size: Size | str | Callable[[Any], Size] = ()
    dtype: str | None = "float32"
    required: bool = False
    kind: Literal["value", "time"] = "value"

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.name in _CALL_ARGUMENTS:
            raise ValueError(
                "`name` must not be an argument of every call. "
                f"Received: name={self.name!r}; those are {sorted(_CALL_ARGUMENTS)}"
            )
        if self.kind not in ("value", "time"):
            raise ValueError(
                '`kind` must be "value" or "time". '
                f"Received: kind={self.kind!r} of the side input {self.name!r}"
            )

    def shape_in(self, cell: Any) -> tuple[int, ...]:
        """The shape in this cell of one row of one step; of a number it is (1,)."""
        return _size(self.size, cell) or (1,)

    def dtype_in(self, cell: Any) -> str:
        """The type in this cell; of a 64 bit cell never less."""
        return fixed_dtype(self.dtype, cell)


_CALL_ARGUMENTS = {"sequences", "initial_state", "mask", "training", "inputs", "states"}


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not name.isidentifier():
        raise ValueError(f"`name` must be a Python name. Received: name={name!r}")


def _size(size: Any, cell: Any) -> tuple[int, ...]:
    if isinstance(size, str):
        size = getattr(cell, size)
    elif callable(size):
        size = size(cell)
    return tuple(size) if isinstance(size, list | tuple) else (int(size),)


def dtype_of(value: Any) -> str:
    """The name of the type of a tensor, array or variable."""
    import keras

    return keras.backend.standardize_dtype(value.dtype)


def fixed_dtype(dtype: str | None, cell: Any) -> str:
    """The type; of a cell in 64 bits never less."""
    if dtype == "float32" and cell.compute_dtype == "float64":
        return "float64"
    return dtype or cell.compute_dtype


@dataclasses.dataclass(frozen=True)
class GateWeight:
    """A weight whose entries belong to gates, block by block."""

    name: str
    gates: tuple[str, ...]  # in the order of the blocks
    axis: int = -1  # along which the blocks lie
    kind: str = "kernel"


def states_of(cell: Any) -> tuple[State, ...]:
    """The declared states of a cell of ours; of others, states by number."""
    import keras

    from keras_lstm_variants.core.cell import Cell

    if isinstance(cell, Cell):
        return tuple(cell.states)
    sizes = keras.tree.flatten(cell.state_size)
    return tuple(State(f"state_{k}", size) for k, size in enumerate(sizes))


def side_inputs_of(cell: Any) -> dict[str, SideInput]:
    """The declared side inputs of a cell, or of all cells of a stack, by name."""
    inner = getattr(cell, "cells", None) or [cell]
    if inner != [cell]:
        return {name: side for c in inner for name, side in side_inputs_of(c).items()}
    return {side.name: side for side in getattr(cell, "side_inputs", ())}

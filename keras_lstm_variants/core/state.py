"""What a cell declares: its states and the blocks of columns of its weights."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

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
        if not isinstance(self.name, str) or not self.name.isidentifier():
            raise ValueError(f"`name` must be a Python name. Received: name={self.name!r}")
        if self.kind not in ("state", "counter", "sum"):
            raise ValueError(
                '`kind` must be "state", "counter" or "sum". '
                f"Received: kind={self.kind!r} of the state {self.name!r}"
            )

    def size_in(self, cell: Any) -> Size:
        """The size in this cell: a number, or a tuple of numbers."""
        size = self.size
        if isinstance(size, str):
            size = getattr(cell, size)
        elif callable(size):
            size = size(cell)
        return tuple(size) if isinstance(size, list | tuple) else int(size)

    def shape_in(self, cell: Any) -> tuple[int, ...]:
        """The shape in this cell, without the batch."""
        size = self.size_in(cell)
        return size if isinstance(size, tuple) else (size,)

    def dtype_in(self, cell: Any) -> str:
        """The type in this cell; of a 64 bit cell never less."""
        if self.dtype == "float32" and cell.compute_dtype == "float64":
            return "float64"
        return self.dtype or cell.compute_dtype


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

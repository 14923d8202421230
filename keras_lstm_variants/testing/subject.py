"""A cell class with arguments for its constructor, and a loop over it written out by hand."""

import inspect
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants.backend.graphs import with_slopes
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.context import within
from keras_lstm_variants.core.state import side_inputs_of
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer

BATCH, TIME = 4, 6
# Each row another pattern: left padding, gaps, no step at all, right padding.
MASK = np.array(
    [[0, 0, 1, 1, 1, 1], [1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 0], [1, 1, 1, 1, 0, 0]], bool
)
ALL = {"return_sequences": True, "return_state": True}


class Subject:
    """What the checks need of a cell class with the arguments of one case."""

    def __init__(self, cell_class: type, arguments: dict[str, Any], features: int) -> None:
        self.cell_class = cell_class
        self.arguments = arguments
        self.features = features

    def __str__(self) -> str:
        given = ", ".join(f"{name}={value!r}" for name, value in self.arguments.items())
        return f"{self.cell_class.__name__}({given})"

    def new(self, **more: Any) -> Any:
        """A cell that is not built."""
        return self.cell_class(**{**self.arguments, **more})

    def cell(self, features: int | None = None, **more: Any) -> Any:
        """A built cell whose weights are all moved, so that none is zero or equal to another."""
        return moved(self.layer(self.new(**more), features=features).cell)

    def layer(self, cell: Any, features: int | None = None, **options: Any) -> RecurrentLayer:
        """A built layer that runs the cell."""
        layer = RecurrentLayer(cell, **options)
        batch = BATCH if options.get("stateful") else None
        layer.build((batch, None, self.features if features is None else features))
        return layer

    def sequences(self, dtype: str = "float32", seed: int = 0) -> np.ndarray:
        shape = (BATCH, TIME, self.features)
        return np.random.default_rng(seed).normal(size=shape).astype(dtype)

    def side(self, cell: Any) -> dict[str, np.ndarray]:
        """A value for each side input of each step; times grow, by gaps of any size."""
        random = np.random.default_rng(4)
        found = {}
        for name, side in side_inputs_of(cell).items():
            values = random.uniform(0.1, 2.0, size=(BATCH, TIME, *side.shape_in(cell)))
            found[name] = np.cumsum(values, axis=1) if side.kind == "time" else values
        return {k: ops.convert_to_tensor(v.astype("float32")) for k, v in found.items()}

    def states(self, cell: Any) -> list[Any]:
        """States as they occur: those of row k are the ones after k steps."""
        states = RecurrentLayer(cell).get_initial_state(BATCH)
        states = keras.tree.flatten(states)
        x = ops.cast(self.sequences(seed=3), cell.compute_dtype)
        after = [states]
        for t in range(BATCH - 1):
            after.append(one_step(cell, x[:, t], after[-1])[1])
        return [
            ops.stack([s[k] for k, s in enumerate(steps)]) for steps in zip(*after, strict=True)
        ]

    def both(self, cell: Any, **more: Any) -> tuple[Any, list[Any]]:
        """Sequences and states to start from."""
        return ops.convert_to_tensor(self.sequences(**more)), self.states(cell)


def moved(cell: Any, seed: int = 1) -> Any:
    """The cell with noise on every weight, as far as constraints allow."""
    random = np.random.default_rng(seed)
    for weight in cell.trainable_weights:
        value = ops.convert_to_tensor(weight)
        value = value + ops.cast(0.5 * random.normal(size=weight.shape), value.dtype)
        weight.assign(value if weight.constraint is None else weight.constraint(value))
    return cell


def one_step(
    cell: Any, x: Any, states: list[Any], training: bool = False, side: dict[str, Any] | None = None
) -> tuple[Any, list[Any]]:
    """The output and the new states of one call of the cell."""
    takes_training = "training" in inspect.signature(cell.call).parameters
    with within(side=side or {}):
        output, new = cell(x, list(states), **({"training": training} if takes_training else {}))
    return output, keras.tree.flatten(new)


def by_hand(
    cell: Any,
    x: Any,
    states: list[Any],
    mask: Any = None,
    *,
    backwards: bool = False,
    zero_output: bool = False,
    training: bool = False,
    side: dict[str, Any] | None = None,
) -> tuple[Any, list[Any], list[Any]]:
    """A loop over the cell: outputs, last states, and the states after each step.

    At a masked step states stay, and the output is the last one, or zero. Sequences are in the
    order of processing, but those of states in the order of the input.
    """
    time = x.shape[1]
    outputs, after = [], []
    output = None
    for t in reversed(range(time)) if backwards else range(time):
        now = {name: value[:, t] for name, value in (side or {}).items()}
        new_output, new = one_step(cell, x[:, t], states, training, now)
        if mask is not None:
            if output is None or zero_output:
                output = ops.zeros_like(new_output)
            new_output = _where(mask[:, t], new_output, output)
            new = [_where(mask[:, t], n, s) for n, s in zip(new, states, strict=True)]
        output, states = new_output, new
        outputs.append(output)
        after.append(states)
    histories = [ops.stack(s, axis=1) for s in zip(*after, strict=True)]
    if backwards:
        histories = [ops.flip(s, axis=1) for s in histories]
    return ops.stack(outputs, axis=1), states, histories


def _where(keep: Any, new: Any, old: Any) -> Any:
    keep = ops.reshape(ops.convert_to_tensor(keep), (-1, *[1] * (len(new.shape) - 1)))
    return ops.where(keep, new, old)


def with_gradients(cell: Any, call: Callable[..., list[Any]], x: Any, states: list[Any]) -> Any:
    """What `call(x, states)` returns, and gradients by weights, inputs and states.

    The gradients are of the sum of sines of all results; zeros where there is none.
    """
    weights = [w.value for w in cell.trainable_weights]
    free = [k for k, s in enumerate(states) if "float" in keras.backend.standardize_dtype(s.dtype)]

    def run(sources: list[Any]) -> list[Any]:
        x, *chosen = sources[len(weights) :]
        given = list(states)
        for k, state in zip(free, chosen, strict=True):
            given[k] = state
        results = call(x, given)
        sines = [ops.sum(ops.sin(ops.cast(r, "float32"))) for r in results]
        return [sum(sines), *results]

    sources = [*weights, x, *(states[k] for k in free)]
    (_, *results), slopes = with_slopes(run, sources)
    found = [
        ops.zeros(s.shape, s.dtype) if d is None else ops.convert_to_tensor(d)
        for d, s in zip(slopes, sources, strict=True)
    ]
    return results, found


def names_of_gradients(cell: Any, states: list[Any]) -> list[str]:
    weights = [f"the gradient by {w.name}" for w in cell.trainable_weights]
    return [*weights, "the gradient by the input", *named("the gradient by state", states)]


def named(what: str, values: Any) -> list[str]:
    return [f"{what} {k}" for k, _ in enumerate(values)]


def arrays(values: Any) -> list[np.ndarray]:
    return [ops.convert_to_numpy(v) for v in keras.tree.flatten(values)]


def assert_close(actual: Any, expected: Any, names: list[str], tolerance: float = 1e-5) -> None:
    """Of each tensor, the largest difference is at most `tolerance` times the largest value."""
    actual, expected = arrays(actual), arrays(expected)
    assert len(actual) == len(expected), f"{len(actual)} results in place of {len(expected)}"
    for found, wanted, name in zip(actual, expected, names, strict=True):
        assert found.shape == wanted.shape, (
            f"{name} has the shape {found.shape}, not {wanted.shape}"
        )
        if not found.size:
            continue
        found, wanted = found.astype("float64"), wanted.astype("float64")
        error, size = np.max(np.abs(found - wanted)), np.max(np.abs(wanted))
        # Where one of them is not a number, neither is the error.
        assert error <= tolerance * max(size, 1e-2), (
            f"{name} differs by {error:.2g}, where its largest value is {size:.2g}"
        )


def is_ours(cell: Any) -> bool:
    """Whether the cell has what only a `klv.Cell` has: gates, dropout, precision."""
    return isinstance(cell, Cell)

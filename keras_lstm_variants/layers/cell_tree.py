"""What a recurrent layer must know of its cells, be it one or a stack."""

from typing import Any

import keras
from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.core.keras_private import DropoutRNNCell

# Added to an integer seed for the layer that goes backwards: under `Bidirectional` both
# directions get the same seed, and would share one dropout mask.
_BACKWARD_SEED = 0x9E3779B9


class InitialStateOf:
    """Initializer of a state: what the cell starts from, zeros as a rule."""

    def __init__(self, layer: keras.layers.RNN, index: int) -> None:
        self.layer, self.index = layer, index

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        states = keras.tree.flatten(keras.layers.RNN.get_initial_state(self.layer, shape[0]))
        return ops.cast(states[self.index], dtype)


def is_cell(value: Any) -> bool:
    """Whether it is a cell: of ours, of Keras, or of anybody."""
    return (
        isinstance(value, keras.layers.Layer)
        and hasattr(value, "state_size")
        and not (isinstance(value, keras.layers.RNN))
    )


def fits(shape: tuple[Any, ...], wanted: tuple[Any, ...]) -> bool:
    """Whether two shapes agree as far as they are known (None or a tensor: unknown)."""
    return len(shape) == len(wanted) and all(
        s == w
        for s, w in zip(shape, wanted, strict=True)
        if isinstance(s, int) and isinstance(w, int)
    )


def flat_cells(cell: Any) -> list[Any]:
    """The cells of a stack, of stacks in it too; or the one cell."""
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [inner for c in cell.cells for inner in flat_cells(c)]
    return [cell]


def shift_seed(cell: Any) -> None:
    """Let the cell draw other masks than one with the same seed that goes forwards."""
    generator = getattr(cell, "seed_generator", None)
    if generator is not None and isinstance(getattr(cell, "seed", None), int):
        generator.state.assign([(cell.seed + _BACKWARD_SEED) % 2**32, 0])


def draw_dropout_masks(cell: Any, features: tuple[int, ...], states: Any) -> None:
    """Draw the masks of a whole sequence before the loop, which must draw nothing.

    Keras does so at inference too, where no mask is used: its seeds then advance, and
    exported models contain random operations.
    """
    batch = ops.shape(keras.tree.flatten(states)[0])[0]
    stacked = isinstance(cell, keras.layers.StackedRNNCells)
    cells = zip(cell.cells, states, strict=True) if stacked else [(cell, states)]
    for inner, inner_states in cells:
        if isinstance(inner, keras.layers.StackedRNNCells):
            draw_dropout_masks(inner, features, inner_states)
        elif isinstance(inner, DropoutRNNCell):
            inner.get_dropout_mask(ops.zeros((batch, *features), dtype=inner.compute_dtype))
            inner.get_recurrent_dropout_mask(keras.tree.flatten(inner_states)[0])
        features = (engine.output_size(inner),)

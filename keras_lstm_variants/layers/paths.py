"""The names of recurrent layers, their cells and states inside a model: one scheme for all tools.

The path of a layer joins the names that lead to it, as `encoder/lstm`; the two directions of a
`Bidirectional` are `both/forward` and `both/backward`; a cell of a stack is `stack/lstm_cell`.
Where several recurrent layers have one path, the second is `lstm#2`. States have the names that
their cell declares; those of a cell that declares none are `state_0`, `state_1`, ...
"""

import itertools
from collections.abc import Collection, Iterator
from typing import Any

import keras

from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.state import states_of
from keras_lstm_variants.layers.cell_tree import flat_cells


def walk(layer: keras.layers.Layer) -> Iterator[tuple[str, keras.layers.Layer]]:
    """A layer and all layers inside it, each once, with its path."""
    return _walk(layer, "", layer.name, set())


def _walk(layer: Any, path: str, shown: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    if id(layer) in seen:
        return
    seen.add(id(layer))
    yield shown, layer
    if isinstance(layer, keras.layers.Bidirectional):
        path = shown  # also at the top: `forward` alone would name no layer
        for name in ("forward", "backward"):
            inner = f"{path}/{name}"
            yield from _walk(getattr(layer, f"{name}_layer"), inner, inner, seen)
    for child in _children(layer):
        inner = f"{path}/{child.name}" if path else child.name
        yield from _walk(child, inner, inner, seen)


def _children(layer: Any) -> Iterator[Any]:
    """The layers of a model, in its order, then all layers in its attributes."""
    yield from getattr(layer, "layers", [])
    for value in vars(layer).values():
        if isinstance(value, dict):
            value = list(value.values())
        for child in value if isinstance(value, list | tuple) else [value]:
            if isinstance(child, keras.layers.Layer):
                yield child


def recurrent_paths(model: keras.layers.Layer) -> dict[keras.layers.RNN, str]:
    """Every recurrent layer of a model, ours or Keras's, with a path of its own."""
    paths: dict[Any, str] = {}
    for path, layer in walk(model):
        if isinstance(layer, keras.layers.RNN):
            paths[layer] = unused(path, paths.values())
    return paths


def unused(path: str, taken: Collection[str]) -> str:
    """The path, with a number where it is taken."""
    numbered = (f"{path}#{k}" for k in itertools.count(2))
    return path if path not in taken else next(p for p in numbered if p not in taken)


def cell_paths(cell: Any) -> list[tuple[str, Any, bool]]:
    """The cells of a layer, and those inside them: path below the layer, cell, has it states.

    The path of a layer's only cell is "".
    """
    paths = []
    cells = flat_cells(cell)
    for outer in cells:
        prefix = outer.name if len(cells) > 1 else ""
        paths.append((prefix, outer, True))
        for path, inner in walk(outer):
            if inner is not outer and isinstance(inner, Cell):
                paths.append((f"{prefix}/{path}" if prefix else path, inner, False))
    return paths


def state_names(cell: Any) -> tuple[str, ...]:
    """The names of a cell's states, in their order."""
    return tuple(state.name for state in states_of(cell))

"""The side inputs of a call: what its cells are given at each step besides their input."""

from typing import Any

from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.core import checks
from keras_lstm_variants.core.context import exact
from keras_lstm_variants.core.state import SideInput, side_inputs_of
from keras_lstm_variants.layers.cell_tree import fits, flat_cells


def check(layer: Any, given: dict[str, Any], batch_and_time: tuple[Any, Any]) -> None:
    """Errors for side inputs that are unknown, missing or of a wrong shape.

    Args:
        layer: a recurrent layer.
        given: by name; None as good as absent.
        batch_and_time: sizes of the sequences, as far as they are known.
    """
    declared = side_inputs_of(layer.cell)
    for name in given:
        if name not in declared:
            known = ["initial_state", "mask", "training", *declared]
            raise ValueError(
                f"{layer.name} takes no `{name}`; it takes {known}{checks.nearest(name, known)}"
            )
    for name, side in declared.items():
        value = given.get(name)
        if value is None and side.required:
            raise ValueError(
                f"{layer.name} needs `{name}` at each step: call it as "
                f"`layer(sequences, {name}=...)`. Keras's `Sequential` and `Bidirectional` hand "
                "nothing on: take a functional model, and two layers, of which one has "
                "`go_backwards=True`."
            )
        if value is None:
            continue
        if not hasattr(value, "shape"):
            raise ValueError(
                f"`{name}` must be a tensor or an array. Received: {name} of the type "
                f"{type(value).__name__}"
            )
        wanted = (*batch_and_time, *_sizes(layer, side))
        if not fits(tuple(value.shape), wanted):
            raise ValueError(
                f"`{name}` of {layer.name} must have the shape {wanted} (None is any size). "
                f"Received: {tuple(value.shape)}"
            )


def check_declarations(cells: list[Any]) -> None:
    """A `ValueError` where two cells of a stack declare one name in two ways."""
    declared: dict[str, SideInput] = {}
    for cell in cells:
        for name, side in side_inputs_of(cell).items():
            if declared.setdefault(name, side) != side:
                raise ValueError(
                    f"Cells of a stack must declare `{name}` alike, for they share it. "
                    f"Received: {declared[name]} and {side}"
                )


def fitted(layer: Any, given: dict[str, Any], sequences: Any, mask: Any) -> dict[str, Any]:
    """The side inputs of a call as the loop takes them, (batch, time, ...) each."""
    declared = side_inputs_of(layer.cell)
    if not declared and not given:
        return {}
    check(layer, given, tuple(sequences.shape[:2]))
    found = {}
    for name, side in declared.items():
        if given.get(name) is None:
            continue
        rule = f"`{name}` of {layer.name} must have a value for each step of its input"
        value = ops.convert_to_tensor(exact(layer, name, given[name]))
        value = engine.fitted(rule, value, ops.shape(sequences)[:2])
        value = ops.cast(value, side.dtype_in(_owner(layer, name)))
        if side.kind == "time" and layer.go_backwards:
            value = _from_the_end(value, mask)
        found[name] = value if _sizes(layer, side) else value[..., None]
    return found


def _owner(layer: Any, name: str) -> Any:
    """The cell that declares the side input."""
    return next(c for c in flat_cells(layer.cell) if name in side_inputs_of(c))


def _sizes(layer: Any, side: SideInput) -> tuple[int, ...]:
    """The axes after time."""
    return () if side.size == () else side.shape_in(_owner(layer, side.name))


def _from_the_end(times: Any, mask: Any) -> Any:
    """How long before the latest real step of its row each step is."""
    real = times
    if mask is not None:
        least = ops.full_like(times, float("-inf"))
        real = ops.where(mask, times, least)
    latest = ops.max(real, axis=1, keepdims=True)
    # A row without a real step has no times.
    return ops.where(ops.isfinite(latest), latest, ops.zeros_like(latest)) - times

"""The options of `RecurrentLayer`: what each may be, when it is made and when it is set later."""

from typing import Any

from keras_lstm_variants.core import checks

FLAGS = (
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "unroll",
    "zero_output_for_mask",
    "return_all_states",
    "recompute",
)


def checked(layer: Any, name: str, value: Any) -> Any:
    """`value` as the layer keeps it, or a `ValueError`; other attributes may be anything."""
    if name in FLAGS:
        value = checks.flag(name, value)
    elif name == "engine":
        value = checks.one_of(name, value, ("auto", "xla", "plain"))
    elif name == "initial_state":
        value = checks.one_of(name, value, type(layer).initial_states)
    elif name == "stop_gradient_every" and value is not None:
        value = checks.positive_integer(name, value)
    elif name == "clip_state_gradients" and value is not None:
        value = checks.positive_number(name, value)
    if getattr(layer, "built", False):
        _check_after_build(layer, name, value)
    return value


def _check_after_build(layer: Any, name: str, value: Any) -> None:
    """A `ValueError` for what the built layer has no variables for."""
    late = name == "stateful" and value and layer.states is None
    if late or (name == "initial_state" and value != layer.initial_state):
        raise ValueError(
            f"{layer.name} is built, and `{name}` decides what is built: give it to the "
            f"constructor. Received: {name}={value!r}"
        )

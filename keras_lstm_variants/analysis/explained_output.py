"""The number of a model's output that `attribution` explains, as a function of its input."""

from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from keras_lstm_variants.analysis.attribution_target import chooser
from keras_lstm_variants.analysis.model_calls import (
    as_tensors,
    compiled_for,
    masks_of,
    replaced,
    with_masks,
)
from keras_lstm_variants.backend import graphs
from keras_lstm_variants.layers.stateful import unchanged


class ExplainedOutput:
    """F(x): its values and gradients; every call starts from the same kept states.

    Args:
        model, x, target, embedding, jit_compile, call_arguments: as for `attribution`.

    Attributes:
        x: the tensor that is explained: the floating input, or the output of `embedding`.
        leaves: all inputs of the model.
        embedding: the layer whose output is explained, or None.
    """

    def __init__(
        self,
        model: keras.layers.Layer,
        x: Any,
        target: Any,
        embedding: keras.layers.Layer | None,
        jit_compile: bool,
        call_arguments: dict[str, Any],
    ) -> None:
        self.model, self.embedding = model, embedding
        self._call_arguments = call_arguments
        self._chosen = chooser(target)
        self._inputs = as_tensors(x)
        self._masks = masks_of(self._inputs)
        self.leaves = keras.tree.flatten(self._inputs)
        if embedding is None:
            self._place = _floating(self.leaves)
            self.x = self.leaves[self._place]
        else:
            self.x = self.embedded({})
        self._value = compiled_for(model, self._explained, jit_compile)
        self._gradient = compiled_for(
            model, lambda x: graphs.gradient(self._explained, x), jit_compile
        )

    def value(self, x: Any) -> Any:
        """F, (batch,)."""
        with unchanged(self.model):
            return self._value(x)

    def gradient(self, x: Any) -> tuple[Any, Any]:
        """F, (batch,), and its gradient by x."""
        with unchanged(self.model):
            return self._gradient(x)

    def embedded(self, others: dict[int, Any]) -> Any:
        """The output of `embedding`, with other inputs at some places of `leaves`."""
        with unchanged(self.model):
            return _output_of(self.embedding, lambda: self._call(others))

    def _explained(self, x: Any) -> Any:
        if self.embedding is None:
            return self._chosen(self._call({self._place: x}))
        with replaced(self.embedding, "call", lambda *args, **kwargs: x):
            return self._chosen(self._call({}))

    def _call(self, others: dict[int, Any]) -> Any:
        leaves = [others.get(k, leaf) for k, leaf in enumerate(self.leaves)]
        inputs = with_masks(keras.tree.pack_sequence_as(self._inputs, leaves), self._masks)
        return self.model(inputs, training=False, **self._call_arguments)


def _floating(leaves: list[Any]) -> int:
    """Which of the inputs is explained, or a `ValueError`."""
    types = [keras.backend.standardize_dtype(leaf.dtype) for leaf in leaves]
    floating = [k for k, dtype in enumerate(types) if keras.backend.is_float_dtype(dtype)]
    if len(floating) != 1:
        raise ValueError(
            "`x` must have one floating array, which is explained: integers have no gradient. For "
            "tokens name the layer that turns them into numbers, "
            "`embedding=model.get_layer(...)`: its output is explained. "
            f"Received: x of the type(s) {', '.join(types)}"
        )
    return floating[0]


def _output_of(layer: Any, run: Callable[[], Any]) -> Any:
    """The output of the layer in a run of the model, or a `ValueError`."""
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(
            "`embedding` must be a layer, as `model.get_layer(name)` returns it. "
            f"Received: embedding={layer!r}"
        )
    outputs, original = [], layer.call

    def call(*args: Any, **kwargs: Any) -> Any:
        outputs.append(original(*args, **kwargs))
        return outputs[-1]

    with replaced(layer, "call", call):
        run()
    if len(outputs) != 1 or keras.tree.is_nested(outputs[0]):
        raise ValueError(
            "`embedding` must be a layer that the model calls once, with one output. "
            f"Received: embedding={layer.name}, called {len(outputs)} times"
        )
    return ops.convert_to_tensor(outputs[0])

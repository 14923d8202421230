"""What a trained layer does at each step, and which inputs moved an output."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_lstm_variants import _checks, engine
from keras_lstm_variants.layer import RecurrentLayer
from keras_lstm_variants.states import walk

History = dict[str, dict[str, np.ndarray]]


def gate_history(
    model: keras.layers.Layer,
    x: Any,
    *,
    training: bool = False,
    jit_compile: bool = False,
    **call_arguments: Any,
) -> History:
    """Every gate, candidate and state of every recurrent layer of ours, at every step.

    Args:
        model: a built layer, or a model with such layers in it, at any depth.
        x: what the model is called with.
        training: whether to drop out.
        jit_compile: whether to compile it by XLA.
        **call_arguments: what else the call takes, as `mask` or `initial_state`.

    Returns:
        Layer path -> name -> array (batch, time, ...), in the order of the input also for
        layers that go backwards. A path is as `lstm`, `bidirectional/forward` and `.../backward`,
        or `layer/lstm_cell` for each cell of a stack; a layer called again, or another one of
        the same path, gets `#2`, ... Names are those of the equations: gates and candidates as
        `i`, `f`, `g`, `o`, and the states as `h`, `c`. A masked step has NaN for gates, which it
        did not use, and the states that it left as they were. Half precision is given as float32.

    The states of stateful layers are used, and left as they were.

    Raises:
        ValueError: there is no built layer of ours in the model.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4, name="memory")])
        >>> history = klv.gate_history(model, keras.ops.ones((2, 5, 3)))
        >>> sorted(history["memory"]), history["memory"]["f"].shape
        (['c', 'f', 'g', 'h', 'i', 'o'], (2, 5, 4))
    """
    return Recorder(model, jit_compile)(x, training=training, **call_arguments)


class Recorder:
    """`gate_history` of one model, again and again, without building its graph anew."""

    def __init__(self, model: keras.layers.Layer, jit_compile: bool = False) -> None:
        self.model = model
        self.paths = _paths(model)
        # The cell of each path of a history, once it has been called.
        self.cells: dict[str, Any] = {}
        if not any(layer.built for layer in self.paths):
            raise ValueError(
                f"{model.name} has no built recurrent layer of keras_lstm_variants: call or build "
                "it first. Layers of Keras do not show their gates."
            )
        self.function = engine.compiled(self._traced, jit_compile)

    def __call__(self, x: Any, **call_arguments: Any) -> History:
        x = keras.tree.map_structure(ops.convert_to_tensor, x)
        with self.states_kept():
            found = self.function(x, **call_arguments)
        return {
            path: {name: _array(value) for name, value in values.items()}
            for path, values in found.items()
        }

    @contextmanager
    def states_kept(self) -> Iterator[None]:
        """Leaves the states of stateful layers as they were before."""
        stateful = [la for la in self.paths if la.stateful and la.states is not None]
        kept = [
            None if la.is_fresh else [ops.copy(v) for v in keras.tree.flatten(la.states)]
            for la in stateful
        ]
        try:
            yield
        finally:
            for layer, values in zip(stateful, kept, strict=True):
                if values is None:
                    layer.reset_state()
                else:
                    layer.keep_states(keras.tree.pack_sequence_as(layer.states, values))

    def _traced(self, x: Any, **call_arguments: Any) -> Any:
        found: dict[str, dict[str, Any]] = {}

        def record(layer: Any, mask: Any, heard: dict[Any, Any], states: list[Any]) -> None:
            cells = getattr(layer.cell, "cells", [layer.cell])
            path = _another(self.paths[layer], found)
            states = list(states)
            for k, cell in enumerate(cells):
                own = path if len(cells) == 1 else _another(f"{path}/{cell.name}", found)
                self.cells[own] = cell
                names = _state_names(cell)
                values = dict(zip(names, states, strict=False))
                states = states[len(names) :]
                gates = {name: value for (c, name), value in heard.items() if c == k}
                if mask is not None:
                    on = ops.flip(mask, 1) if layer.go_backwards else mask
                    gates = {name: _where(on, value) for name, value in gates.items()}
                # A gate may be a state, too (FGR): then it is kept at a masked step.
                values = gates | values
                if layer.go_backwards:
                    values = {name: ops.flip(value, axis=1) for name, value in values.items()}
                found[own] = values

        for layer in self.paths:
            layer.recorder = record
        try:
            self.model(x, **call_arguments)
        finally:
            for layer in self.paths:
                layer.recorder = None
        return found


def _paths(model: keras.layers.Layer) -> dict[RecurrentLayer, str]:
    """The layers of ours, and the names that lead to them."""
    found, names = {}, {}
    for path, layer in walk(model, "", set()):
        path = names.get(id(layer), path)
        if isinstance(layer, keras.layers.Bidirectional):
            names[id(layer.forward_layer)] = f"{path}/forward"
            names[id(layer.backward_layer)] = f"{path}/backward"
        if isinstance(layer, RecurrentLayer):
            found[layer] = path
    return found


def _another(path: str, found: dict[str, Any]) -> str:
    """The path, or the path with a number if it is taken."""
    count = sum(p == path or p.startswith((f"{path}#", f"{path}/")) for p in found)
    return f"{path}#{count + 1}" if count else path


def _state_names(cell: Any) -> list[str]:
    names = getattr(cell, "state_names", None)
    count = len(keras.tree.flatten(cell.state_size))
    return list(names) if names else [f"state_{k}" for k in range(count)]


def _where(mask: Any, values: Any) -> Any:
    on = ops.reshape(mask, (*ops.shape(mask), *[1] * (len(values.shape) - 2)))
    return ops.where(on, values, ops.cast(float("nan"), values.dtype))


def _array(value: Any) -> np.ndarray:
    if keras.backend.standardize_dtype(value.dtype) in ("float16", "bfloat16"):
        value = ops.cast(value, "float32")
    return ops.convert_to_numpy(value)


class Attribution(NamedTuple):
    """What `attribution` found.

    Attributes:
        values: what each input number contributed, of the shape of the input.
        output: what was explained, (batch,).
        baseline_output: the same of the baseline, (batch,); None without one.
        gap: how far the sum of `values` misses the difference of the two, (batch,), or None.

    Example: see `attribution`.
    """

    values: np.ndarray
    output: np.ndarray
    baseline_output: np.ndarray | None
    gap: np.ndarray | None


def attribution(
    model: keras.layers.Layer,
    x: Any,
    target: int | tuple[int, ...] | Callable[[Any], Any] | None = None,
    *,
    method: str = "integrated_gradients",
    baseline: Any = None,
    steps: int = 64,
    **call_arguments: Any,
) -> Attribution:
    r"""Which steps and features of the input moved the output.

    $$\text{gradient x input:}\quad a = x \odot \nabla F(x) \qquad
      \text{integrated gradients:}\quad
      a = (x - b) \odot \int_0^1 \nabla F(b + s (x - b))\, ds$$

    Integrated gradients are complete: they sum to $F(x) - F(b)$. How far they miss it, for the
    integral is a sum of `steps` values at the middles of equal parts, is `gap`; if it is large,
    take more steps.

    Reference: Sundararajan, Taly & Yan 2017, Axiomatic attribution for deep networks,
    arXiv 1703.01365; Shrikumar et al. 2016, arXiv 1605.01713.

    Args:
        model: a built model or layer with one floating input, the first axis of which, and of
            its output, is the batch.
        x: the input (batch, ...). Integers have no gradient: for tokens, cut the model behind
            its embedding, and attribute to what comes out of it.
        target: which number of the output is F. An index of its last axis, or a tuple of
            indices of its axes behind the batch; a function of the output (batch, ...) that
            gives (batch,); None for an output with one number a row.
        method: `"integrated_gradients"` or `"gradient_x_input"`.
        baseline: b, of the shape of x or one that is broadcast to it. Default zeros.
        steps: how many gradients are taken on the way from b to x.
        **call_arguments: what else the call takes, as `mask`.

    Returns:
        `Attribution(values, output, baseline_output, gap)`: `values` of the shape of x, the others
        (batch,); for `"gradient_x_input"` the last two are None.

    Raises:
        ValueError: an argument is out of its range, or does not fit the output.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4), keras.layers.Dense(1)])
        >>> found = klv.attribution(model, keras.ops.ones((2, 5, 3)))
        >>> found.values.shape, bool(abs(found.gap).max() < 1e-3)
        ((2, 5, 3), True)
    """
    _checks.one_of("method", method, ("integrated_gradients", "gradient_x_input"))
    steps = _checks.positive_integer("steps", steps)
    if keras.tree.is_nested(x) and not np.ndim(x):
        raise ValueError(f"`x` must be one array. Received: {type(x).__name__}")
    x = ops.convert_to_tensor(x)
    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        raise ValueError(
            "`x` must be floating: integers have no gradient. For tokens, cut the model behind its "
            "embedding and give what comes out of it: "
            "`klv.attribution(keras.Model(embedding.output, model.output), embedding(tokens))`. "
            f"Received: x of the type {x.dtype}"
        )
    if method == "gradient_x_input" and baseline is not None:
        raise ValueError('`baseline` belongs to method="integrated_gradients".')
    chosen = _chooser(target)

    def value(x: Any) -> Any:
        return chosen(model(x, training=False, **call_arguments))

    gradient = engine.compiled(lambda x: engine.gradient(value, x))
    output, slope = gradient(x)
    if method == "gradient_x_input":
        return Attribution(_array(x * slope), _array(output), None, None)
    start = ops.zeros_like(x) if baseline is None else ops.convert_to_tensor(baseline, x.dtype)
    start = ops.broadcast_to(start, ops.shape(x))
    total = ops.zeros_like(x)
    for k in range(steps):
        total = total + gradient(start + (k + 0.5) / steps * (x - start))[1]
    values, first = _array((x - start) * total / steps), _array(gradient(start)[0])
    output = _array(output)
    # In NumPy, for x may be of another precision than the output.
    gap = values.sum(axis=tuple(range(1, values.ndim))) - (output - first)
    return Attribution(values, output, first, gap)


def _chooser(target: Any) -> Callable[[Any], Any]:
    """A function from the output (batch, ...) to the number (batch,) that is explained."""
    if target is not None and not callable(target):
        index = target if isinstance(target, tuple) else (target,)
        for part in index:
            if isinstance(part, bool) or not isinstance(part, int | np.integer):
                raise ValueError(
                    "`target` must be None, an index, a tuple of indices or a function. "
                    f"Received: target={target!r}"
                )

    def chosen(output: Any) -> Any:
        if keras.tree.is_nested(output) and not callable(target):
            raise ValueError(
                "The model has several outputs: `target` must be a function that makes (batch,) of "
                f"them. Received: target={target!r}"
            )
        value = target(output) if callable(target) else _picked(output, target)
        if len(value.shape) != 1:
            raise ValueError(
                "`target` must choose one number for each row, (batch,). Received: "
                f"target={target!r}, which gives the shape {tuple(value.shape)}"
            )
        return value

    return chosen


def _picked(output: Any, target: Any) -> Any:
    if target is None:
        if any(size != 1 for size in output.shape[1:]):
            raise ValueError(
                "`target` must say which number of the output is meant: `target=0` is the first of "
                "the last axis, `target=(-1, 0)` has an index for every axis. Received: "
                f"target=None, with an output of the shape {tuple(output.shape)}"
            )
        return ops.reshape(output, (-1,))
    axes = output.shape[1:]
    if isinstance(target, tuple):
        index = target
    else:
        index = (target,)
        axes = axes[-1:]
    fits = len(index) == len(axes) and all(
        size is None or -size <= i < size for i, size in zip(index, axes, strict=True)
    )
    if not fits:
        raise ValueError(
            f"`target` must be an index into {tuple(axes)}, the output without the batch. "
            f"Received: target={target!r}, with an output of the shape {tuple(output.shape)}"
        )
    return output[(slice(None), *index)] if isinstance(target, tuple) else output[..., target]

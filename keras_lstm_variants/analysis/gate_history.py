"""What a trained layer does at each step."""

import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants import _calls, _checks, engine
from keras_lstm_variants._keras import get_keras_mask, set_keras_mask
from keras_lstm_variants.cell import Cell
from keras_lstm_variants.layer import RecurrentLayer
from keras_lstm_variants.stacks import flat_cells
from keras_lstm_variants.states import unchanged, walk

History = dict[str, dict[str, np.ndarray]]

# Methods of layers are replaced by one thread at a time.
_replacing = threading.RLock()


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
        model: a built layer, or a model with such layers in it, at any depth: layers of ours, and
            `keras.layers.RNN` with our cells. Left out are Keras's own layers, and those without
            a time axis, `GridLSTMBlock` and `GridLSTM2D`.
        x: what the model is called with. A mask that it carries is used.
        training: whether to drop out.
        jit_compile: whether to compile it by XLA.
        **call_arguments: what else the call takes, as `mask` or `initial_state`.

    Returns:
        Layer path -> name -> array (batch, time, ...), in the order of the input also for
        layers that go backwards. A path is as `lstm`, `bidirectional/forward` and `.../backward`,
        or `layer/lstm_cell` for each cell of a stack and for a cell inside a cell; a layer called
        again, or another one of the same path, gets `#2`, ... Names are those of the equations:
        gates and candidates as `i`, `f`, `g`, `o`, and the states as `h`, `c`. A masked step has
        NaN for gates, which it did not use, and the states that it left as they were. Half
        precision is given as float32.

    The states of stateful layers are used, and left as they were; so are statistics and seeds.

    Raises:
        ValueError: there is no built layer of ours in the model, an argument is none of its
            call, or a layer is called inside a loop of the model, as `keras.ops.fori_loop`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4, name="memory")])
        >>> history = klv.gate_history(model, keras.ops.ones((2, 5, 3)))
        >>> sorted(history["memory"]), history["memory"]["f"].shape
        (['c', 'f', 'g', 'h', 'i', 'o'], (2, 5, 4))
    """
    return Recorder(model, jit_compile)(x, training=training, **call_arguments)


class Recorder:
    """`gate_history` of one model, again and again, without building its graph anew.

    Attributes:
        paths: layer -> its path.
        cells: path of a history -> its cell; after a call.
        masks: path -> the mask (batch, time) of the layer's call, or None; after a call.
    """

    def __init__(self, model: keras.layers.Layer, jit_compile: bool = False) -> None:
        _calls.check_model(model)
        _checks.flag("jit_compile", jit_compile)
        self.model = model
        self.paths = _paths(model)
        self.cells: dict[str, Any] = {}
        self.masks: dict[str, np.ndarray | None] = {}
        if not any(layer.built for layer in self.paths):
            raise ValueError(
                f"{model.name} has no built recurrent layer of keras_lstm_variants: call or build "
                "it first. Layers of Keras do not show their gates, and layers without a time axis "
                "(GridLSTMBlock, GridLSTM2D) have none to show."
            )
        eager = getattr(model, "run_eagerly", False) and not jit_compile
        self.function = self._traced if eager else engine.compiled(self._traced, jit_compile)

    def __call__(self, x: Any, **call_arguments: Any) -> History:
        check_arguments(self.model, call_arguments)
        x = as_tensors(x)
        masks = [get_keras_mask(tensor) for tensor in keras.tree.flatten(x)]
        with unchanged(self.model):
            found, masks = self.function(x, masks, **call_arguments)
        self.masks = {path: None if m is None else as_array(m) for path, m in masks.items()}
        return {
            path: {name: as_array(value) for name, value in values.items()}
            for path, values in found.items()
        }

    def _traced(self, x: Any, masks: list[Any], **call_arguments: Any) -> Any:
        # A graph's arguments come without the masks that they carried.
        for tensor, mask in zip(keras.tree.flatten(x), masks, strict=True):
            if mask is not None:
                set_keras_mask(tensor, mask)
        call = _Call(self.paths)
        with engine.recorded(call.listen), _in_layers_of_keras(self.paths):
            self.model(x, **call_arguments)
        self.cells = call.cells
        return call.found, call.masks


class _Call:
    """What is heard during one call of a model."""

    def __init__(self, paths: dict[Any, str]) -> None:
        self.paths = paths
        self.graph = engine.current_graph()
        self.taken = set(paths.values())
        self.called: set[Any] = set()
        self.cells: dict[str, Any] = {}
        self.found: dict[str, dict[str, Any]] = {}
        self.masks: dict[str, Any] = {}

    def listen(self, layer: Any, mask: Any) -> tuple[list[Any], Any] | None:
        if layer not in self.paths:
            return None
        path = self.paths[layer]
        if engine.current_graph() is not self.graph:
            raise ValueError(
                f"{path} is called inside a loop or a compiled function of the model: its gates "
                "cannot be had. Give `gate_history` the layer itself, with its input."
            )
        if layer in self.called:
            path = _unused(path, self.taken)
            self.taken.add(path)
        self.called.add(layer)
        cells = _cells_of(layer.cell)

        def record(heard: dict[Any, Any], states: list[Any]) -> None:
            states = list(states)
            for k, (below, cell, has_states) in enumerate(cells):
                gates = {name: value for (c, name), value in heard.items() if c == k}
                names = _state_names(cell) if has_states else []
                values = dict(zip(names, states, strict=False))
                states = states[len(names) :]
                if gates or values:
                    own = f"{path}/{below}" if below else path
                    self.keep(own, layer, cell, mask, gates, values)

        return [cell for _, cell, _ in cells], record

    def keep(
        self, path: str, layer: Any, cell: Any, mask: Any, gates: dict[str, Any], values: Any
    ) -> None:
        if mask is not None:
            mask = ops.cast(mask, "bool")
            on = ops.flip(mask, 1) if layer.go_backwards else mask
            gates = {name: _where(on, value) for name, value in gates.items()}
        # A gate may be a state, too (FGR): then it is kept at a masked step.
        values = gates | values
        if layer.go_backwards:
            values = {name: ops.flip(value, axis=1) for name, value in values.items()}
        path = _unused(path, set(self.found))
        self.found[path], self.masks[path], self.cells[path] = values, mask, cell


def _paths(model: keras.layers.Layer) -> dict[Any, str]:
    """The recurrent layers with cells of ours, each with the names that lead to it."""
    found, names = {}, {}
    for path, layer in walk(model, "", set()):
        path = names.get(id(layer), path)
        if isinstance(layer, keras.layers.Bidirectional):
            names[id(layer.forward_layer)] = f"{path}/forward"
            names[id(layer.backward_layer)] = f"{path}/backward"
        if isinstance(layer, RecurrentLayer) or _is_keras_with_ours(layer):
            found[layer] = _unused(path, set(found.values()))
    return found


def _is_keras_with_ours(layer: Any) -> bool:
    """Whether it is `keras.layers.RNN` with a cell of ours."""
    if isinstance(layer, RecurrentLayer) or not isinstance(layer, keras.layers.RNN):
        return False
    return any(isinstance(cell, Cell) for cell in flat_cells(layer.cell))


def _unused(path: str, taken: set[str]) -> str:
    """The path, or the path with a number if it is taken."""
    numbered = (f"{path}#{k}" for k in itertools.count(2))
    return path if path not in taken else next(p for p in numbered if p not in taken)


def _cells_of(cell: Any) -> list[tuple[str, Any, bool]]:
    """Each cell of a stack, and those inside a cell: path, cell, whether it has own states."""
    found = []
    flat = flat_cells(cell)
    for outer in flat:
        own = outer.name if len(flat) > 1 else ""
        found.append((own, outer, True))
        for path, inner in walk(outer, "", set()):
            if inner is not outer and isinstance(inner, Cell):
                found.append((f"{own}/{path}" if own else path, inner, False))
    return found


@contextmanager
def replaced(layer: Any, method: str, function: Callable[..., Any]) -> Iterator[None]:
    """While active, in this thread, a method of the layer is this function."""
    thread = threading.get_ident()

    def either(*args: Any, **kwargs: Any) -> Any:
        return (function if threading.get_ident() == thread else own)(*args, **kwargs)

    with _replacing:
        own, is_of_class = getattr(layer, method), method not in vars(layer)
        object.__setattr__(layer, method, either)
        try:
            yield
        finally:
            object.__setattr__(layer, method, own)
            if is_of_class:
                object.__delattr__(layer, method)


@contextmanager
def _in_layers_of_keras(layers: Iterable[Any]) -> Iterator[None]:
    """While active, `keras.layers.RNN` with cells of ours runs them by our loop."""
    with ExitStack() as stack:
        for layer in layers:
            if not isinstance(layer, RecurrentLayer):
                loop = functools.partial(_inner_loop, layer)
                stack.enter_context(replaced(layer, "inner_loop", loop))
        yield


def _inner_loop(
    layer: Any, sequences: Any, initial_state: Any, mask: Any, training: bool = False
) -> tuple[Any, Any, Any]:
    """What `RNN.inner_loop` does, recorded."""
    if mask is not None:
        rule = f"`mask` of {layer.name} must have the shape (batch, time)"
        mask = engine.fitted(rule, mask, ops.shape(sequences)[:2])
    result = engine.run(
        layer.cell,
        sequences,
        initial_state,
        layer.compute_dtype,
        training=training,
        mask=mask,
        go_backwards=layer.go_backwards,
        unroll=layer.unroll,
        zero_output_for_mask=layer.zero_output_for_mask,
        recorder=engine.recording_of(layer, mask),
    )
    return result.last_output, result.outputs, result.states


def check_arguments(model: Any, call_arguments: dict[str, Any]) -> None:
    """A `ValueError` for what the model's call would ignore, or fail at."""
    _checks.flag("training", call_arguments.get("training", False))
    parameters = inspect.signature(model.call).parameters.values()
    known: list[str] | None = [p.name for p in parameters if p.kind is not p.VAR_KEYWORD][1:]
    # Functional and sequential models take any name, and do nothing with it.
    if len(known) + 1 < len(parameters) and type(model).call.__module__.split(".")[0] != "keras":
        known = None
    for name in call_arguments:
        if known is not None and name not in (*known, "training"):
            raise ValueError(
                f"`{name}` is no argument of the call of {model.name}, which takes {known}. "
                f"Received: {name}={type(call_arguments[name]).__name__}"
            )


def as_tensors(x: Any) -> Any:
    """x as tensors, or a `ValueError`."""
    try:
        found = keras.tree.map_structure(ops.convert_to_tensor, x)
    except (TypeError, ValueError) as error:
        raise ValueError(f"`x` must be arrays, as the model takes them: {error}") from error
    leaves = keras.tree.flatten(found)
    if not leaves or not all(hasattr(t, "shape") and len(t.shape) for t in leaves):
        raise ValueError(
            "`x` must be an array, or a structure of arrays, as the model takes them. "
            f"Received: x={type(x).__name__}"
        )
    return found


def _state_names(cell: Any) -> list[str]:
    names = getattr(cell, "state_names", None)
    count = len(keras.tree.flatten(cell.state_size))
    return list(names) if names else [f"state_{k}" for k in range(count)]


def _where(mask: Any, values: Any) -> Any:
    on = ops.reshape(mask, (*ops.shape(mask), *[1] * (len(values.shape) - 2)))
    return ops.where(on, values, ops.cast(float("nan"), values.dtype))


def as_array(value: Any) -> np.ndarray:
    if keras.backend.standardize_dtype(value.dtype) in ("float16", "bfloat16"):
        value = ops.cast(value, "float32")
    return ops.convert_to_numpy(value)

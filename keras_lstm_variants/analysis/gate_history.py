"""Every gate and state of the recurrent layers in a model, at every step."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.analysis import gate_statistics as statistics
from keras_lstm_variants.analysis.model_calls import (
    as_array,
    as_tensors,
    check_arguments,
    compiled_for,
    masks_of,
    replaced,
    with_masks,
)
from keras_lstm_variants.backend import graphs
from keras_lstm_variants.core import call_checks, checks
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.layers.cell_tree import flat_cells
from keras_lstm_variants.layers.paths import cell_paths, recurrent_paths, state_names, unused
from keras_lstm_variants.layers.recurrent_layer import RecurrentLayer
from keras_lstm_variants.layers.stateful import unchanged


class GateHistory(dict[str, np.ndarray]):
    """The gates, candidates and states of one cell: a dict, name -> array (batch, time, ...).

    `klv.gate_history` makes it, one for each layer; `klv.plots` draws it.

    Attributes:
        cell: the cell that it is of; None where nobody knows.
        mask: bool (batch, time), False at masked steps; None without a mask.
        gates: the names of the gates: neither candidates nor states.
        states: the names of the states.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = klv.GRU(4, name="gru")
        >>> output = layer(keras.ops.ones((2, 5, 3)))
        >>> history = klv.gate_history(layer, keras.ops.ones((2, 5, 3)))["gru"]
        >>> list(history), history.gates, history.states, history.cell is layer.cell
        (['z', 'r', 'g', 'h'], ('z', 'r'), ('h',), True)
    """

    def __init__(
        self,
        values: Mapping[str, np.ndarray],
        cell: keras.layers.Layer | None = None,
        mask: np.ndarray | None = None,
    ) -> None:
        super().__init__(values)
        self.cell = cell
        self.mask = mask

    @property
    def gates(self) -> tuple[str, ...]:
        return tuple(name for name in self if statistics.is_gate(self.cell, name))

    @property
    def states(self) -> tuple[str, ...]:
        names = () if self.cell is None else state_names(self.cell)
        return tuple(name for name in names if name in self)


Histories = dict[str, GateHistory]


def gate_history(
    model: keras.layers.Layer,
    x: Any,
    *,
    training: bool = False,
    jit_compile: bool = False,
    **call_arguments: Any,
) -> Histories:
    """Every gate, candidate and state of every recurrent layer of ours, at every step.

    Args:
        model: a built layer, or a model with such layers in it, at any depth: layers of this
            package, and `keras.layers.RNN` with its cells. Left out are Keras's own layers, and
            those without a time axis, `GridLSTMBlock` and `GridLSTM2D`.
        x: what the model is called with. A mask that it carries is used.
        training: whether dropout is active.
        jit_compile: whether to compile with XLA.
        **call_arguments: further arguments of the call, as `mask` or `initial_state`.

    Returns:
        Layer path -> `GateHistory`, which is a dict, name -> array (batch, time, ...), in the
        order of the input also for layers that go backwards. A path is as `lstm`,
        `bidirectional/forward` and `.../backward`, or `layer/lstm_cell` for each cell of a stack
        and for a cell inside a cell; a layer that is called again, or another one of the same
        path, gets `#2`, ... `klv.get_states` has the same paths. Names are those of the
        equations: gates and candidates as `i`, `f`, `g`, `o`, and states as `h`, `c`; the states
        of a cell that does not name them are `state_0`, ... At a masked step gates are NaN
        (unused) and states keep their last value. Half precision is returned as float32.

    The states of stateful layers are used, and left as they were; so are statistics and seeds.

    Raises:
        ValueError: the model has no built layer of this package, its call does not take an
            argument, or a layer is called inside a loop of the model, as `keras.ops.fori_loop`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> model = keras.Sequential([keras.Input((5, 3)), klv.LSTM(4, name="memory")])
        >>> history = klv.gate_history(model, keras.ops.ones((2, 5, 3)))
        >>> sorted(history["memory"]), history["memory"]["f"].shape
        (['c', 'f', 'g', 'h', 'i', 'o'], (2, 5, 4))
    """
    return Recorder(model, jit_compile)(x, training=training, **call_arguments)


def check_history(history: Any) -> GateHistory:
    """One layer's part of what `gate_history` returns, in double precision, or a `ValueError`."""
    if isinstance(history, Mapping) and history and all(map(_is_sequence, history.values())):
        arrays = {name: np.asarray(value, float) for name, value in history.items()}
        shapes = {value.shape[:2] for value in arrays.values()}
        if len(shapes) == 1 and 0 not in shapes.pop():
            return GateHistory(
                arrays, getattr(history, "cell", None), getattr(history, "mask", None)
            )
    hint = ""
    if isinstance(history, Mapping) and any(isinstance(v, Mapping) for v in history.values()):
        hint = f" Choose one of its layers: {', '.join(map(repr, history))}."
    raise ValueError(
        "`history` must be what `klv.gate_history` returns for one layer: name -> array (batch, "
        f"time, ...), all of one batch and time, and not empty.{hint} Received: {_short(history)}"
    )


def _is_sequence(value: Any) -> bool:
    return not isinstance(value, Mapping | str) and np.ndim(value) >= 3


def _short(value: Any) -> str:
    if not isinstance(value, Mapping):
        return type(value).__name__
    return str({k: np.shape(v) if _is_sequence(v) else type(v).__name__ for k, v in value.items()})


class Recorder:
    """`gate_history` of one model, again and again, without building its graph anew.

    Attributes:
        paths: recurrent layer with cells of ours -> its path.
    """

    def __init__(self, model: keras.layers.Layer, jit_compile: bool = False) -> None:
        call_checks.check_model(model)
        checks.flag("jit_compile", jit_compile)
        self.model = model
        paths = recurrent_paths(model)
        self.paths = {layer: path for layer, path in paths.items() if _is_recorded(layer)}
        self._taken = set(paths.values())
        self._cells: dict[str, Any] = {}
        if not any(layer.built for layer in self.paths):
            raise ValueError(
                f"{model.name} has no built recurrent layer of keras_lstm_variants: call or build "
                "it first. Layers of Keras do not show their gates, and layers without a time axis "
                "(GridLSTMBlock, GridLSTM2D) have none to show."
            )
        self._function = compiled_for(model, self._traced, jit_compile)

    def __call__(self, x: Any, **call_arguments: Any) -> Histories:
        check_arguments(self.model, call_arguments)
        x = as_tensors(x)
        with unchanged(self.model):
            values, masks = self._function(x, masks_of(x), **call_arguments)
        return {
            path: GateHistory(
                {name: as_array(value) for name, value in by_name.items()},
                self._cells[path],
                None if masks[path] is None else as_array(masks[path]),
            )
            for path, by_name in values.items()
        }

    def _traced(self, x: Any, masks: list[Any], **call_arguments: Any) -> Any:
        call = _Call(self.paths, self._taken)
        with engine.recorded(call.listen), _layers_of_keras_recorded(self.paths):
            self.model(with_masks(x, masks), **call_arguments)
        self._cells = call.cells
        return call.values, call.masks


class _Call:
    """What is recorded during one call of a model."""

    def __init__(self, paths: dict[Any, str], taken: set[str]) -> None:
        self.paths = paths
        self.graph = graphs.current_graph()
        self.taken = set(taken)
        self.called: set[Any] = set()
        self.cells: dict[str, Any] = {}
        self.values: dict[str, dict[str, Any]] = {}
        self.masks: dict[str, Any] = {}

    def listen(self, layer: Any, mask: Any) -> tuple[list[Any], Any] | None:
        if layer not in self.paths:
            return None
        path = self.paths[layer]
        if graphs.current_graph() is not self.graph:
            raise ValueError(
                f"{path} is called inside a loop or a compiled function of the model, where its "
                "gates cannot be recorded. Give `gate_history` the layer itself, with its input."
            )
        if layer in self.called:
            path = unused(path, self.taken)
            self.taken.add(path)
        self.called.add(layer)
        cells = cell_paths(layer.cell)

        def record(tapped: dict[Any, Any], states: list[Any]) -> None:
            states = list(states)
            for k, (below, cell, has_states) in enumerate(cells):
                gates = {name: value for (c, name), value in tapped.items() if c == k}
                names = state_names(cell) if has_states else ()
                values = dict(zip(names, states, strict=False))
                states = states[len(names) :]
                if gates or values:
                    cell_path = f"{path}/{below}" if below else path
                    self.keep(cell_path, layer, cell, mask, gates, values)

        return [cell for _, cell, _ in cells], record

    def keep(
        self, path: str, layer: Any, cell: Any, mask: Any, gates: dict[str, Any], states: Any
    ) -> None:
        if layer.go_backwards:
            gates, states = (
                {name: ops.flip(value, axis=1) for name, value in values.items()}
                for values in (gates, states)
            )
        if mask is not None:
            mask = ops.cast(mask, "bool")
            gates = {name: _where(mask, value) for name, value in gates.items()}
        path = unused(path, self.values)
        # A gate may be a state, too (FGR): then it is kept at a masked step.
        self.values[path] = gates | states
        self.masks[path], self.cells[path] = mask, cell


def _is_recorded(layer: keras.layers.RNN) -> bool:
    """Whether it is a layer of ours, or `keras.layers.RNN` with a cell of ours."""
    ours = any(isinstance(cell, Cell) for cell in flat_cells(layer.cell))
    return ours or isinstance(layer, RecurrentLayer)


@contextmanager
def _layers_of_keras_recorded(layers: Iterable[Any]) -> Iterator[None]:
    """While active, `keras.layers.RNN` with cells of ours runs them in our loop."""
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
        engine.LoopOptions(
            training=training,
            go_backwards=layer.go_backwards,
            unroll=layer.unroll,
            zero_output_for_mask=layer.zero_output_for_mask,
        ),
        output_dtype=layer.compute_dtype,
        mask=mask,
        recorder=engine.recording_of(layer, mask),
    )
    return result.last_output, result.outputs, result.states


def _where(mask: Any, values: Any) -> Any:
    on = ops.reshape(mask, (*ops.shape(mask), *[1] * (len(values.shape) - 2)))
    return ops.where(on, values, ops.cast(float("nan"), values.dtype))

"""Layers: a cell run over a sequence, with everything that Keras's LSTM layer offers."""

import inspect
import re
from typing import Any, ClassVar

import keras
from keras import ops

from keras_lstm_variants import _checks, _config, engine
from keras_lstm_variants._keras import DropoutRNNCell
from keras_lstm_variants.registry import register

# Added to an integer seed for the layer that goes backwards: under `Bidirectional` both
# directions get the same seed, and would share one dropout mask.
_BACKWARD_SEED = 0x9E3779B9


@register
class RecurrentLayer(keras.layers.RNN):
    """Any recurrent cell as a layer: `keras.layers.RNN` with our time loop and two additions.

    Args:
        cell: a cell (ours, Keras's or your own), or a list of cells to stack.
        return_sequences: return the output of every step, not only the last.
        return_state: return `(output, *final_states)`.
        go_backwards: process the sequence from its end; sequences of outputs come in
            the order of processing, as in Keras.
        stateful: keep the final states as the next call's initial states, row by row.
            The batch size must be fixed. See `reset_state`.
        unroll: write the steps out instead of looping. The number of steps must be
            known. Faster for a few steps only; compiling takes long.
        zero_output_for_mask: with `return_sequences`, masked steps give zeros instead of
            repeating the last output.
        return_all_states: also return each state at every step:
            `(output, *final_states, *state_sequences)`, a sequence being
            (batch, time, size), in the order of the input also when going backwards.
        initial_state: `"zeros"` (what the cell's `get_initial_state` gives), or
            `"learned"`: a trainable weight (1, size) for each state, shared by all
            rows and zero at first. An initial state passed to the call wins.
        **kwargs: `activity_regularizer`, `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: (batch, time, features). Batch and time may be unknown (None).
        initial_state: list of initial states, (batch, size) each.
        mask: bool (batch, time); False marks the steps to skip, in any pattern.
        training: whether to drop out.

    Raises:
        ValueError: an argument or an input is not of the form above; the message names
            it, its value and what is allowed.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = klv.RecurrentLayer(
        ...     [klv.LSTMCell(4), klv.GRUCell(3)], return_sequences=True
        ... )
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 5, 3])
    """

    def __init__(
        self,
        cell: Any,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        unroll: bool = False,
        zero_output_for_mask: bool = False,
        *,
        return_all_states: bool = False,
        initial_state: str = "zeros",
        **kwargs: Any,
    ) -> None:
        flags = {
            "return_sequences": return_sequences,
            "return_state": return_state,
            "go_backwards": go_backwards,
            "stateful": stateful,
            "unroll": unroll,
            "zero_output_for_mask": zero_output_for_mask,
            "return_all_states": return_all_states,
        }
        for name, value in flags.items():
            _checks.one_of(name, value, (True, False))
        del flags["return_all_states"]
        if not isinstance(cell, list | tuple | keras.layers.Layer):
            raise ValueError(
                "`cell` must be a cell (a keras.layers.Layer with `call(inputs, states)` and "
                f"`state_size`) or a list of cells. Received: cell={cell!r}"
            )
        _checks.one_of("initial_state", initial_state, ("zeros", "learned"))
        super().__init__(cell, **flags, **kwargs)
        # Keras 3.16 sets False, and the layer behind would no longer see the mask.
        self.supports_masking = True
        self.return_all_states = return_all_states
        self.return_state = return_state or return_all_states
        self.initial_state = initial_state
        self.learned_states = []
        self.fresh = None
        if go_backwards:
            for inner in _flat_cells(self.cell):
                _shift_seed(inner)

    def __call__(self, sequences: Any, *args: Any, **kwargs: Any) -> Any:
        # Before Keras looks at the input: it would fail on these with an obscure error.
        if engine.is_ragged(sequences):
            raise ValueError(
                f"{self.name} takes no ragged input. Make it dense and mask the padding: "
                "`layer(x.to_tensor(), mask=tf.sequence_mask(x.row_lengths()))`."
            )
        if isinstance(sequences, dict | list | tuple):
            raise ValueError(
                f"{self.name} takes one tensor (batch, time, features), not a "
                f"{type(sequences).__name__}. Join several inputs with "
                "`keras.layers.Concatenate()`; pass states as `initial_state=[...]`."
            )
        return super().__call__(sequences, *args, **kwargs)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        super().build(sequences_shape, initial_state_shape)
        if self.initial_state != "learned":
            return
        names = getattr(self.cell, "state_names", None)
        for k, zeros in enumerate(keras.tree.flatten(self.get_initial_state(1))):
            self.learned_states.append(
                self.add_weight(
                    shape=tuple(zeros.shape),
                    name=f"initial_{names[k] if names else k}",
                    initializer=_InitialStateOf(self, k),
                )
            )
        if self.stateful:
            # 1 until the first call after a reset, so that the gradient of that call
            # reaches the learned states; the variables in `states` stop it.
            self.fresh = self.add_weight(
                shape=(), name="fresh", initializer="ones", trainable=False
            )

    def get_start(self, batch_size: Any) -> list[Any]:
        """The initial states without a passed one: the cell's own or the learned ones."""
        states = self.get_initial_state(batch_size)
        if not self.learned_states:
            return states
        learned = [
            ops.broadcast_to(ops.convert_to_tensor(w), (batch_size, *w.shape[1:]))
            for w in self.learned_states
        ]
        return keras.tree.pack_sequence_as(states, learned)

    def reset_state(self) -> None:
        """Set the states of a stateful layer back to the initial state."""
        if self.states is None:
            return
        variables = keras.tree.flatten(self.states)
        start = keras.tree.flatten(self.get_start(variables[0].shape[0]))
        for variable, value in zip(variables, start, strict=True):
            variable.assign(value)
        if self.fresh is not None:
            self.fresh.assign(1)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
    ) -> Any:
        mask = keras.tree.flatten(mask)[0]
        self._check_call(sequences, mask)
        states = self._first_states(sequences, initial_state)
        has_training = "training" in inspect.signature(self.cell.call).parameters
        options = {"training": training} if has_training else {}
        try:
            if training:
                _draw_dropout_masks(self.cell, sequences.shape[2:], states)
            result = engine.run(
                lambda x, s: self.cell(x, s, **options),
                sequences,
                states,
                _output_size(self.cell),
                mask=mask,
                go_backwards=self.go_backwards,
                unroll=self.unroll,
                zero_output_for_mask=self.zero_output_for_mask,
                keep_outputs=self.return_sequences,
                keep_states=self.return_all_states,
            )
        finally:
            for cell in _flat_cells(self.cell):
                if isinstance(cell, DropoutRNNCell):
                    cell.reset_dropout_mask()
                    cell.reset_recurrent_dropout_mask()

        def cast(values: Any) -> Any:
            return keras.tree.map_structure(lambda v: ops.cast(v, self.compute_dtype), values)

        states = cast(result.states)
        if self.stateful:
            for variable, value in zip(
                keras.tree.flatten(self.states), keras.tree.flatten(states), strict=True
            ):
                variable.assign(value)
            if self.fresh is not None:
                self.fresh.assign(0)
        output = cast(result.outputs if self.return_sequences else result.last_output)
        if not self.return_state:
            return output
        if not self.return_all_states:
            return output, *states
        histories = cast(result.state_sequences)
        if self.go_backwards:
            histories = keras.tree.map_structure(lambda s: ops.flip(s, axis=1), histories)
        return output, *states, *histories

    def _check_call(self, sequences: Any, mask: Any) -> None:
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                f"{self.name} has `unroll=True`, which needs a known number of time steps. "
                f"Received: input shape {tuple(sequences.shape)}. Give it in "
                "`keras.Input(shape=(time, features))`, or leave `unroll` out."
            )
        if self.stateful:
            expected = keras.tree.flatten(self.states)[0].shape[0]
            if sequences.shape[0] not in (None, expected):
                raise ValueError(
                    f"{self.name} is stateful with a batch size of {expected}. "
                    f"Received: input shape {tuple(sequences.shape)}"
                )
        if mask is not None and len(mask.shape) != 2:
            raise ValueError(
                f"`mask` must have the shape (batch, time). Received: {tuple(mask.shape)}"
            )

    def _first_states(self, sequences: Any, passed: Any) -> Any:
        """The states before the first step, in the cell's structure and compute dtype."""
        batch = ops.shape(sequences)[0]
        start = self.get_start(batch)
        flat = keras.tree.flatten(start)
        if passed is not None:
            flat = self._check_states(keras.tree.flatten(passed), flat)
        elif self.stateful and self.fresh is not None:
            kept = [ops.cast(v.value, self.compute_dtype) for v in keras.tree.flatten(self.states)]
            fresh = ops.cast(self.fresh.value, self.compute_dtype)
            flat = [fresh * s + (1 - fresh) * k for s, k in zip(flat, kept, strict=True)]
        elif self.stateful:
            flat = [v.value for v in keras.tree.flatten(self.states)]
        flat = [ops.cast(ops.convert_to_tensor(v), self.cell.compute_dtype) for v in flat]
        return keras.tree.pack_sequence_as(start, flat)

    def _check_states(self, passed: list[Any], expected: list[Any]) -> list[Any]:
        shapes = [tuple(ops.shape(v)) for v in passed]
        wanted = [(None, *v.shape[1:]) for v in expected]

        def fits(shape: tuple[Any, ...], want: tuple[Any, ...]) -> bool:
            return len(shape) == len(want) and all(
                w is None or not isinstance(s, int) or s == w
                for s, w in zip(shape, want, strict=True)
            )

        if len(shapes) != len(wanted) or not all(map(fits, shapes, wanted)):
            raise ValueError(
                f"`initial_state` of {self.name} must be {len(wanted)} tensor(s) of the shapes "
                f"{wanted} (None is the batch size). Received: {len(shapes)} of the shapes {shapes}"
            )
        return passed

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        shape = super().compute_output_shape(sequences_shape)
        if not self.return_all_states:
            return shape
        output, *states = shape
        time = sequences_shape[1]

        def over_time(states: Any) -> Any:
            if isinstance(states, list):
                return [over_time(s) for s in states]
            return (states[0], time, *states[1:])

        return output, *states, *over_time(states)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        masks = super().compute_mask(inputs, mask)
        if self.return_all_states:
            masks += [keras.tree.flatten(mask)[0]] * (len(masks) - 1)
        return masks

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "return_all_states": self.return_all_states,
            "initial_state": self.initial_state,
        }


class CellLayer(RecurrentLayer):
    """A cell and its layer in one: `CellLayer(units, ...)` with all arguments of the cell.

    A named layer is a subclass that gives its `cell_class`, in three lines.

    Args:
        units: positive integer, the size of the output and of each state.
        activation, recurrent_activation, ...: all arguments of the cell.
        return_sequences, return_state, go_backwards, stateful, unroll,
            zero_output_for_mask, return_all_states, initial_state: see `RecurrentLayer`.
        activity_regularizer: penalty on the output.
        use_cudnn: `"auto"` or False, accepted as in Keras; there is no cuDNN path, so it
            has no effect.
        **kwargs: `name`, `dtype`, `trainable`.

    Call arguments: see `RecurrentLayer`.

    Raises:
        ValueError: an argument is unknown or out of its range, or `use_cudnn=True`.
    """

    cell_class: ClassVar[type]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "cell_class" not in vars(cls):
            return
        of_cell = _config.parameters(cls.cell_class)
        of_layer = {
            name: p.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for name, p in _config.parameters(RecurrentLayer).items()
            if name != "cell"
        }
        own = inspect.signature(_own_arguments).parameters
        cls.__signature__ = _config.in_order({**of_cell, **of_layer, **own})
        for name in ("gates", "state_names", "reference"):
            setattr(cls, name, getattr(cls.cell_class, name))
        for name in of_cell:
            # As Keras's LSTM has them: layer.units, layer.activation, ...
            setattr(cls, name, _from_cell(name))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        signature = type(self).__signature__
        given = signature.bind(*args, **kwargs).arguments
        of_keras = given.pop("kwargs", {})
        unknown = set(of_keras) - {"name", "dtype", "trainable", "autocast"}
        for name in sorted(unknown):
            known = [*signature.parameters, "name", "dtype", "trainable"]
            if name in ("forget_bias", "unit_forget_bias") and not self.cell_class.forget_gate:
                raise ValueError(
                    f"{type(self).__name__} has no gate that keeps its memory, so it takes no "
                    f"`{name}`. Received: {name}={of_keras[name]!r}"
                )
            raise ValueError(
                f"{type(self).__name__} has no argument `{name}`. "
                f"Received: {name}={of_keras[name]!r}{_checks.nearest(name, known)}"
            )
        use_cudnn = given.pop("use_cudnn", "auto")
        _checks.one_of("use_cudnn", use_cudnn, ("auto", False))
        of_cell = {n: given.pop(n) for n in _config.parameters(self.cell_class) if n in given}
        shared = {n: of_keras[n] for n in ("dtype", "trainable") if n in of_keras}
        cell = self.cell_class(**of_cell, **shared, name=_snake_case(self.cell_class.__name__))
        super().__init__(cell, **given, **of_keras)
        self.gates = cell.gates  # an argument may change them
        self.use_cudnn = use_cudnn
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        super().build(sequences_shape, initial_state_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        del config["cell"]
        config.update(self.cell.get_config(), **{n: config[n] for n in _OF_KERAS})
        config["activity_regularizer"] = _config.serialize(self.activity_regularizer)
        config["use_cudnn"] = self.use_cudnn
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "CellLayer":
        return cls(**config)


# Both the cell and the layer have these; the layer's own count.
_OF_KERAS = ("name", "dtype", "trainable")


def _own_arguments(*, activity_regularizer: Any = None, use_cudnn: str | bool = "auto") -> None:
    """Arguments that named layers have besides those of the cell and `RecurrentLayer`."""


def _from_cell(name: str) -> property:
    return property(lambda self: getattr(self.cell, name), doc=f"`{name}` of the cell.")


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class _InitialStateOf:
    """Initializer of a learned state: row 0 of what the cell starts from, zeros as a rule."""

    def __init__(self, layer: RecurrentLayer, index: int) -> None:
        self.layer, self.index = layer, index

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        states = keras.tree.flatten(self.layer.get_initial_state(1))
        return ops.cast(states[self.index], dtype)


def _flat_cells(cell: Any) -> list[Any]:
    if isinstance(cell, keras.layers.StackedRNNCells):
        return [inner for c in cell.cells for inner in _flat_cells(c)]
    return [cell]


def _output_size(cell: Any) -> int:
    size = getattr(cell, "output_size", None)
    if size is None:
        size = cell.state_size if isinstance(cell.state_size, int) else cell.state_size[0]
    return size


def _shift_seed(cell: Any) -> None:
    generator = getattr(cell, "seed_generator", None)
    if generator is not None and isinstance(getattr(cell, "seed", None), int):
        generator.state.assign([(cell.seed + _BACKWARD_SEED) % 2**32, 0])


def _draw_dropout_masks(cell: Any, features: tuple[int, ...], states: Any) -> None:
    """Draw the masks of a whole sequence before the loop, which must draw nothing.

    Keras does so at inference too, where no mask is used: its seeds then advance, and
    exported models contain random operations.
    """
    batch = ops.shape(keras.tree.flatten(states)[0])[0]
    stacked = isinstance(cell, keras.layers.StackedRNNCells)
    cells = zip(cell.cells, states, strict=True) if stacked else [(cell, states)]
    for inner, inner_states in cells:
        if isinstance(inner, keras.layers.StackedRNNCells):
            _draw_dropout_masks(inner, features, inner_states)
        elif isinstance(inner, DropoutRNNCell):
            inner.get_dropout_mask(ops.zeros((batch, *features), dtype=inner.compute_dtype))
            inner.get_recurrent_dropout_mask(keras.tree.flatten(inner_states)[0])
        features = (_output_size(inner),)

"""What a recurrent cell is.

A cell is one time step. It declares its states, projects the input (`project_inputs`:
everything that does not depend on a state), and makes an output and new states from old
ones (`step`). `step` is pure: it draws no random numbers and updates no variable, so that a
loop may run it again. Products of states with weight matrices go through `matmul`, so that a
loop may take them over. Loops, masks and saving are handled by the layer.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, ClassVar

import keras
from keras import ops

from keras_lstm_variants.core import call_checks, checks, functions
from keras_lstm_variants.core.configured import Configured
from keras_lstm_variants.core.context import (
    DerivedWeight,
    captured,
    context,
    derived_as,
    exact,
    within,
)
from keras_lstm_variants.core.gate_weights import GateWeights
from keras_lstm_variants.core.keras_private import DropoutRNNCell
from keras_lstm_variants.core.state import HALF_TYPES, GateWeight, SideInput, Size, State, dtype_of
from keras_lstm_variants.core.weight_checks import CheckedWeights


class Cell(GateWeights, CheckedWeights, Configured, DropoutRNNCell, keras.layers.Layer):
    """One time step of a recurrent layer: subclass it and define `step`.

    `step` and `project_inputs` treat each row of the batch alone: a loop may divide the rows,
    run those of many steps as one, and run a step again for its gradient. A cell works in
    `keras.layers.RNN(cell)` and in `klv.RecurrentLayer(cell)`.

    Parallel forms. A cell that needs no loop may say so; the layer then takes all steps at once:

    - `scan(z)`, of a cell with one state, returns a and b: `state = a * state + b` at each step.
      They are numbers or tensors that fit (time, batch, ...) of the state; so is z.
    - `parallel(z, states, mask)` returns the output and a list of the states after each step, all
      (batch, time, ...). z is what `project_inputs` gives, (batch, time, ...); mask is None or bool
      (batch, time): at a masked step states stay, the output is of no interest.

    `step` stays the definition, and must give the same.

    Args:
        units: positive integer, the size of every state and of the output.
        dropout: fraction of the inputs to drop, in [0, 1), one mask for all time steps.
        recurrent_dropout: fraction of the state to drop, in [0, 1), where `step` calls
            `drop_state` (the cells here: where the state meets the recurrent kernel); one
            mask for all time steps and gates (Keras's LSTM uses one for each gate).
        seed: integer or None, the seed of the dropout masks.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Raises:
        ValueError: an argument is out of its range.
        TypeError: the class does not define `step`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> class LeakyCell(klv.Cell):
        ...     def step(self, x, states, training=False):
        ...         (h,) = states
        ...         h = 0.9 * h + 0.1 * x
        ...         return h, (h,)
        >>> layer = klv.RecurrentLayer(LeakyCell(3))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 3])
    """

    # Accepted as in Keras, without effect: no part of the configuration.
    not_stored = ("implementation",)
    may_change = ("dropout", "recurrent_dropout")

    states: ClassVar[tuple[State, ...]] = (State("h"),)
    # What it may be given at each step besides its input.
    side_inputs: ClassVar[tuple[SideInput, ...]] = ()
    # Names in the column order of the kernels: data for tools, never equations.
    gates: ClassVar[tuple[str, ...]] = ()
    # Which of the names that `gates` and `sow` give are no gates: candidates, and what else
    # is not between 0 and 1.
    candidates: ClassVar[tuple[str, ...]] = ("g",)
    # The gate whose bias decides how long memory lasts, and +1 where the open gate
    # keeps the memory or -1 where it overwrites it. None: no such gate.
    forget_gate: ClassVar[tuple[str, int] | None] = None
    reference: ClassVar[str] = ""
    # Whether rows of the batch, and steps of the sequence, see each other, as with statistics over
    # them. `project_inputs` is then given all steps at once, outside of the loop; masked ones are
    # zero.
    mixes_rows: ClassVar[bool] = False
    # Ways to compute all steps at once: see "Parallel forms" above.
    scan: ClassVar[Callable[..., Any] | None] = None
    parallel: ClassVar[Callable[..., Any] | None] = None
    # The layer that `register` makes of the cell.
    layer_class: ClassVar[type]
    # Whether the seed of the masks is drawn after those of the initializers, as by Keras's LSTM and
    # GRU and not by its SimpleRNN: the same `keras.utils.set_random_seed`, the same weights.
    seed_drawn_last: ClassVar[bool] = False

    def __init__(
        self,
        units: int,
        *,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        if not callable(getattr(self, "step", None)):
            raise TypeError(f"{type(self).__name__} must define step(inputs, states, training).")
        units = checks.positive_integer("units", units)
        dropout = checks.rate("dropout", dropout)
        recurrent_dropout = checks.rate("recurrent_dropout", recurrent_dropout)
        seed = checks.seed("seed", seed)
        functions.check_dtype(kwargs.get("dtype"))
        super().__init__(**kwargs)
        self.units = units
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        if not self.seed_drawn_last:
            self.draw_seed()
        self.derived_weights: list[DerivedWeight] = []
        self.gate_weights: dict[str, GateWeight] = {}
        # Of those that have one type in every precision.
        self.fixed_weights: set[str] = set()
        self._initializers_used: list[Any] = []

    def draw_seed(self) -> None:
        """Make the generator of the dropout masks, whose seed is drawn where none is given."""
        self.seed_generator = keras.random.SeedGenerator(self.seed)

    @property
    def state_names(self) -> tuple[str, ...]:
        """The names of the states, in their order."""
        return tuple(state.name for state in self.states)

    @property
    def state_size(self) -> Size | list[Size]:
        """The size of the state, or of each state where there are several, as in Keras."""
        sizes = [state.size_in(self) for state in self.states]
        return sizes[0] if len(sizes) == 1 else sizes

    @property
    def output_size(self) -> int:
        return self.units

    def get_initial_state(self, batch_size: Any = None) -> list[Any]:
        return [
            ops.zeros((batch_size, *state.shape_in(self)), dtype=state.dtype_in(self))
            for state in self.states
        ]

    def project_inputs(self, inputs: Any, training: bool = False) -> Any:
        """All of a step that does not depend on the states; the input itself by default.

        Takes (rows, features), after dropout, and treats each row alone: a loop may pass the
        rows of several time steps at once. May return a structure of (rows, ...) tensors.
        A cell with `side_inputs` takes them here, by their names.
        """
        return inputs

    def __call__(self, inputs: Any, states: Any = None, *args: Any, **kwargs: Any) -> Any:
        # Keras casts what it is given; a state that has a type of its own must not lose digits.
        with within(exact=(self, {"states": states})):
            return super().__call__(inputs, states, *args, **kwargs)

    def call(self, inputs: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        call_checks.check_training(training)
        # One state may come and go without a list, as in Keras.
        alone = not isinstance(states, list | tuple)
        states = (states,) if alone else tuple(states)
        states, half = self._exact(states)
        if len(states) != len(self.states):
            raise ValueError(
                f"{type(self).__name__} has {len(self.states)} states "
                f"{self.state_names}. Received: {len(states)}"
            )
        states, constants = self._for_each_row(inputs, states)
        with derived_as(constants):
            inputs = self.drop_inputs(inputs, training)
            z = self.project_inputs(inputs, training=training, **self._given_side_inputs())
            output, new = self.advance(z, states, training)
        new = [ops.cast(n, half[k]) if k in half else n for k, n in enumerate(new)]
        return output, new[0] if alone else new

    def _exact(self, states: tuple[Any, ...]) -> tuple[tuple[Any, ...], dict[int, str]]:
        """The states, those with a type of their own as they were before Keras cast them.

        Keras's own loop casts first states, and wants new ones of the type of the old ones:
        so these types are returned, too, by number.
        """
        given = keras.tree.flatten(exact(self, "states", states))
        if not len(given) == len(states) == len(self.states):
            return states, {}
        found, half = list(states), {}
        for k, (own, value) in enumerate(zip(self.states, given, strict=True)):
            if own.dtype is None:
                continue
            dtype = dtype_of(value)
            if own.kind == "counter" and dtype in HALF_TYPES:
                raise ValueError(
                    f"The state `{own.name}` of {type(self).__name__} counts in {own.dtype}, and "
                    "`keras.layers.RNN` casts it: use `klv.RecurrentLayer(cell)`. "
                    f"Received: a state of the type {dtype}"
                )
            found[k] = ops.cast(value, own.dtype_in(self))
            if dtype in HALF_TYPES:
                half[k] = dtype
        return tuple(found), half

    def _given_side_inputs(self) -> dict[str, Any]:
        """The side inputs of this step: a loop of ours hands them out, Keras's has none."""
        given = {s.name: context.side[s.name] for s in self.side_inputs if s.name in context.side}
        for side in self.side_inputs:
            if side.required and side.name not in given:
                raise ValueError(
                    f"{type(self).__name__} needs `{side.name}` at each step, which "
                    "`keras.layers.RNN` does not hand on: use "
                    f"`klv.RecurrentLayer(cell)(sequences, {side.name}=...)`."
                )
        return given

    def _for_each_row(self, inputs: Any, states: Any) -> tuple[Any, dict[int, Any]]:
        """States and constants, or an error: the loop of `keras.layers.RNN` checks neither."""
        from keras_lstm_variants import engine  # which imports this module
        from keras_lstm_variants.backend import xla

        constants = [(d, d.value) for d in self.derived_weights if d.constant]
        known = {tuple(v.shape)[:1] for v in (inputs, *states, *(v for _, v in constants))}
        checked = context.equal_rows
        # Step by step it would cost time; where XLA compiles it costs none.
        in_a_loop = xla.in_a_loop() and not xla.compiled_by_xla()
        if checked or in_a_loop or (len(known) == 1 and (None,) not in known):
            return states, {}
        rows = ops.shape(inputs)[:1]
        rule = f"Each of the states of {self.name} must have as many rows as its input"
        # Of a state of its own a cell may have one for all rows.
        own = keras.tree.flatten(self.get_initial_state(2))
        states = tuple(
            engine.fitted(rule, s, rows) if tuple(o.shape)[:1] == (2,) else s
            for s, o in zip(states, own, strict=True)
        )
        return states, {
            id(d): engine.fitted(
                f"`{d.constant}` of {self.name} must have as many rows as its input", value, rows
            )
            for d, value in constants
        }

    def advance(self, z: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """One step from a projected input: the output and the new states."""
        returned = self.step(z, states, training=training)
        new = returned[1] if isinstance(returned, list | tuple) and len(returned) == 2 else None
        if not isinstance(new, list | tuple) or len(new) != len(states):
            raise ValueError(
                f"{type(self).__name__}.step must return the output and a tuple of "
                f"{len(states)} new states {self.state_names}. Received: {returned!r}"
            )
        output, new = returned[0], list(new)
        step = f"{type(self).__name__}.step"
        checks.new_states(step, self.state_names, states, new)
        size = self.output_size
        wanted = tuple(size) if isinstance(size, list | tuple) else (size,)
        if tuple(output.shape[1:]) != wanted:
            raise ValueError(
                f"{step} must return an output of the shape {(None, *wanted)}, as `output_size` "
                f"says. Received: an output of the shape {tuple(output.shape)}"
            )
        return output, new

    def matmul(
        self, state: Any, kernel: Any, columns: slice | None = None, add_to: Any = None
    ) -> Any:
        """A state times a weight matrix, or times some of its columns; plus `add_to`.

        Multiply states by weights through this method: a loop that takes the products over
        forms the gradient of the matrix once for many steps instead of once a step. That
        needs `kernel` to be a weight of the cell itself, or what `derived` returned.
        """
        handler = context.products
        if handler is not None:
            width = len(range(kernel.shape[-1])[columns or slice(None)])
            if add_to is None or _is_like(add_to, (*state.shape[:-1], width)):
                return handler(state, kernel, columns, add_to)
            # One for all rows, as a bias: its gradient is no gradient of the product.
            return handler(state, kernel, columns, None) + add_to
        kernel = kernel.value if isinstance(kernel, DerivedWeight) else kernel
        product = ops.matmul(state, kernel if columns is None else kernel[:, columns])
        return product if add_to is None else add_to + product

    def derived(self, compute: Callable[[], Any], by_row: bool = False) -> DerivedWeight:
        """What `compute()` makes of the cell's weights, once a loop instead of once a step.

        To be called before the first step, in `build` as a rule. The result goes into
        `matmul` as `kernel`, and has a `value`. With `by_row` it is (batch, ...), made of
        constants, and for `step` alone to use.
        """
        self.derived_weights.append(DerivedWeight(compute, by_row))
        return self.derived_weights[-1]

    def constant(self, name: str, example: Callable[[], Any] | None = None) -> DerivedWeight:
        """A tensor (batch, ...) that is the same at every step, as a memory to look into.

        To be called before the first step; its `value` exists while `derived_as` gives it one.
        Not for inputs and states: a loop hands these out step by step. `example()` gives one
        for two rows, for `klv.plots.cell_diagram`.
        """

        def missing() -> Any:
            raise ValueError(f"{type(self).__name__} was called without `{name}`.")

        constant = DerivedWeight(missing, by_row=True, constant=name, example=example)
        self.derived_weights.append(constant)
        return constant

    def with_examples(self) -> AbstractContextManager[None]:
        """While active, the built cell has constants for two rows, for tools that try a step."""
        return derived_as({id(d): d.example() for d in self.derived_weights if d.example})

    def drop_inputs(self, inputs: Any, training: bool) -> Any:
        if training and self.dropout:
            return inputs * self.get_dropout_mask(inputs)
        return inputs

    def drop_state(self, state: Any, training: bool) -> Any:
        if training and self.recurrent_dropout:
            return state * self.get_recurrent_dropout_mask(state)
        return state

    def notes(self) -> list[str]:
        """What `klv.describe` should add of this built cell: sentences, none by default."""
        return []

    def sow(self, **values: Any) -> None:
        """Name the gates of a step as it computes them; costs nothing when nobody listens."""
        listener = context.listeners.get(id(self))
        if listener is not None:
            # A gate that the cell lacks is the number 1, and nothing to listen to.
            listener({k: v for k, v in values.items() if not isinstance(v, float)})

    def captured_by(
        self, listener: Callable[[dict[str, Any]], None]
    ) -> AbstractContextManager[None]:
        """While active, in this thread, `listener` receives a dict of the gates of each step."""
        return captured(self, listener)

    @property
    def is_captured(self) -> bool:
        """Whether somebody listens to the gates of each step."""
        return id(self) in context.listeners


def _is_like(value: Any, shape: tuple[int | None, ...]) -> bool:
    """Whether the value has this shape, as far as it is known, so that none is repeated."""
    own = tuple(value.shape)
    return len(own) == len(shape) and own[1:] == shape[1:] and (own[0] != 1 or shape[0] == 1)

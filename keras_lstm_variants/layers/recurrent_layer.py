"""Any cell run over a sequence, with everything that Keras's LSTM layer offers."""

from functools import partial
from typing import Any, ClassVar

import keras
from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.core import call_checks, checks, functions
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.context import within
from keras_lstm_variants.core.keras_private import DropoutRNNCell
from keras_lstm_variants.core.registry import register
from keras_lstm_variants.core.state import states_of
from keras_lstm_variants.core.weight_checks import CheckedWeights
from keras_lstm_variants.layers import options, side_inputs
from keras_lstm_variants.layers.call_inputs import CallInputs
from keras_lstm_variants.layers.cell_tree import (
    InitialStateOf,
    draw_dropout_masks,
    flat_cells,
    is_cell,
    shift_seed,
)
from keras_lstm_variants.layers.kept_states import KeptStates
from keras_lstm_variants.layers.output_shapes import OutputShapes


@register
class RecurrentLayer(CallInputs, OutputShapes, KeptStates, CheckedWeights, keras.layers.RNN):
    """Any recurrent cell as a layer: `keras.layers.RNN` with our time loop and two additions.

    Args:
        cell: a cell (ours, Keras's or your own), or a list of cells to stack.
        return_sequences: return the output of every step, not only the last.
        return_state: return `(output, *final_states)`.
        go_backwards: process the sequence from its end; sequences of outputs come in
            the order of processing, as in Keras. The dropout masks then come from another
            seed than the cell's, so that two directions with one seed differ.
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
        engine: `"auto"`: in graphs (`fit`, `predict`, `tf.function`) a loop with a gradient of
            its own, which trains faster and needs less memory; it needs a `klv.Cell` whose
            step uses nothing but its inputs, states and weights. Other cells, and eager
            calls, run in the plain loop. A cell with a parallel form (`Cell.scan`), as
            `MinGRUCell`, needs no loop where the number of steps is known; up to four steps are
            written out. On a CPU, in `fit`,
            `evaluate`, `predict` and under a gradient tape, XLA compiles the loop for a shape
            of the input once 4096 time steps of it have been run, for at most eight shapes. If
            the number of steps is known, 25 are needed; if not, and sequences of many lengths
            come, chunks of them are compiled, once for all lengths. `"xla"`: compiled from the
            first call on, in about a second for each shape of the input. Compiled loops divide
            the rows of a batch among the processor's cores. `"plain"`: always the plain loop,
            which TensorFlow differentiates step by step. The results are the same.
        recompute: in training, keep the states of every n-th step only, and compute what
            the gradient needs again: less memory for more time. Not with `engine="plain"`.
        stop_gradient_every: k: truncated back-propagation: no gradient flows back through
            the states across the edge before step k, 2k, ..., counted as processed.
        clip_state_gradients: v: clip, elementwise to [-v, v], the gradient that flows back
            from each step to the one before, of every state.
        **kwargs: `activity_regularizer`, `name`, `dtype`, `trainable`.

    Call arguments:
        sequences: (batch, time, features). Batch and time may be unknown (None).
        initial_state: list of initial states, (batch, size) each.
        mask: bool (batch, time); False marks the steps to skip, in any pattern.
        training: whether to drop out.
        **kwargs: what the cell needs besides its input at each step (`Cell.side_inputs`), by
            name, such as `times` (batch, time). Keras's `Sequential` and `Bidirectional` hand
            none on: take a functional model, and two layers, of which one has
            `go_backwards=True`.

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

    # What `initial_state` may be.
    initial_states: ClassVar[tuple[str, ...]] = ("zeros", "learned")

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
        engine: str = "auto",
        recompute: bool = False,
        stop_gradient_every: int | None = None,
        clip_state_gradients: float | None = None,
        **kwargs: Any,
    ) -> None:
        cells = list(cell) if isinstance(cell, list | tuple) else [cell]
        if not cells or not all(map(is_cell, cells)):
            raise ValueError(
                "`cell` must be a cell (a keras.layers.Layer with `call(inputs, states)` and "
                f"`state_size`) or a list of cells. Received: cell={cell!r}"
            )
        if isinstance(cell, list | tuple):
            cell = keras.layers.StackedRNNCells(cells, dtype=kwargs.get("dtype"))
        side_inputs.check_declarations(flat_cells(cell))
        functions.check_dtype(kwargs.get("dtype"))
        if "activity_regularizer" in kwargs:
            kwargs["activity_regularizer"] = functions.regularizer(
                "activity_regularizer", kwargs["activity_regularizer"]
            )
        # What each may be, `__setattr__` checks, now and later.
        super().__init__(
            cell,
            return_sequences,
            return_state,
            go_backwards,
            stateful,
            unroll,
            zero_output_for_mask=zero_output_for_mask,
            **kwargs,
        )
        # Keras 3.16 sets False, and the layer behind would no longer see the mask.
        self.supports_masking = True
        self.return_all_states = return_all_states
        self.initial_state = initial_state
        self.engine = engine
        self.recompute = recompute
        self.stop_gradient_every = stop_gradient_every
        self.clip_state_gradients = clip_state_gradients
        self.learned_states = []
        self._set_fresh(None)
        if all(isinstance(c, Cell) for c in flat_cells(self.cell)):
            self.input_spec = keras.layers.InputSpec(ndim=3)
        if self.go_backwards:
            for inner in flat_cells(self.cell):
                shift_seed(inner)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, options.checked(self, name, value))
        if name == "return_all_states" and value:
            self.return_state = True

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
        # Keras casts what it is given, and some of it has a type of its own: times, states.
        given = {**kwargs, **({"initial_state": args[0]} if args else {})}
        with within(exact=(self, given)):
            return super().__call__(sequences, *args, **kwargs)

    def build(self, sequences_shape: Any, initial_state_shape: Any = None) -> None:
        self._create_states(sequences_shape)
        super().build(sequences_shape, initial_state_shape)
        if self.input_spec is not None:
            self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})
        if self.initial_state != "learned":
            return
        names = getattr(self.cell, "state_names", None)
        counts = [
            state.kind == "counter" for cell in flat_cells(self.cell) for state in states_of(cell)
        ]
        for k, zeros in enumerate(keras.tree.flatten(super().get_initial_state(1))):
            self.learned_states.append(
                self.add_weight(
                    shape=tuple(zeros.shape),
                    name=f"initial_{names[k] if names else k}",
                    initializer=InitialStateOf(self, k),
                    trainable=not counts[k],
                )
            )
        if self.stateful:
            # 1 until the first call after a reset, so that the gradient of that call
            # reaches the learned states; the variables in `states` stop it.
            self._set_fresh(keras.Variable("ones", shape=(), trainable=False, name="fresh"))

    def get_initial_state(self, batch_size: Any) -> list[Any]:
        """The states to start from where none are passed: the cell's own or the learned ones."""
        states = super().get_initial_state(batch_size)
        if not self.learned_states:
            return states
        learned = [
            ops.broadcast_to(ops.cast(w, s.dtype), (batch_size, *w.shape[1:]))
            for w, s in zip(self.learned_states, keras.tree.flatten(states), strict=True)
        ]
        return keras.tree.pack_sequence_as(states, learned)

    def call(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        **kwargs: Any,
    ) -> Any:
        sequences, mask, states = self._start(sequences, initial_state, mask)
        side = side_inputs.fitted(self, kwargs, sequences, mask)
        result = self._loop(sequences, states, mask, training, self.return_all_states, side)
        return self._returned(result)

    def _loop_options(self, **changes: Any) -> engine.LoopOptions:
        return engine.LoopOptions(
            go_backwards=self.go_backwards,
            unroll=self.unroll,
            zero_output_for_mask=self.zero_output_for_mask,
            keep_outputs=self.return_sequences,
            engine=self.engine,
            recompute=self.recompute,
            stop_gradient_every=self.stop_gradient_every,
            clip_state_gradients=self.clip_state_gradients,
        ).but(**changes)

    @within(equal_rows=True)
    def _loop(
        self,
        sequences: Any,
        states: Any,
        mask: Any,
        training: bool,
        keep_states: bool,
        side: dict[str, Any] | None = None,
    ) -> engine.Result:
        """Run the cell with the options of this layer."""
        call_checks.check_training(training)
        try:
            if training:
                draw_dropout_masks(self.cell, sequences.shape[2:], states)
            return engine.run(
                self.cell,
                sequences,
                states,
                self._loop_options(training=training, keep_states=keep_states),
                output_dtype=self.compute_dtype,
                mask=mask,
                side=side,
                recorder=engine.recording_of(self, mask),
            )
        finally:
            for cell in flat_cells(self.cell):
                if isinstance(cell, DropoutRNNCell):
                    cell.reset_dropout_mask()
                    cell.reset_recurrent_dropout_mask()

    def explain_engine(
        self,
        sequences_shape: tuple[int | None, ...] | None = None,
        training: bool = True,
        **shapes: tuple[int | None, ...],
    ) -> str:
        """Which loop runs each cell in a graph (`fit`, `predict`, `tf.function`), and why.

        Eager calls always run in the plain loop. What is chosen while a model runs is also
        logged, at the level DEBUG by the logger `keras_lstm_variants`.

        Args:
            sequences_shape: (batch, time, features), None where a size is unknown. Default:
                nothing but the features that the layer was built for.
            training: whether to tell of training or of inference.
            **shapes: of the further tensors that the layer is called with, by their names.

        Returns:
            A line for each cell.

        Raises:
            ValueError: the layer is not built and no `sequences_shape` is given.

        Example:
            >>> import keras_lstm_variants as klv
            >>> print(klv.LSTM(4, engine="plain").explain_engine((None, 5, 3)))
            LSTMCell: the plain loop, because `engine="plain"`
        """
        if sequences_shape is None:
            if not self.built or self.input_spec is None:
                raise ValueError(
                    f"{self.name} is not built: give `sequences_shape`, as (None, None, features)."
                )
            batch = keras.tree.flatten(self.states)[0].shape[0] if self.stateful else None
            sequences_shape = (batch, None, self.input_spec.axes[-1])
        if not self.built:
            self.build(sequences_shape)
        choices = engine.choices_in_graph(
            partial(self, training=checks.flag("training", training)),
            {"sequences": tuple(sequences_shape), **shapes},
            self.compute_dtype,
            training,
        )
        return "\n".join(
            f"{type(cell).__name__}: {chosen}" + (f", because {reason}" if reason else "")
            for cell, chosen, reason in choices
        )

    def _returned(self, result: engine.Result) -> Any:
        """What a call returns of its result."""

        def cast(states: Any) -> Any:
            dtypes = iter(self._own_dtypes())
            return keras.tree.map_structure(
                lambda v: ops.cast(v, next(dtypes) or self.compute_dtype), states
            )

        states = cast(result.states)
        if self.stateful:
            self.keep_states(states)
        output = result.outputs if self.return_sequences else result.last_output
        output = ops.cast(output, self.compute_dtype)
        if not self.return_state:
            return output
        if not self.return_all_states:
            return output, *states
        histories = engine.in_processing_order(result.state_sequences, self._loop_options())
        return output, *states, *cast(histories)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "return_all_states": self.return_all_states,
            "initial_state": self.initial_state,
            "engine": self.engine,
            "recompute": self.recompute,
            "stop_gradient_every": self.stop_gradient_every,
            "clip_state_gradients": self.clip_state_gradients,
        }

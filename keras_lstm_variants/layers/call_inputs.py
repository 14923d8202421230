"""What a recurrent layer is called with: sequences, mask, and states to start from."""

from typing import Any

import keras
from keras import ops

from keras_lstm_variants import engine
from keras_lstm_variants.core import call_checks
from keras_lstm_variants.core.context import exact
from keras_lstm_variants.core.keras_private import get_keras_mask
from keras_lstm_variants.layers.cell_tree import fits


class CallInputs:
    """Mixin of `RecurrentLayer`: checks what a call is given, and makes it what a loop takes."""

    def _start(self, sequences: Any, initial_state: Any, mask: Any) -> tuple[Any, Any, Any]:
        """Sequences, mask and first states of a call, or errors for what does not fit."""
        if mask is None:
            # Keras hands it on only where a layer is called with a single tensor.
            mask = get_keras_mask(sequences)
        if keras.backend.is_float_dtype(sequences.dtype):
            sequences = ops.cast(sequences, self.compute_dtype)
        mask = call_checks.as_mask("mask", mask)
        initial_state = exact(self, "initial_state", initial_state)
        self._check_call(sequences, initial_state, mask)
        if self.unroll and sequences.shape[1] is None:
            raise ValueError(
                f"{self.name} has `unroll=True`, which needs a known number of time steps. "
                f"Received: input shape {tuple(sequences.shape)}. Give it in "
                "`keras.Input(shape=(time, features))`, or leave `unroll` out."
            )
        sequences, mask, passed = engine.fitted_call(
            self.name,
            sequences,
            mask,
            keras.tree.flatten(initial_state) if initial_state is not None else [],
            rows=keras.tree.flatten(self.states)[0].shape[0] if self.stateful else None,
            features=self.input_spec.axes[-1] if self.input_spec is not None else None,
            state_sizes=self._state_sizes() if initial_state is not None else [],
        )
        return sequences, mask, self._first_states(sequences, passed or None)

    def _check_call(self, sequences: Any, initial_state: Any, mask: Any) -> None:
        """Errors for what does not fit together, as far as the shapes are known."""
        mask = call_checks.as_mask("mask", mask)
        batch, time = sequences.shape[:2]
        if self.stateful:
            expected = keras.tree.flatten(self.states)[0].shape[0]
            if batch not in (None, expected):
                raise ValueError(
                    f"{self.name} is stateful with a batch size of {expected}. "
                    f"Received: input shape {tuple(sequences.shape)}"
                )
        if mask is not None and not fits(tuple(mask.shape), (batch, time)):
            raise ValueError(
                f"`mask` must have the shape (batch, time), here {(batch, time)}. "
                f"Received: {tuple(mask.shape)}"
            )
        if initial_state is None:
            return
        call_checks.check_states(self.name, initial_state)
        shapes = [tuple(v.shape) for v in keras.tree.flatten(initial_state)]
        wanted = [(batch, *sizes) for sizes in self._state_sizes()]
        if len(shapes) != len(wanted) or not all(map(fits, shapes, wanted)):
            raise ValueError(
                f"`initial_state` of {self.name} must be {len(wanted)} tensor(s) of the shapes "
                f"{wanted} (None is any size). Received: {len(shapes)} of the shapes {shapes}"
            )

    def _state_sizes(self) -> list[tuple[int, ...]]:
        """The shape of each state, without the batch."""
        return [tuple(s.shape[1:]) for s in keras.tree.flatten(super().get_initial_state(1))]

    def _first_states(self, sequences: Any, passed: Any) -> Any:
        """The states before the first step, in the cell's structure and dtypes."""
        start = self.get_initial_state(ops.shape(sequences)[0])
        flat = keras.tree.flatten(start)
        if passed is not None:
            chosen = keras.tree.flatten(passed)
        elif self.stateful:
            chosen = [ops.cast(v.value, s.dtype) for v, s in self._kept_and(flat)]
            if self._fresh is not None:
                fresh = ops.cast(self._fresh.value, "bool")
                chosen = [ops.where(fresh, s, k) for s, k in zip(flat, chosen, strict=True)]
        else:
            chosen = flat
        return keras.tree.pack_sequence_as(
            start,
            [
                ops.cast(ops.convert_to_tensor(c), s.dtype)
                for c, s in zip(chosen, flat, strict=True)
            ],
        )

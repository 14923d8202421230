"""What a recurrent layer returns, before it is called."""

from typing import Any

import keras

from keras_lstm_variants.core import call_checks
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.layers import side_inputs


class OutputShapes:
    """Mixin of `RecurrentLayer`: shapes, types and masks of what a call returns."""

    def compute_output_spec(
        self,
        sequences: Any,
        initial_state: Any = None,
        mask: Any = None,
        training: bool = False,
        **kwargs: Any,
    ) -> Any:
        # Keras does not run `call` on symbolic inputs: without this, errors would wait for `fit`.
        call_checks.check_training(training)
        self._check_call(sequences, initial_state, mask)
        side_inputs.check(self, kwargs, tuple(sequences.shape[:2]))
        spec = super().compute_output_spec(sequences, initial_state)
        if not self.return_state:
            return spec
        output, *states = spec
        dtypes = iter(self._own_dtypes() * 2)
        return output, *keras.tree.map_structure(
            lambda s: keras.KerasTensor(s.shape, next(dtypes) or s.dtype), states
        )

    def compute_output_shape(self, sequences_shape: Any, initial_state_shape: Any = None) -> Any:
        shape = super().compute_output_shape(sequences_shape)
        if not self.return_state:
            return shape
        output, *states = shape
        batch, time = sequences_shape[:2]
        if isinstance(self.cell, keras.layers.StackedRNNCells | Cell):
            # As a call returns them: Keras forgets the list around the only state of a cell in a
            # stack, and takes the sizes of a matrix for those of several states.
            states = keras.tree.map_structure(
                lambda s: (batch, *s.shape[1:]), super().get_initial_state(1)
            )
        if not self.return_all_states:
            return output, *states

        def over_time(states: Any) -> Any:
            if isinstance(states, list):
                return [over_time(s) for s in states]
            return (states[0], time, *states[1:])

        return output, *states, *over_time(states)

    def compute_mask(self, inputs: Any, mask: Any) -> Any:
        output_mask = mask if self.return_sequences else None
        if not self.return_state:
            return output_mask
        states = len(self._own_dtypes())
        if not self.return_all_states:
            return [output_mask] + [None] * states
        return [output_mask] + [None] * states + [mask] * states

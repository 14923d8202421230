"""The kept states of a stateful layer."""

from typing import Any

import keras

from keras_lstm_variants.core.state import states_of
from keras_lstm_variants.layers.cell_tree import InitialStateOf, flat_cells


class KeptStates:
    """Mixin of `RecurrentLayer`: what `stateful=True` keeps from one call to the next."""

    def _create_states(self, sequences_shape: Any) -> None:
        """The states of a stateful layer, as Keras does in `build`, but not by their values.

        Keras then cannot build a model of one's own class, and refuses to export it.
        """
        if not self.stateful or self.states is not None or sequences_shape[0] is None:
            return
        if not self.cell.built:
            self.cell.build((sequences_shape[0], *sequences_shape[2:]))
            self.cell.built = True
        states = super().get_initial_state(sequences_shape[0])
        flat = keras.tree.flatten(states)
        variables = [
            keras.Variable(
                InitialStateOf(self, k),
                shape=tuple(s.shape),
                dtype=own or self.variable_dtype,
                trainable=False,
                name="rnn_state",
            )
            for k, (s, own) in enumerate(zip(flat, self._own_dtypes(), strict=True))
        ]
        object.__setattr__(self, "states", keras.tree.pack_sequence_as(states, variables))

    def _set_fresh(self, variable: Any) -> None:
        # Like `states` it is no weight: neither is saved, and a loaded layer starts anew.
        object.__setattr__(self, "_fresh", variable)

    def reset_state(self) -> None:
        """Set the states of a stateful layer back to the initial state."""
        if self.states is None:
            return
        batch_size = keras.tree.flatten(self.states)[0].shape[0]
        for variable, value in self._kept_and(self.get_initial_state(batch_size)):
            variable.assign(value)
        if self._fresh is not None:
            self._fresh.assign(1)

    @property
    def is_fresh(self) -> bool:
        """Whether a stateful layer's next call starts from learned states, not from kept ones."""
        return self._fresh is not None and bool(int(self._fresh))

    def kept_states(self) -> list[Any]:
        """The states from which a stateful layer's next call starts."""
        if self.is_fresh:
            return self.get_initial_state(keras.tree.flatten(self.states)[0].shape[0])
        return self.states

    @property
    def state_variables(self) -> list[Any]:
        """What a call of a stateful layer changes."""
        if not self.stateful or self.states is None:
            return []
        return [*keras.tree.flatten(self.states), *([] if self._fresh is None else [self._fresh])]

    def keep_states(self, values: Any) -> None:
        """Let a stateful layer's next call start from these states."""
        for variable, value in self._kept_and(values):
            variable.assign(value)
        if self._fresh is not None:
            self._fresh.assign(0)

    def _kept_and(self, states: Any) -> list[tuple[Any, Any]]:
        """Each kept state of a stateful layer, with its partner in `states`."""
        kept = keras.tree.flatten(self.states)
        return list(zip(kept, keras.tree.flatten(states), strict=True))

    def _own_dtypes(self) -> list[str | None]:
        """Of each state the type that it has in every precision; None of most."""
        return [
            None if state.dtype is None else state.dtype_in(cell)
            for cell in flat_cells(self.cell)
            for state in states_of(cell)
        ]

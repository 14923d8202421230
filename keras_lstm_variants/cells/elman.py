from typing import Any

from keras_lstm_variants.core.bases import AffineCell
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register


@register
class ElmanCell(AffineCell):
    r"""Elman's simple recurrent network: the hidden state is fed back, and nothing is gated.

    $$h_t = \tanh(x_t W + h_{t-1} U + b)$$

    Elman used the logistic function, `activation="sigmoid"`. Equal to Keras's `SimpleRNNCell`,
    which is another name of it here.

    Reference: Elman 1990, Finding structure in time, Cognitive Science 14.
    Arguments: see `AffineCell`. Weights: `n (m + n + 1)` for m inputs and n units.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.ElmanCell(4))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    gates = ("g",)
    states = (State("h"),)
    reference = "Elman 1990, Finding structure in time"

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        (h,) = states
        h = self.activation(self.recurrent_matmul(h, add_to=z, training=training))
        self.sow(g=h)
        return h, (h,)


Elman = ElmanCell.layer_class

# Keras's names for them.
SimpleRNN, SimpleRNNCell = Elman, ElmanCell

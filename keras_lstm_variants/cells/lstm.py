from typing import Any

from keras_lstm_variants.core.bases import LSTMFamilyCell
from keras_lstm_variants.core.state import States
from keras_lstm_variants.layers.cell_layer import CellLayer
from keras_lstm_variants.layers.registration import register


@register
class LSTMCell(LSTMFamilyCell):
    r"""The LSTM with a forget gate, as in `keras.layers.LSTMCell`, with the same weights.

    $$i = \sigma(A_i) \quad f = \sigma(A_f) \quad g = \tanh(A_g) \quad o = \sigma(A_o)$$
    $$c_t = f \odot c_{t-1} + i \odot g \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$.

    Reference: Gers, Schmidhuber & Cummins 2000, Learning to forget, Neural Computation 12(10).
    Arguments: see `LSTMFamilyCell`. Weights: `4 n (m + n + 1)` for m inputs and n units.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.LSTMCell(4, forget_bias=2.0))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = "Gers, Schmidhuber & Cummins 2000, Learning to forget"

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c = states
        i, f, g, o = self.split(self.recurrent_matmul(h, add_to=z, training=training))
        i, f, o = self.gate(i), self.gate(f), self.gate(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.output_activation(c)
        self.sow(i=i, f=f, g=g, o=o)
        return h, (h, c)


@register
class LSTM(CellLayer):
    """The LSTM as a layer, a drop-in for `keras.layers.LSTM`. See `LSTMCell` and `CellLayer`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> x = keras.random.normal((2, 5, 3))
        >>> theirs = keras.layers.LSTM(4)
        >>> expected = theirs(x)
        >>> ours = klv.LSTM(4)
        >>> ours.build(x.shape)
        >>> ours.set_weights(theirs.get_weights())
        >>> bool(keras.ops.max(keras.ops.abs(ours(x) - expected)) < 1e-6)
        True
    """

    cell_class = LSTMCell

from typing import Any

from keras_lstm_variants.core.bases import PeepholeFamilyCell
from keras_lstm_variants.core.state import States
from keras_lstm_variants.layers.registration import register


@register
class PeepholeLSTMCell(PeepholeFamilyCell):
    r"""The LSTM whose gates see the memory: peepholes, one weight a unit.

    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad f = \sigma(A_f + p_f \odot c_{t-1})
      \quad g = \tanh(A_g)$$
    $$c_t = f \odot c_{t-1} + i \odot g$$
    $$o = \sigma(A_o + p_o \odot c_t) \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$. The output gate sees the new memory.

    Deviation: Gers leaves the memory unsquashed in `h`, `output_activation="linear"`.

    Reference: Gers & Schmidhuber 2000, Recurrent nets that time and count, IJCNN;
    Gers, Schraudolph & Schmidhuber 2002, JMLR 3.
    Arguments: see `PeepholeFamilyCell`; `peepholes` is any subset of i, f, o, all by default.
    Weights: `4 n (m + n + 1) + k n` for m inputs, n units and k peepholes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.PeepholeLSTMCell(4, peepholes=("f", "o")))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = "Gers & Schmidhuber 2000, Recurrent nets that time and count"

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c = states
        a = self.blocks(self.recurrent_matmul(h, add_to=z, training=training))
        i = self.open("i", a, c)
        f = self.open("f", a, c)
        g = self.activation(a["g"])
        c = f * c + i * g
        o = self.open("o", a, c)
        h = o * self.output_activation(c)
        self.sow(i=i, f=f, g=g, o=o)
        return h, (h, c)


PeepholeLSTM = PeepholeLSTMCell.layer_class

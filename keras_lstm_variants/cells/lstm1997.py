from typing import Any

import keras

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.bases import LSTMFamilyCell
from keras_lstm_variants.core.state import States
from keras_lstm_variants.layers.registration import register


@register
class LSTM1997Cell(LSTMFamilyCell):
    r"""The first LSTM: no forget gate, so the memory only ever adds up.

    $$i = \sigma(A_i) \quad g = G(A_g) \quad o = \sigma(A_o)$$
    $$c_t = c_{t-1} + i \odot g \qquad h_t = o \odot H(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$. The paper squashes with
    $G(v) = 4\sigma(v) - 2$ and $H(v) = 2\sigma(v) - 1$.

    Deviations: the 1997 networks also fed the gates' values back to the gates and were
    trained by a truncated gradient; this cell has the structure above and full gradients.

    Reference: Hochreiter & Schmidhuber 1997, Long short-term memory, Neural Computation 9(8).
    Weights: `3 n (m + n + 1)` for m inputs and n units.

    Args:
        units, activation, recurrent_activation, output_activation, ...: see `LSTMFamilyCell`.
        squashing: `"tanh"` (G is `activation`, H is `output_activation`, both tanh by
            default) or `"original"` (G and H of the paper).
        **kwargs: what `LSTMFamilyCell` takes; there is no keeping gate, so no `forget_bias`.

    Raises:
        ValueError: as `LSTMFamilyCell`; or `activation` or `output_activation` is given
            together with `squashing="original"`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.LSTM1997Cell(4, squashing="original"))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    gates = ("i", "g", "o")
    forget_gate = None
    reference = "Hochreiter & Schmidhuber 1997, Long short-term memory"

    def __init__(self, *args: Any, squashing: str = "tanh", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.squashing = checks.one_of("squashing", squashing, ("tanh", "original"))
        tanh = keras.activations.tanh
        if squashing == "original" and not self.activation is self.output_activation is tanh:
            raise ValueError(
                '`squashing="original"` fixes both squashing functions: leave `activation` and '
                "`output_activation` at their defaults. Received: "
                f"activation={self.activation!r}, output_activation={self.output_activation!r}"
            )

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c = states
        i, g, o = self.split(self.recurrent_matmul(h, add_to=z, training=training))
        i, o = self.gate(i), self.gate(o)
        if self.squashing == "original":
            # In paper's form 4 sigmoid(v) - 2 and 2 sigmoid(v) - 1.
            g = 4 * keras.ops.sigmoid(g) - 2
            c = c + i * g
            h = o * (2 * keras.ops.sigmoid(c) - 1)
        else:
            g = self.activation(g)
            c = c + i * g
            h = o * self.output_activation(c)
        self.sow(i=i, g=g, o=o)
        return h, (h, c)


LSTM1997 = LSTM1997Cell.layer_class

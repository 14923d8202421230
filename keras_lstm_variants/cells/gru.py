from typing import Any

from keras import ops

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.bases import GatedCell
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register


@register
class GRUCell(GatedCell):
    r"""The gated recurrent unit, as in `keras.layers.GRUCell`, with the same weights.

    $$z = \sigma(x_t W_z + h_{t-1} U_z + b_z) \qquad r = \sigma(x_t W_r + h_{t-1} U_r + b_r)$$
    $$g = \tanh(x_t W_g + b_g + r \odot (h_{t-1} U_g + b'_g)) \quad \text{(reset after)}$$
    $$g = \tanh(x_t W_g + b_g + (r \odot h_{t-1}) U_g) \quad \text{(reset before)}$$
    $$h_t = z \odot h_{t-1} + (1 - z) \odot g$$

    The update gate z keeps the memory, as in Cho's paper, Keras and cuDNN; Chung et al.
    2014 write with it. Cho's paper prints no biases.

    Reference: Cho et al. 2014, arXiv 1406.1078 (version 1 resets after the product,
    version 3 before it).
    Weights: `3 n (m + n + 1)`, with `reset_after` `3 n (m + n + 2)`, for m inputs and n units.

    Args:
        units, activation, recurrent_activation, ...: see `GatedCell`. `forget_bias` is the
            bias of z; its usual value is 0.
        reset_after: whether the reset gate acts after the recurrent product (default, as in
            cuDNN, with a recurrent bias of its own) or before it.
        **kwargs: what `GatedCell` takes.

    Raises:
        ValueError: as `GatedCell`; or `reset_after` is not a bool.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.GRUCell(4, reset_after=False))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    gates = ("z", "r", "g")
    states = (State("h"),)
    forget_gate = ("z", 1)
    reference = "Cho et al. 2014, Learning phrase representations using RNN encoder-decoder"

    def __init__(self, *args: Any, reset_after: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reset_after = checks.flag("reset_after", reset_after)
        # As in Keras: input side, recurrent side.
        self.bias_rows = 2 if self.reset_after else None

    @property
    def recurrent_bias(self) -> Any:
        return 0.0 if self.bias is None else self.bias[1]

    def step(self, x: Any, states: States, training: bool = False) -> tuple[Any, States]:
        (h,) = states
        x_z, x_r, x_g = self.split(x)
        if self.reset_after:
            a = self.recurrent_matmul(h, training=training) + self.recurrent_bias
            h_z, h_r, h_g = self.split(a)
            z = self.gate(x_z + h_z)
            r = self.gate(x_r + h_r)
            g = self.activation(x_g + r * h_g)
        else:
            h_z, h_r = ops.split(self.recurrent_matmul(h, "z", "r", training=training), 2, axis=-1)
            z = self.gate(x_z + h_z)
            r = self.gate(x_r + h_r)
            g = self.activation(x_g + self.recurrent_matmul(r * h, "g", training=training))
        h = z * h + (1 - z) * g
        self.sow(z=z, r=r, g=g)
        return h, (h,)


GRU = GRUCell.layer_class

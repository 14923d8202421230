from typing import Any

from keras_lstm_variants.core.bases import GatedCell
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register


@register
class MinGRUCell(GatedCell):
    r"""The minimal GRU, whose gate and candidate see the input alone.

    $$z = \sigma(A_z) \qquad g = A_g \qquad h_t = (1 - z) \odot h_{t-1} + z \odot g$$

    where $A_k = x_t W_k + b_k$. The state is linear in itself, so that all steps can be computed
    at once: training on long sequences needs no loop over time.

    This is the plain form. In the paper's log-space form the candidate is positive.

    Reference: Feng et al. 2024, Were RNNs all we needed?, arXiv 2410.01201.
    Weights: `2 n (m + 1)` for m inputs and n units.

    Args:
        units: positive integer, the size of the state and of the output.
        activation: the function of the candidate. Default None: linear, as in the paper.
        recurrent_activation, use_bias, ...: see `GatedCell`. There is no recurrent kernel, and
            none of its arguments.
        **kwargs: what `GatedCell` takes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.MinGRUCell(4))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    states = (State("h"),)
    gates = ("z", "g")
    recurrent_gates = ()
    forget_gate = ("z", -1)
    reference = "Feng et al. 2024, Were RNNs all we needed?"
    not_taken = (
        "recurrent_initializer",
        "recurrent_regularizer",
        "recurrent_constraint",
        "recurrent_dropout",
    )

    def __init__(
        self,
        units: int,
        activation: Any = None,
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            recurrent_activation,
            use_bias,
            kernel_initializer,
            bias_initializer=bias_initializer,
            **kwargs,
        )

    def scan(self, a: Any) -> tuple[Any, Any]:
        z, g = self.split(a)
        z, g = self.gate(z), self.activation(g)
        self.sow(z=z, g=g)
        return 1 - z, z * g

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        (h,) = states
        a, b = self.scan(z)
        h = a * h + b
        return h, (h,)


MinGRU = MinGRUCell.layer_class

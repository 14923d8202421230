from typing import Any

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.bases import LSTMFamilyCell
from keras_lstm_variants.core.normalization import LayerNorm
from keras_lstm_variants.core.state import States
from keras_lstm_variants.layers.cell_layer import CellLayer
from keras_lstm_variants.layers.registration import register


@register
class LSTMCell(LSTMFamilyCell):
    r"""The LSTM with a forget gate, as in `keras.layers.LSTMCell`, with the same weights.

    $$i = \sigma(A_i) \quad f = \sigma(A_f) \quad g = \tanh(A_g) \quad o = \sigma(A_o)$$
    $$c_t = f \odot c_{t-1} + i \odot g \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$. With `layer_norm=True`,
    $A = LN(x_t W) + LN(h_{t-1} U) + b$ over all gates at once, and $h_t = o \odot \tanh(LN(c_t))$.

    Reference: Gers, Schmidhuber & Cummins 2000, Learning to forget, Neural Computation 12(10).
    Weights: `4 n (m + n + 1)` for m inputs and n units; with `layer_norm`, `18 n` more.

    Args:
        units, activation, recurrent_activation, ...: see `LSTMFamilyCell`.
        layer_norm: whether to normalise, as `LayerNormLSTMCell` does.
        layer_norm_epsilon: a positive number, added to the variance.
        norm_regularizer, norm_constraint: penalty and constraint for the factors gamma of the
            normalisation. Its shifts beta take those of the bias.
        **kwargs: what `LSTMFamilyCell` takes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.LSTMCell(4, forget_bias=2.0))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = "Gers, Schmidhuber & Cummins 2000, Learning to forget"

    def __init__(
        self,
        *args: Any,
        layer_norm: bool = False,
        layer_norm_epsilon: float = 1e-5,
        norm_regularizer: Any = None,
        norm_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.layer_norm = checks.flag("layer_norm", layer_norm)
        self.layer_norm_epsilon = checks.positive_number("layer_norm_epsilon", layer_norm_epsilon)
        self.norm_regularizer = functions.regularizer("norm_regularizer", norm_regularizer)
        self.norm_constraint = functions.constraint("norm_constraint", norm_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        if self.layer_norm:
            n, epsilon = self.units, self.layer_norm_epsilon
            self.kernel_norm = LayerNorm(self, "kernel", 4 * n, epsilon, self.gates)
            self.recurrent_norm = LayerNorm(self, "recurrent", 4 * n, epsilon, self.gates)
            self.state_norm = LayerNorm(self, "state", n, epsilon)

    def affine(self, z: Any, h: Any, training: bool) -> Any:
        """All $A_k$, side by side."""
        if not self.layer_norm:
            return self.recurrent_matmul(h, add_to=z, training=training)
        return z + self.recurrent_norm(self.recurrent_matmul(h, training=training))

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c = states
        i, f, g, o = self.split(self.affine(z, h, training))
        i, f, o = self.gate(i), self.gate(f), self.gate(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.output_activation(self.state_norm(c) if self.layer_norm else c)
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


@register
class LayerNormLSTMCell(LSTMCell):
    r"""The LSTM with layer normalisation: `LSTMCell` with `layer_norm=True`.

    $$A = LN(x_t W) + LN(h_{t-1} U) + b \qquad
      LN(v) = \gamma \odot \frac{v - \text{mean}(v)}{\text{std}(v)} + \beta$$
    $$c_t = \sigma(A_f) \odot c_{t-1} + \sigma(A_i) \odot \tanh(A_g) \qquad
      h_t = \sigma(A_o) \odot \tanh(LN(c_t))$$

    Each LN has a $\gamma$ and a $\beta$ of its own; the first two are over all gates at once. To
    the variance in std(v) `layer_norm_epsilon` is added. The
    memory $c_t$ is carried as it is, not normalised (TensorFlow Addons carried it normalised).

    Reference: Ba, Kiros & Hinton 2016, Layer normalization, arXiv 1607.06450.
    Weights: `4 n (m + n + 1) + 18 n` for m inputs and n units.

    Args:
        units, activation, recurrent_activation, ...: see `LSTMCell`.
        layer_norm: True here.
        **kwargs: what `LSTMCell` takes. Without `use_bias` there is no $\beta$.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.LayerNormLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = "Ba, Kiros & Hinton 2016, Layer normalization"

    def __init__(self, *args: Any, layer_norm: bool = True, **kwargs: Any) -> None:
        super().__init__(*args, layer_norm=layer_norm, **kwargs)


LayerNormLSTM = LayerNormLSTMCell.layer_class

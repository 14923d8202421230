from typing import Any

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.bases import PeepholeFamilyCell
from keras_lstm_variants.core.state import States
from keras_lstm_variants.layers.registration import register


@register
class CoupledLSTMCell(PeepholeFamilyCell):
    r"""The LSTM with coupled gates (CIFG): what it forgets is what it writes.

    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad f = 1 - i \quad g = \tanh(A_g)$$
    $$c_t = f \odot c_{t-1} + i \odot g$$
    $$o = \sigma(A_o + p_o \odot c_t) \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$. With `couple="i=1-f"` the weights belong to
    the forget gate, $f = \sigma(A_f + p_f \odot c_{t-1})$ and $i = 1 - f$ (TensorFlow 1's
    cell): the same family of functions, with the gate's weights negated.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (CIFG).
    Weights: `3 n (m + n + 1) + k n` for m inputs, n units and k peepholes.

    Args:
        units, activation, recurrent_activation, ...: see `PeepholeFamilyCell`.
        peepholes: none by default; Greff's have `("i", "o")`. With `couple="i=1-f"` the
            gates that may have one are f and o.
        couple: `"f=1-i"` or `"i=1-f"`. A forget bias b keeps sigmoid(b) a step in both:
            with `"f=1-i"` it is minus b in the input gate's column.
        **kwargs: what `PeepholeFamilyCell` takes.

    Raises:
        ValueError: as `PeepholeFamilyCell`; or `couple` is neither of the two.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.CoupledLSTMCell(4, peepholes=("i", "o")))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    gates = ("i", "g", "o")
    forget_gate = ("i", -1)
    input_gate = None
    reference = "Greff et al. 2015, LSTM: a search space odyssey (CIFG)"

    def __init__(
        self,
        *args: Any,
        peepholes: tuple[str, ...] | None = (),
        couple: str = "f=1-i",
        **kwargs: Any,
    ) -> None:
        checks.one_of("couple", couple, ("f=1-i", "i=1-f"))
        if couple == "i=1-f":
            self.gates = ("f", "g", "o")
            self.forget_gate = ("f", 1)
        super().__init__(*args, peepholes=peepholes, **kwargs)
        self.couple = couple

    def notes(self) -> list[str]:
        return [] if self.couple == "f=1-i" else ['With `couple="i=1-f"`, as here, i = 1 - f.']

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c = states
        a, g, o = self.split(self.recurrent_matmul(h, add_to=z, training=training))
        if self.couple == "f=1-i":
            i = self.gate(a + self.peep("i", c))
            f = 1 - i
        else:
            f = self.gate(a + self.peep("f", c))
            i = 1 - f
        g = self.activation(g)
        c = f * c + i * g
        o = self.gate(o + self.peep("o", c))
        h = o * self.output_activation(c)
        self.sow(i=i, f=f, g=g, o=o)
        return h, (h, c)


CoupledLSTM = CoupledLSTMCell.layer_class

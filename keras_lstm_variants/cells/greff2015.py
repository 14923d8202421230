"""The eight variants of "LSTM: a search space odyssey": the peephole LSTM but for one thing."""

from typing import Any

from keras import ops

from keras_lstm_variants.cells.coupled import CoupledLSTMCell
from keras_lstm_variants.cells.lstm import LSTMCell
from keras_lstm_variants.cells.peephole import PeepholeLSTMCell
from keras_lstm_variants.core import functions
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register

_GREFF = "Greff et al. 2015, LSTM: a search space odyssey"


@register
class NIGLSTMCell(PeepholeLSTMCell):
    r"""No input gate: everything is written. The peephole LSTM with $i = 1$.

    $$f = \sigma(A_f + p_f \odot c_{t-1}) \quad g = \tanh(A_g)$$
    $$c_t = f \odot c_{t-1} + g$$
    $$o = \sigma(A_o + p_o \odot c_t) \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$. With `peepholes=()` it is Jozefowicz's LSTM-i.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (NIG).
    Arguments: see `PeepholeFamilyCell`; `peepholes` is any subset of f, o.
    Weights: `3 n (m + n + 1) + k n` for m inputs, n units and k peepholes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.NIGLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    gates = ("f", "g", "o")
    input_gate = None
    reference = f"{_GREFF} (NIG)"


@register
class NFGLSTMCell(PeepholeLSTMCell):
    r"""No forget gate: nothing is ever forgotten. The peephole LSTM with $f = 1$.

    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad g = \tanh(A_g)$$
    $$c_t = c_{t-1} + i \odot g$$
    $$o = \sigma(A_o + p_o \odot c_t) \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$. With `peepholes=()` it is Jozefowicz's LSTM-f
    and `LSTM1997Cell`.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (NFG).
    Arguments: see `PeepholeFamilyCell`; `peepholes` is any subset of i, o. There is no
    keeping gate, so no `forget_bias`.
    Weights: `3 n (m + n + 1) + k n` for m inputs, n units and k peepholes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.NFGLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    gates = ("i", "g", "o")
    forget_gate = None
    reference = f"{_GREFF} (NFG)"


@register
class NOGLSTMCell(PeepholeLSTMCell):
    r"""No output gate: the memory is always shown. The peephole LSTM with $o = 1$.

    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad f = \sigma(A_f + p_f \odot c_{t-1})
      \quad g = \tanh(A_g)$$
    $$c_t = f \odot c_{t-1} + i \odot g \qquad h_t = \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$. With `peepholes=()` it is Jozefowicz's LSTM-o.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (NOG).
    Arguments: see `PeepholeFamilyCell`; `peepholes` is any subset of i, f.
    Weights: `3 n (m + n + 1) + k n` for m inputs, n units and k peepholes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.NOGLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    gates = ("i", "f", "g")
    reference = f"{_GREFF} (NOG)"


@register
class NIAFLSTMCell(PeepholeLSTMCell):
    r"""No input activation function: the candidate is linear, $g = A_g$.

    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad f = \sigma(A_f + p_f \odot c_{t-1})
      \quad g = A_g$$
    $$c_t = f \odot c_{t-1} + i \odot g$$
    $$o = \sigma(A_o + p_o \odot c_t) \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (NIAF).
    Arguments: see `PeepholeFamilyCell`; the defaults are `activation="linear"` and
    `output_activation="tanh"`.
    Weights: `4 n (m + n + 1) + k n` for m inputs, n units and k peepholes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.NIAFLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = f"{_GREFF} (NIAF)"

    def __init__(
        self,
        units: int,
        activation: Any = "linear",
        *args: Any,
        output_activation: Any = "tanh",
        **kwargs: Any,
    ) -> None:
        super().__init__(units, activation, *args, output_activation=output_activation, **kwargs)


@register
class NOAFLSTMCell(PeepholeLSTMCell):
    r"""No output activation function: the memory is shown as it is, $h_t = o \odot c_t$.

    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad f = \sigma(A_f + p_f \odot c_{t-1})
      \quad g = \tanh(A_g)$$
    $$c_t = f \odot c_{t-1} + i \odot g$$
    $$o = \sigma(A_o + p_o \odot c_t) \qquad h_t = o \odot c_t$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (NOAF).
    Arguments: see `PeepholeFamilyCell`; the default is `output_activation="linear"`.
    Weights: `4 n (m + n + 1) + k n` for m inputs, n units and k peepholes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.NOAFLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = f"{_GREFF} (NOAF)"

    def __init__(self, *args: Any, output_activation: Any = "linear", **kwargs: Any) -> None:
        super().__init__(*args, output_activation=output_activation, **kwargs)


@register
class NPLSTMCell(LSTMCell):
    r"""No peepholes: the peephole LSTM without $p_i$, $p_f$, $p_o$, which is `LSTMCell`.

    $$i = \sigma(A_i) \quad f = \sigma(A_f) \quad g = \tanh(A_g) \quad o = \sigma(A_o)$$
    $$c_t = f \odot c_{t-1} + i \odot g \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (NP).
    Arguments: see `LSTMFamilyCell`. Weights: `4 n (m + n + 1)` for m inputs and n units.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.NPLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = f"{_GREFF} (NP)"


@register
class CIFGLSTMCell(CoupledLSTMCell):
    r"""Coupled input and forget gate: `CoupledLSTMCell` with the peepholes of the paper.

    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad f = 1 - i \quad g = \tanh(A_g)$$
    $$c_t = f \odot c_{t-1} + i \odot g$$
    $$o = \sigma(A_o + p_o \odot c_t) \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (CIFG).
    Weights: `3 n (m + n + 1) + k n` for m inputs, n units and k peepholes.

    Args:
        units, activation, recurrent_activation, ...: see `CoupledLSTMCell`.
        peepholes: any subset of i, o. None: both.
        **kwargs: what `CoupledLSTMCell` takes.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.CIFGLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = f"{_GREFF} (CIFG)"

    def __init__(self, *args: Any, peepholes: tuple[str, ...] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, peepholes=peepholes, **kwargs)


@register
class FGRLSTMCell(PeepholeLSTMCell):
    r"""Full gate recurrence: the gates also see the gates of the step before.

    $$i_t = \sigma(A_i + p_i \odot c_{t-1} + i_{t-1} R_{ii} + f_{t-1} R_{fi} + o_{t-1} R_{oi})$$
    $$f_t = \sigma(A_f + p_f \odot c_{t-1} + i_{t-1} R_{if} + f_{t-1} R_{ff} + o_{t-1} R_{of})$$
    $$g_t = \tanh(A_g) \qquad c_t = f_t \odot c_{t-1} + i_t \odot g_t$$
    $$o_t = \sigma(A_o + p_o \odot c_t + i_{t-1} R_{io} + f_{t-1} R_{fo} + o_{t-1} R_{oo})$$
    $$h_t = o_t \odot \tanh(c_t)$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$. The gates are states, zero at first. The nine
    matrices are one weight, `gate_kernel` (3 units, 3 units): rows are the gates i, f, o of the
    step before, columns those of this step.

    Deviation: the paper may print $p_o \odot c_{t-1}$ here; as in its other variants, and in
    public implementations, the output gate sees the new memory. `recurrent_dropout` drops h,
    not the gates of the step before.

    Reference: Greff et al. 2015, LSTM: a search space odyssey, arXiv 1503.04069 (FGR).
    Weights: `4 n (m + n + 1) + k n + 9 n^2` for m inputs, n units and k peepholes.

    Args:
        units, activation, peepholes, ...: see `PeepholeFamilyCell`.
        gate_initializer: for `gate_kernel`. Default `"zeros"`, as for the peepholes: the cell
            starts as the peephole LSTM, and keeps what its forget bias promises.
        gate_regularizer, gate_constraint: penalty and constraint for it.
        **kwargs: what `PeepholeFamilyCell` takes.

    Raises:
        ValueError: as `PeepholeFamilyCell`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.FGRLSTMCell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    states = (State("h"), State("c"), State("i"), State("f"), State("o"))
    reference = f"{_GREFF} (FGR)"

    def __init__(
        self,
        *args: Any,
        gate_initializer: Any = "zeros",
        gate_regularizer: Any = None,
        gate_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.gate_initializer = functions.initializer("gate_initializer", gate_initializer)
        self.gate_regularizer = functions.regularizer("gate_regularizer", gate_regularizer)
        self.gate_constraint = functions.constraint("gate_constraint", gate_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.gate_kernel = self.add_gate_weight(
            "gate_kernel", 3 * self.units, self.gate_initializer, gates=("i", "f", "o")
        )

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c, i, f, o = states
        a = self.blocks(self.recurrent_matmul(h, add_to=z, training=training))
        r = self.matmul(ops.concatenate([i, f, o], axis=-1), self.gate_kernel)
        r_i, r_f, r_o = ops.split(r, 3, axis=-1)
        i = self.gate(a["i"] + self.peep("i", c) + r_i)
        f = self.gate(a["f"] + self.peep("f", c) + r_f)
        g = self.activation(a["g"])
        c = f * c + i * g
        o = self.gate(a["o"] + self.peep("o", c) + r_o)
        h = o * self.output_activation(c)
        self.sow(i=i, f=f, g=g, o=o)
        return h, (h, c, i, f, o)


NIGLSTM = NIGLSTMCell.layer_class
NFGLSTM = NFGLSTMCell.layer_class
NOGLSTM = NOGLSTMCell.layer_class
NIAFLSTM = NIAFLSTMCell.layer_class
NOAFLSTM = NOAFLSTMCell.layer_class
NPLSTM = NPLSTMCell.layer_class
CIFGLSTM = CIFGLSTMCell.layer_class
FGRLSTM = FGRLSTMCell.layer_class

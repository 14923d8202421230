from typing import Any

from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.bases import GatedCell
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register


@register
class MatrixLSTMCell(GatedCell):
    r"""The mLSTM: a matrix as memory, which stores values under keys.

    $$q = x_t W_q + b_q \quad k = x_t W_k / \sqrt{d} + b_k \quad v = x_t W_v + b_v \quad
      o = \sigma(x_t W_o + b_o)$$
    $$m_t = \max(\log \sigma(A_f) + m_{t-1}, A_i) \quad i = \exp(A_i - m_t) \quad
      f = \exp(\log \sigma(A_f) + m_{t-1} - m_t)$$
    $$C_t = f C_{t-1} + i v k^\top \qquad n_t = f n_{t-1} + i k$$
    $$h_t = o \odot C_t q / \max(|n_t \cdot q|, \exp(-m_t))$$

    for each head of d units, where $A_i, A_f = x_t w + b$ are one number a head. The
    stabiliser m keeps the exponentials small, and changes nothing else; the states are float32
    in every precision. Gates see the input alone.

    Reference: Beck et al. 2024, xLSTM: extended long short-term memory, arXiv 2405.04517.
    Deviations: gates see the input, as in the paper, not q, k and v, as in the authors' code; from
    that code come the initial values: zeros for the gates' kernel, and forget biases from 3 to 6
    over the heads. No epsilon is added to the denominator.
    Weights: `4 n (m + 1) + 2 H (m + 1)` for m inputs, n units and H heads.

    Args:
        units: positive integer n, the size of the output, a multiple of `heads`.
        heads: positive integer H, the number of memories, each of `units / heads` rows.
        kernel_initializer: for `kernel` (m, 4n), columns q, k, v, o.
        gate_initializer: for `gate_kernel` (m, 2H), columns i, f. Default `"zeros"`.
        bias_initializer: for `bias` (4n,) and `gate_bias` (2H,), but for the forget bias.
        forget_bias: as in `GatedCell`, a value for each head. None: evenly from 3 to 6.
        recurrent_activation, use_bias, ...: see `GatedCell`. There is no recurrent kernel and no
            candidate, and none of their arguments.
        **kwargs: what `GatedCell` takes.

    Raises:
        ValueError: as `GatedCell`; or `heads` does not divide `units`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = klv.MatrixLSTM(4, heads=2)
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    states = (
        State(
            "C", size=lambda cell: (cell.heads, cell.head_units, cell.head_units), dtype="float32"
        ),
        State("n", size=lambda cell: (cell.heads, cell.head_units), dtype="float32"),
        State("m", size="heads", dtype="float32"),
    )
    gates = ("q", "k", "v", "o", "i", "f")
    candidates = ("q", "k", "v")
    forget_gate = ("f", 1)
    input_gate = "i"
    bias_gates = ("i", "f")
    usual_forget_bias_text = "3 to 6"
    reference = "Beck et al. 2024, xLSTM: extended long short-term memory"
    not_taken = (
        "activation",
        "recurrent_initializer",
        "recurrent_regularizer",
        "recurrent_constraint",
        "recurrent_dropout",
    )

    def __init__(
        self, units: int, heads: int = 1, *, gate_initializer: Any = "zeros", **kwargs: Any
    ) -> None:
        self.heads = checks.positive_integer("heads", heads)
        if checks.positive_integer("units", units) % heads:
            raise ValueError(f"`heads` must divide `units`. Received: {heads=}, {units=}")
        self.head_units = units // heads
        super().__init__(units, **kwargs)
        self.gate_initializer = functions.initializer("gate_initializer", gate_initializer)
        if self.forget_bias is None and self.use_bias:
            self.bias_start = self.starting_at(_from_3_to_6)

    @property
    def memory_units(self) -> int:
        return self.heads

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inputs = checks.features(type(self).__name__, input_shape)
        n, heads = ("q", "k", "v", "o"), self.heads
        self.kernel = self.add_gate_weight("kernel", inputs, self.kernel_initializer, gates=n)
        self.gate_kernel = self.add_gate_weight(
            "gate_kernel",
            inputs,
            self.gate_initializer,
            gates=self.bias_gates,
            kind="kernel",
            block=heads,
        )
        self.bias = self.gate_bias = None
        if self.use_bias:
            self.bias = self.add_gate_weight("bias", None, self.bias_initializer, gates=n)
            self.gate_bias = self.add_gate_weight(
                "gate_bias", None, self.bias_start, gates=self.bias_gates, kind="bias", block=heads
            )

    def project_inputs(self, inputs: Any, training: bool = False) -> Any:
        z = ops.matmul(inputs, self.kernel)
        gates = ops.matmul(inputs, self.gate_kernel)
        q, k, v, o = ops.split(z, 4, axis=-1)
        k = k / self.head_units**0.5
        z = ops.concatenate([q, k, v, o], axis=-1)
        if self.bias is None:
            return {"z": z, "gates": gates}
        return {"z": z + self.bias, "gates": gates + self.gate_bias}

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        C, n, m = states
        q, k, v, o = ops.split(z["z"], 4, axis=-1)
        o = self.gate(o)
        i, f = ops.split(ops.cast(z["gates"], m.dtype), 2, axis=-1)
        f = ops.log_sigmoid(f) + m
        m = ops.maximum(f, i)
        i, f = ops.exp(i - m), ops.exp(f - m)
        self.sow(q=q, k=k, v=v, o=o, i=i, f=f)
        q, k, v = (self.by_head(ops.cast(value, m.dtype)) for value in (q, k, v))
        n = f[..., None] * n + i[..., None] * k
        C = f[..., None, None] * C + i[..., None, None] * v[..., None] * k[..., None, :]
        # Within the range of float32, and never zero, as where q is.
        bound = ops.exp(ops.clip(-m, -80.0, 80.0))
        size = ops.maximum(ops.abs(ops.sum(n * q, axis=-1)), bound)
        found = ops.reshape(ops.sum(C * q[..., None, :], axis=-1) / size[..., None], ops.shape(o))
        return o * ops.cast(found, o.dtype), (C, n, m)

    def by_head(self, values: Any) -> Any:
        """(rows, units) as (rows, heads, units of a head)."""
        return ops.reshape(values, (-1, self.heads, self.head_units))


def _from_3_to_6(shape: tuple[int, ...], dtype: Any = None) -> Any:
    return ops.linspace(3.0, 6.0, shape[0], dtype=dtype)


MatrixLSTM = MatrixLSTMCell.layer_class

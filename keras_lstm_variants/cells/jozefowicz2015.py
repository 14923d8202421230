"""The three cells that a search over ten thousand architectures found: MUT1, MUT2, MUT3."""

from typing import Any

from keras import ops

from keras_lstm_variants.core import functions
from keras_lstm_variants.core.bases import GatedCell
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register

_JOZEFOWICZ = "Jozefowicz et al. 2015, An empirical exploration of recurrent network architectures"


class MUTCell(GatedCell):
    """What the three share: gates z, r and candidate g; z overwrites where it is open.

    Args:
        units, activation, recurrent_activation, ...: see `GatedCell`. `forget_bias` b starts
            z at minus b, so that sigmoid(b) of the memory is kept a step; usually 0.
        **kwargs: what `GatedCell` takes.

    Raises:
        ValueError: as `GatedCell`.
    """

    gates = ("z", "r", "g")
    states = (State("h"),)
    forget_gate = ("z", -1)


class RawInputCell(MUTCell):
    """MUT1 and MUT2 add the input itself to a gate, which then needs as many inputs as units.

    With another number of inputs, the input is first multiplied with a learned
    `input_projection` (inputs, units), without bias.

    Args:
        units, activation, recurrent_activation, ...: see `MUTCell`.
        input_initializer: for `input_projection`. Default `"glorot_uniform"`.
        input_regularizer, input_constraint: penalty and constraint for it.
        **kwargs: what `MUTCell` takes.

    Raises:
        ValueError: as `MUTCell`.
    """

    def __init__(
        self,
        *args: Any,
        input_initializer: Any = "glorot_uniform",
        input_regularizer: Any = None,
        input_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.input_initializer = functions.initializer("input_initializer", input_initializer)
        self.input_regularizer = functions.regularizer("input_regularizer", input_regularizer)
        self.input_constraint = functions.constraint("input_constraint", input_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.input_projection = None
        if input_shape[-1] != self.units:
            self.input_projection = self.add_cell_weight(
                "input_projection", (input_shape[-1], self.units), self.input_initializer
            )

    def notes(self) -> list[str]:
        if self.input_projection is None:
            return ["Here inputs and units agree in number: the raw input is used as it is."]
        return ["Here inputs and units differ in number: the raw input is projected, $x_t P$."]

    def raw(self, x: Any) -> Any:
        """The input with as many features as units."""
        return x if self.input_projection is None else ops.matmul(x, self.input_projection)


@register
class MUT1Cell(RawInputCell):
    r"""The first of three cells found by search; the update gate sees the input only.

    $$z = \sigma(x_t W_z + b_z) \qquad r = \sigma(x_t W_r + h_{t-1} U_r + b_r)$$
    $$g = \tanh((r \odot h_{t-1}) U_g + \tanh(x_t) + b_g)$$
    $$h_t = z \odot g + (1 - z) \odot h_{t-1}$$

    $\tanh(x_t)$ is the raw input where inputs and units agree in number, as in the paper; else
    $\tanh(x_t P)$ with a learned $P$.

    Choices: the open update gate writes, unlike GRU's, which keeps. One bias for each gate, none on
    the recurrent side; that of the candidate stands outside the inner tanh.

    Reference: Jozefowicz, Zaremba & Sutskever 2015, An empirical exploration of recurrent
    network architectures, ICML.
    Arguments: see `RawInputCell`.
    Weights: `2 m n + 2 n^2 + 3 n`, and `m n` more where m inputs are projected to n units.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.MUT1Cell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    kernel_gates = ("z", "r")
    recurrent_gates = ("r", "g")
    reference = f"{_JOZEFOWICZ} (MUT1)"

    def project_inputs(self, inputs: Any, training: bool = False) -> Any:
        gates = ops.matmul(inputs, self.kernel)
        return self.add_bias(ops.concatenate([gates, ops.tanh(self.raw(inputs))], axis=-1))

    def step(self, x: Any, states: States, training: bool = False) -> tuple[Any, States]:
        (h,) = states
        x_z, x_r, x_g = self.split(x)
        z = self.gate(x_z)
        r = self.gate(x_r + self.recurrent_matmul(h, "r", training=training))
        g = self.activation(self.recurrent_matmul(r * h, "g", training=training) + x_g)
        h = z * g + (1 - z) * h
        self.sow(z=z, r=r, g=g)
        return h, (h,)


@register
class MUT2Cell(RawInputCell):
    r"""The second of three cells found by search; the reset gate sees the raw input.

    $$z = \sigma(x_t W_z + h_{t-1} U_z + b_z) \qquad r = \sigma(x_t + h_{t-1} U_r + b_r)$$
    $$g = \tanh((r \odot h_{t-1}) U_g + x_t W_g + b_g)$$
    $$h_t = z \odot g + (1 - z) \odot h_{t-1}$$

    $x_t$ in r is the raw input where inputs and units agree in number, as in the paper; else
    $x_t P$ with a learned $P$.

    Choices: the open update gate writes, unlike GRU's, which keeps. One bias for each gate, none on
    the recurrent side.

    Reference: Jozefowicz, Zaremba & Sutskever 2015, An empirical exploration of recurrent
    network architectures, ICML.
    Arguments: see `RawInputCell`.
    Weights: `2 m n + 3 n^2 + 3 n`, and `m n` more where m inputs are projected to n units.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.MUT2Cell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    kernel_gates = ("z", "g")
    reference = f"{_JOZEFOWICZ} (MUT2)"

    def project_inputs(self, inputs: Any, training: bool = False) -> Any:
        x_z, x_g = ops.split(ops.matmul(inputs, self.kernel), 2, axis=-1)
        return self.add_bias(ops.concatenate([x_z, self.raw(inputs), x_g], axis=-1))

    def step(self, x: Any, states: States, training: bool = False) -> tuple[Any, States]:
        (h,) = states
        x_z, x_r, x_g = self.split(x)
        h_z, h_r = ops.split(self.recurrent_matmul(h, "z", "r", training=training), 2, axis=-1)
        z = self.gate(x_z + h_z)
        r = self.gate(x_r + h_r)
        g = self.activation(self.recurrent_matmul(r * h, "g", training=training) + x_g)
        h = z * g + (1 - z) * h
        self.sow(z=z, r=r, g=g)
        return h, (h,)


@register
class MUT3Cell(MUTCell):
    r"""The third of three cells found by search; the update gate sees the squashed state.

    $$z = \sigma(x_t W_z + \tanh(h_{t-1}) U_z + b_z)$$
    $$r = \sigma(x_t W_r + h_{t-1} U_r + b_r)$$
    $$g = \tanh((r \odot h_{t-1}) U_g + x_t W_g + b_g)$$
    $$h_t = z \odot g + (1 - z) \odot h_{t-1}$$

    Choices: the open update gate writes, unlike GRU's, which keeps. One bias for each gate, none on
    the recurrent side.

    Reference: Jozefowicz, Zaremba & Sutskever 2015, An empirical exploration of recurrent
    network architectures, ICML.
    Arguments: see `MUTCell`. Weights: `3 n (m + n + 1)` for m inputs and n units.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> keras.layers.RNN(klv.MUT3Cell(4))(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = f"{_JOZEFOWICZ} (MUT3)"

    def step(self, x: Any, states: States, training: bool = False) -> tuple[Any, States]:
        (h,) = states
        x_z, x_r, x_g = self.split(x)
        z = self.gate(x_z + self.recurrent_matmul(ops.tanh(h), "z", training=training))
        r = self.gate(x_r + self.recurrent_matmul(h, "r", training=training))
        g = self.activation(self.recurrent_matmul(r * h, "g", training=training) + x_g)
        h = z * g + (1 - z) * h
        self.sow(z=z, r=r, g=g)
        return h, (h,)


MUT1 = MUT1Cell.layer_class
MUT2 = MUT2Cell.layer_class
MUT3 = MUT3Cell.layer_class

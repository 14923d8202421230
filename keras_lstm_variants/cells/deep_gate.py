import functools
from typing import Any

from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.bases import LSTMFamilyCell
from keras_lstm_variants.core.state import States
from keras_lstm_variants.layers.registration import register


@register
class DeepGateLSTMCell(LSTMFamilyCell):
    r"""An LSTM whose gates are small networks with hidden layers.

    $$q_1^k = \tanh(x_t M^k + h_{t-1} R^k + a_1^k) \quad
      q_j^k = \tanh(q_{j-1}^k M_j^k + a_j^k) \quad A_k = q_J^k V_k + b_k$$
    $$i = \sigma(A_i) \quad f = \sigma(A_f) \quad g = \tanh(A_g) \quad o = \sigma(A_o)$$
    $$c_t = f \odot c_{t-1} + i \odot g \qquad h_t = o \odot \tanh(c_t)$$

    A gate k that is not deep has $A_k = x_t W_k + h_{t-1} U_k + b_k$, as in the LSTM. With
    `gate_hidden_units=()` no gate is deep, and the cell is the LSTM.

    From a teaching text, without a paper of its own; the nearest are the deep transitions of
    Pascanu et al. 2014, How to construct deep recurrent neural networks, arXiv 1312.6026.

    Reference: none; compare Pascanu et al. 2014, arXiv 1312.6026.
    Weights: `3 (d (m + n + 1) + n (d + 1)) + n (m + n + 1)` for m inputs, n units and three
    deep gates with one layer of width d.

    Args:
        units, activation, recurrent_activation, ...: see `LSTMFamilyCell`.
        gate_hidden_units: the widths of the hidden layers, a tuple of positive integers.
        deep_gates: the gates that have them, some of i, f, g, o.
        hidden_activation: their function. Default `"tanh"`.
        shared_trunk: whether all deep gates share the hidden layers, and differ in the last.
        **kwargs: what `LSTMFamilyCell` takes. `kernel_initializer` and `kernel_regularizer`
            are for all weights but those of h, `recurrent_...` for those. `forget_bias` goes
            into the last bias of the forget gate.

    Raises:
        ValueError: as `LSTMFamilyCell`; or an option is none of those above.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.DeepGateLSTMCell(4, gate_hidden_units=(8,)))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = "no paper; compare Pascanu et al. 2014, Deep recurrent neural networks"

    def __init__(
        self,
        *args: Any,
        gate_hidden_units: tuple[int, ...] = (16,),
        deep_gates: tuple[str, ...] = ("i", "f", "o"),
        hidden_activation: Any = "tanh",
        shared_trunk: bool = False,
        **kwargs: Any,
    ) -> None:
        self.gate_hidden_units = checks.positive_integers("gate_hidden_units", gate_hidden_units)
        self.deep_gates = checks.subset("deep_gates", deep_gates, self.gates)
        self.shared_trunk = checks.flag("shared_trunk", shared_trunk)
        deep = self.deep_gates if self.gate_hidden_units else ()
        self.shallow_gates = tuple(k for k in self.gates if k not in deep)
        self.kernel_gates = self.recurrent_gates = self.shallow_gates
        super().__init__(*args, **kwargs)
        self.hidden_activation = functions.activation("hidden_activation", hidden_activation)

    @property
    def trunks(self) -> tuple[str, ...]:
        """The deep gates that have hidden layers of their own: one where all share them."""
        if not self.gate_hidden_units:
            return ()
        return self.deep_gates[:1] if self.shared_trunk else self.deep_gates

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        if not self.trunks:
            return
        rows, self.trunk_kernels, self.trunk_biases = input_shape[-1], [], []
        for j, width in enumerate(self.gate_hidden_units, start=1):
            add = functools.partial(self.add_gate_weight, gates=self.trunks, block=width)
            self.trunk_kernels.append(
                add(f"trunk_kernel_{j}", rows, self.kernel_initializer, kind="kernel")
            )
            if j == 1:
                self.trunk_recurrent_kernel = add(
                    "trunk_recurrent_kernel",
                    self.units,
                    self.recurrent_initializer,
                    kind="recurrent",
                )
            if self.use_bias:
                self.trunk_biases.append(
                    add(f"trunk_bias_{j}", None, self.bias_initializer, kind="bias")
                )
            rows = width
        self.gate_kernel = self.add_gate_weight(
            "gate_kernel", rows, self.kernel_initializer, gates=self.deep_gates, kind="kernel"
        )

    def notes(self) -> list[str]:
        if not self.trunks:
            return ["Here no gate is deep: the cell is the LSTM."]
        widths = ", ".join(map(str, self.gate_hidden_units))
        whose = "are the same for all" if self.shared_trunk else "are each gate's own"
        return [
            f"Deep gates here: {', '.join(self.deep_gates)}. "
            f"Their hidden layers have {widths} units, and {whose}."
        ]

    def project_inputs(self, inputs: Any, training: bool = False) -> Any:
        """The sums $x W + b$ of the shallow gates, and those of the first hidden layer."""
        z = {}
        if self.shallow_gates:
            z["shallow"] = ops.matmul(inputs, self.kernel)
            if self.use_bias:
                z["shallow"] += ops.concatenate([self.bias_of(k) for k in self.shallow_gates])
        if self.trunks:
            q = ops.matmul(inputs, self.trunk_kernels[0])
            z["trunk"] = q + self.trunk_biases[0] if self.use_bias else q
        return z

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c = states
        a = self.shallow(z, h, training) | self.deep(z, h, training)
        i, f, o = (self.gate(a[k]) for k in ("i", "f", "o"))
        g = self.activation(a["g"])
        c = f * c + i * g
        h = o * self.output_activation(c)
        self.sow(i=i, f=f, g=g, o=o)
        return h, (h, c)

    def shallow(self, z: Any, h: Any, training: bool) -> dict[str, Any]:
        """The sums of the gates that are not deep."""
        if not self.shallow_gates:
            return {}
        sums = self.recurrent_matmul(h, add_to=z["shallow"], training=training)
        count = len(self.shallow_gates)
        return dict(zip(self.shallow_gates, ops.split(sums, count, axis=-1), strict=True))

    def deep(self, z: Any, h: Any, training: bool) -> dict[str, Any]:
        """The sums of the deep gates."""
        if not self.trunks:
            return {}
        h = self.drop_state(h, training)
        sums = self.matmul(h, self.trunk_recurrent_kernel, add_to=z["trunk"])
        q = ops.split(self.hidden_activation(sums), len(self.trunks), axis=-1)
        for j, width in enumerate(self.gate_hidden_units[1:], start=1):
            for k in range(len(self.trunks)):
                block = slice(k * width, (k + 1) * width)
                sums = self.matmul(q[k], self.trunk_kernels[j], block)
                if self.use_bias:
                    sums = sums + self.trunk_biases[j][block]
                q[k] = self.hidden_activation(sums)
        n = self.units
        if self.shared_trunk:
            sums = ops.split(self.matmul(q[0], self.gate_kernel), len(self.deep_gates), axis=-1)
        else:
            sums = [
                self.matmul(q[k], self.gate_kernel, slice(k * n, (k + 1) * n))
                for k in range(len(self.deep_gates))
            ]
        found = dict(zip(self.deep_gates, sums, strict=True))
        return {k: a + self.bias_of(k) for k, a in found.items()} if self.use_bias else found

    def bias_of(self, gate: str) -> Any:
        k = self.gates.index(gate)
        return self.bias[k * self.units : (k + 1) * self.units]


DeepGateLSTM = DeepGateLSTMCell.layer_class

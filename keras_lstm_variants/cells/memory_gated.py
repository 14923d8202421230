from typing import Any

from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.bases import LSTMFamilyCell
from keras_lstm_variants.core.state import States
from keras_lstm_variants.layers.registration import register


@register
class MemoryGatedLSTMCell(LSTMFamilyCell):
    r"""An LSTM whose gates see the memory instead of the output.

    $$i = \sigma(x_t W_i + c_{t-1} V_i + b_i) \quad f = \sigma(x_t W_f + c_{t-1} V_f + b_f)$$
    $$g = \tanh(x_t W_g + h_{t-1} U_g + b_g) \qquad c_t = f \odot c_{t-1} + i \odot g$$
    $$o = \sigma(x_t W_o + c_{t-1} V_o + b_o) \qquad h_t = o \odot \tanh(c_t)$$

    The V are full matrices, unlike peepholes. The memory is unbounded, so that gates may
    saturate: `squash_memory=True` multiplies the V with $\tanh(c)$ instead.

    From a teaching text, without a paper of its own; the options are ours.

    Reference: none; compare Gers & Schmidhuber 2000, Recurrent nets that time and count.
    Weights: `4 n (m + n + 1)` for m inputs and n units; `n^2` less with `candidate="none"`.

    Args:
        units, activation, recurrent_activation, ...: see `LSTMFamilyCell`.
        candidate: what g sees besides the input: `"hidden"` (h, by default), `"memory"`
            (c, by a matrix of its own) or `"none"`.
        output_gate_memory: the memory that o sees: `"previous"` or `"current"`, the new one.
        squash_memory: whether the gates, and the candidate, see tanh of the memory.
        memory_initializer: for `memory_kernel`, the matrices V (n, gates x n). Default
            `"orthogonal"`.
        memory_regularizer, memory_constraint: penalty and constraint for it.
        **kwargs: what `LSTMFamilyCell` takes. `recurrent_dropout` drops of h and of c.

    Raises:
        ValueError: as `LSTMFamilyCell`; or an option is none of those above.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.MemoryGatedLSTMCell(4, candidate="memory"))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    reference = "no paper; compare Gers & Schmidhuber 2000, Recurrent nets that time and count"

    def __init__(
        self,
        *args: Any,
        candidate: str = "hidden",
        output_gate_memory: str = "previous",
        squash_memory: bool = False,
        memory_initializer: Any = "orthogonal",
        memory_regularizer: Any = None,
        memory_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        checks.one_of("candidate", candidate, ("hidden", "memory", "none"))
        # h is multiplied for the candidate alone, if at all.
        self.recurrent_gates = ("g",) if candidate == "hidden" else ()
        super().__init__(*args, **kwargs)
        self.candidate = candidate
        self.output_gate_memory = checks.one_of(
            "output_gate_memory", output_gate_memory, ("previous", "current")
        )
        self.squash_memory = checks.flag("squash_memory", squash_memory)
        self.memory_initializer = functions.initializer("memory_initializer", memory_initializer)
        self.memory_regularizer = functions.regularizer("memory_regularizer", memory_regularizer)
        self.memory_constraint = functions.constraint("memory_constraint", memory_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        seeing = tuple(k for k in self.gates if k != "g" or self.candidate == "memory")
        self.memory_kernel = self.add_gate_weight(
            "memory_kernel", self.units, self.memory_initializer, gates=seeing
        )

    def notes(self) -> list[str]:
        found = []
        if self.candidate != "hidden":
            sees = "c V_g in place of h U_g" if self.candidate == "memory" else "the input alone"
            found.append(f'With `candidate="{self.candidate}"`, as here, g sees {sees}.')
        if self.output_gate_memory == "current":
            found.append("The output gate sees the new memory here.")
        return found

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c = states
        a = dict(zip(self.gates, self.split(z), strict=True))
        late = ("o",) if self.output_gate_memory == "current" else ()
        a |= self.seen(c, a, late, training)
        if self.candidate == "hidden":
            a["g"] = self.recurrent_matmul(h, "g", add_to=a["g"], training=training)
        i, f = self.gate(a["i"]), self.gate(a["f"])
        g = self.activation(a["g"])
        c = f * c + i * g
        if late:
            a |= self.seen(c, a, ("i", "f", "g"), training)
        o = self.gate(a["o"])
        h = o * self.output_activation(c)
        self.sow(i=i, f=f, g=g, o=o)
        return h, (h, c)

    def seen(self, c: Any, a: dict[str, Any], but: tuple[str, ...], training: bool) -> Any:
        """`a + c V` by gate, for the gates that see the memory, `but` for some."""
        known = self.columns_of("memory_kernel")
        gates = [k for k in known if k not in but]
        first = known.index(gates[0]) * self.units
        columns = slice(first, first + len(gates) * self.units)
        memory = self.drop_state(ops.tanh(c) if self.squash_memory else c, training)
        sums = self.matmul(
            memory,
            self.memory_kernel,
            columns,
            add_to=ops.concatenate([a[k] for k in gates], axis=-1),
        )
        return dict(zip(gates, ops.split(sums, len(gates), axis=-1), strict=True))


MemoryGatedLSTM = MemoryGatedLSTMCell.layer_class

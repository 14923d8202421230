from typing import Any

from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.bases import LSTMFamilyCell
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register


@register
class DepthGatedLSTMCell(LSTMFamilyCell):
    r"""A stack of LSTMs in which a gate lets the memory of a level into that of the next.

    At level l, whose input $x^l$ is the output of the level below at the same step, and
    whose $c^{low}$ is the memory of that level:

    $$d = \sigma(x^l W_d + p_c \odot c_{t-1} + p_l \odot c^{low} + b_d)$$
    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad f = \sigma(A_f + p_f \odot c_{t-1})
      \quad g = \tanh(A_g)$$
    $$c_t = d \odot c^{low} + f \odot c_{t-1} + i \odot g$$
    $$o = \sigma(A_o + p_o \odot c_t) \qquad h_t = o \odot \tanh(c_t)$$

    where $A_k = x^l W_k + h_{t-1} U_k + b_k$. The bottom level has no level below: with
    `bottom="projection"`, as in the author's code, its $c^{low}$ is $x W_0$, without a
    peephole; with `bottom="none"` it has no depth gate, and is a plain LSTM with peepholes.

    But for the bottom level these are the paper's equations, as we remember them. The
    author's code couples the gates, which here is `coupled=True` ($f = 1 - i$); it has full
    matrices in place of the peepholes of i and o, and multiplies the input by the exponential
    of a learned number, a "stabiliser": both are left out.

    All levels are one cell, for a level needs the memory of the one below at the same step.
    The states are those of the top level first: $h_L, c_L, \dots, h_1, c_1$.

    Reference: Yao, Cohn, Vylomova, Duh & Dyer 2015, Depth-gated LSTM, arXiv 1508.03790.
    Weights: `4 n (m + n + 1) + 2 m n + 5 n + (L - 1) (9 n^2 + 10 n)` for m inputs, n units
    and L levels.

    Args:
        units, activation, recurrent_activation, ...: see `LSTMFamilyCell`.
        depth: number of levels, a positive integer.
        bottom: `"projection"` or `"none"`.
        coupled: whether $f = 1 - i$, in every level.
        peepholes: the gates with a peephole, some of i, f, o. None: all sigmoid gates that
            there are. The depth gate has its own in any case.
        peephole_initializer: for all peepholes. Default `"zeros"`.
        peephole_regularizer, peephole_constraint: penalty and constraint for them.
        **kwargs: what `LSTMFamilyCell` takes. `dropout` is that of the bottom level's input,
            `recurrent_dropout` drops in every level, with one mask.

    Raises:
        ValueError: as `LSTMFamilyCell`; or an option is none of those above.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.DepthGatedLSTMCell(4, depth=3))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    states = (State("h_2"), State("c_2"), State("h_1"), State("c_1"))  # of the default depth
    reference = "Yao et al. 2015, Depth-gated LSTM"

    def __init__(
        self,
        units: int,
        depth: int = 2,
        *args: Any,
        bottom: str = "projection",
        coupled: bool = False,
        peepholes: tuple[str, ...] | None = None,
        peephole_initializer: Any = "zeros",
        peephole_regularizer: Any = None,
        peephole_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        self.coupled = checks.flag("coupled", coupled)
        if self.coupled:
            self.gates, self.forget_gate, self.input_gate = ("i", "g", "o"), ("i", -1), None
        self.depth = checks.positive_integer("depth", depth)
        levels = range(self.depth, 0, -1)
        self.states = tuple(State(f"{s}_{level}") for level in levels for s in ("h", "c"))
        super().__init__(units, *args, **kwargs)
        self.bottom = checks.one_of("bottom", bottom, ("projection", "none"))
        allowed = tuple(k for k in self.gates if k not in self.candidates)
        self.peepholes = checks.subset(
            "peepholes", allowed if peepholes is None else peepholes, allowed
        )
        self.peephole_initializer = functions.initializer(
            "peephole_initializer", peephole_initializer
        )
        self.peephole_regularizer = functions.regularizer(
            "peephole_regularizer", peephole_regularizer
        )
        self.peephole_constraint = functions.constraint("peephole_constraint", peephole_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inputs = checks.features(type(self).__name__, input_shape)
        self.levels = [self.build_level(level + 1, inputs) for level in range(self.depth)]
        self.projection = None
        if self.bottom == "projection":
            self.projection = self.add_cell_weight(
                "projection_kernel", (inputs, self.units), self.kernel_initializer, "kernel"
            )

    def build_level(self, level: int, inputs: int) -> dict[str, Any]:
        """The weights of a level, counted from 1 at the bottom."""
        n = self.units
        rows = inputs if level == 1 else n

        def weight(name: str, rows: int | None, initializer: Any, kind: str, *gates: str) -> Any:
            return self.add_gate_weight(
                f"{name}_{level}", rows, initializer, gates=gates or self.gates, kind=kind
            )

        found = {
            "kernel": weight("kernel", rows, self.kernel_initializer, "kernel"),
            "recurrent_kernel": weight(
                "recurrent_kernel", n, self.recurrent_initializer, "recurrent"
            ),
        }
        if self.use_bias:
            found["bias"] = weight("bias", None, self.bias_start, "bias")
        if self.peepholes:
            found["peephole_kernel"] = self.add_cell_weight(
                f"peephole_kernel_{level}",
                (len(self.peepholes), n),
                self.peephole_initializer,
                "peephole",
                gates=self.peepholes,
                axis=0,
            )
        if level == 1 and self.bottom == "none":
            return found
        found["depth_kernel"] = weight("depth_kernel", rows, self.kernel_initializer, "kernel", "d")
        if self.use_bias:
            found["depth_bias"] = weight("depth_bias", None, self.bias_initializer, "bias", "d")
        found["depth_peephole_kernel"] = self.add_cell_weight(
            f"depth_peephole_kernel_{level}",
            (1 if level == 1 else 2, n),
            self.peephole_initializer,
            "peephole",
        )
        return found

    def notes(self) -> list[str]:
        levels = "1 level" if self.depth == 1 else f"{self.depth} levels"
        gates = "coupled gates, $f = 1 - i$" if self.coupled else "separate gates i and f"
        found = [f"Here it has {levels} and {gates}."]
        if self.bottom == "none":
            found.append("The bottom level has no depth gate here.")
        sees = (*self.candidates, *self.peepholes)
        missing = [k for k in self.gates if k not in sees]
        if missing:
            found.append(f"Without a peephole here: {', '.join(missing)}.")
        return found

    def project_inputs(self, inputs: Any, training: bool = False) -> Any:
        """The sums of the bottom level, of which no state is part."""
        z = self.sums_of(0, lambda kernel: ops.matmul(inputs, kernel))
        if self.projection is not None:
            z["c_low"] = ops.matmul(inputs, self.projection)
        return z

    def sums_of(self, level: int, times: Any) -> dict[str, Any]:
        """`x W + b` of the gates and of the depth gate of a level."""
        w = self.levels[level]
        z = {"gates": times(w["kernel"])}
        if "depth_kernel" in w:
            z["d"] = times(w["depth_kernel"])
        if self.use_bias:
            z["gates"] = z["gates"] + w["bias"]
            if "d" in z:
                z["d"] = z["d"] + w["depth_bias"]
        return z

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        new: list[Any] = []
        heard: dict[str, Any] = {}
        c_low = z.get("c_low")
        for level in range(self.depth):
            before = states[2 * (self.depth - 1 - level) :][:2]
            h, c_low, gates = self.step_of(level, z, c_low, before, training)
            new = [h, c_low, *new]
            heard |= {f"{k}_{level + 1}": v for k, v in gates.items()}
            if level + 1 < self.depth:
                z = self.sums_of(level + 1, lambda kernel, h=h: self.matmul(h, kernel))
        self.sow(**heard)
        return new[0], tuple(new)

    def step_of(
        self, level: int, z: dict[str, Any], c_low: Any, states: Any, training: bool
    ) -> tuple[Any, Any, dict[str, Any]]:
        """The new output and memory of a level, and its gates."""
        h, c = states
        w = self.levels[level]
        sums = self.matmul(self.drop_state(h, training), w["recurrent_kernel"], add_to=z["gates"])
        a = dict(zip(self.gates, self.split(sums), strict=True))
        p = {k: w["peephole_kernel"][row] for row, k in enumerate(self.peepholes)}
        i = self.gate(a["i"] + p.get("i", 0.0) * c)
        f = 1 - i if self.coupled else self.gate(a["f"] + p.get("f", 0.0) * c)
        g = self.activation(a["g"])
        gates = {"i": i, "f": f, "g": g}
        kept = f * c + i * g
        if "d" in z:
            seen = w["depth_peephole_kernel"][0] * c
            if level > 0:
                seen = seen + w["depth_peephole_kernel"][1] * c_low
            gates["d"] = d = self.gate(z["d"] + seen)
            kept = d * c_low + kept
        c = kept
        gates["o"] = o = self.gate(a["o"] + p.get("o", 0.0) * c)
        h = o * self.output_activation(c)
        return h, c, gates


DepthGatedLSTM = DepthGatedLSTMCell.layer_class

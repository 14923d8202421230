from typing import Any

from keras import ops

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.bases import LSTMFamilyCell
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register


class GridFamilyCell(LSTMFamilyCell):
    """What grids of any number of dimensions share: their LSTM transform and its weights.

    Args:
        units: positive integer, d of the paper, the size of every h and m.
        depth: number of levels, a positive integer.
        tied: whether all levels have the same weights.
        output_form: `"o_tanh"`, h = o tanh(m), or `"tanh_o"`, h = tanh(o m).
        input_memory: whether the input is also projected into the first memory of the depth
            dimension, which otherwise is zero.
        **kwargs: what `LSTMFamilyCell` takes. `kernel_initializer`, ... are for the
            projection of the input, `recurrent_initializer`, ... for the transforms.

    Raises:
        ValueError: an argument is out of its range.
    """

    def __init__(
        self,
        units: int,
        depth: int = 2,
        *args: Any,
        tied: bool = False,
        output_form: str = "o_tanh",
        input_memory: bool = False,
        **kwargs: Any,
    ) -> None:
        self.depth = checks.positive_integer("depth", depth)
        super().__init__(units, *args, **kwargs)
        self.tied = checks.flag("tied", tied)
        self.output_form = checks.one_of("output_form", output_form, ("o_tanh", "tanh_o"))
        self.input_memory = checks.flag("input_memory", input_memory)

    def build_transforms(self, inputs: int, dimensions: tuple[str, ...]) -> None:
        """The projection of the input, and for every level a transform of each dimension."""
        starts = ("h", "m") if self.input_memory else ("h",)
        self.projection_kernel = self.add_gate_weight(
            "projection_kernel", inputs, self.kernel_initializer, gates=starts, kind="kernel"
        )
        self.projection_bias = None
        if self.use_bias:
            self.projection_bias = self.add_gate_weight(
                "projection_bias", None, self.bias_initializer, gates=starts, kind="bias"
            )

        def transform(name: str) -> tuple[Any, Any]:
            kernel = self.add_gate_weight(
                name.format("kernel"),
                len(dimensions) * self.units,
                self.recurrent_initializer,
                kind="recurrent",
            )
            if not self.use_bias:
                return kernel, None
            name = name.format("bias")
            return kernel, self.add_gate_weight(name, None, self.bias_start, kind="bias")

        count = 1 if self.tied else self.depth
        self.transforms = [
            {d: transform(f"{d}_{{}}" if self.tied else f"{d}_{{}}_{level}") for d in dimensions}
            for level in range(1, count + 1)
        ]

    def notes(self) -> list[str]:
        whose = "all with the same weights" if self.tied else "each with weights of its own"
        levels = "1 level" if self.depth == 1 else f"{self.depth} levels, {whose}"
        found = [f"Here it has {levels}."]
        if self.output_form == "tanh_o":
            found.append(
                "The output gate acts before the activation here: $h' = \\tanh(o \\odot m')$."
            )
        if self.input_memory:
            found.append("The first $m_d$ is projected from the input here, as $h_d$ is.")
        return found

    def project_inputs(self, inputs: Any, training: bool = False) -> Any:
        """The first h, and m, of the depth dimension."""
        z = ops.matmul(inputs, self.projection_kernel)
        z = z if self.projection_bias is None else z + self.projection_bias
        if not self.input_memory:
            return {"h": z}
        h, m = ops.split(z, 2, axis=-1)
        return {"h": h, "m": m}

    def transform(
        self, level: int, dimension: str, hs: list[Any], m: Any, heard: dict[str, Any]
    ) -> tuple[Any, Any]:
        """The LSTM of a dimension: its new h and m, given the h of all dimensions."""
        kernel, bias = self.transforms[0 if self.tied else level][dimension]
        a = self.matmul(ops.concatenate(hs, axis=-1), kernel)
        i, f, g, o = self.split(a if bias is None else a + bias)
        i, f, o = self.gate(i), self.gate(f), self.gate(o)
        g = self.activation(g)
        m = f * m + i * g
        o_tanh = self.output_form == "o_tanh"
        h = o * self.output_activation(m) if o_tanh else self.output_activation(o * m)
        gates = {"i": i, "f": f, "g": g, "o": o}
        heard |= {f"{k}_{dimension}_{level + 1}": v for k, v in gates.items()}
        return h, m


@register
class GridLSTMCell(GridFamilyCell):
    r"""A grid LSTM of two dimensions, time and depth: LSTMs along both, level by level.

    At a level, with $h_t, m_t$ from the step before and $h_d, m_d$ from the level below:

    $$(h_t, m_t) \leftarrow \text{LSTM}_{time}([h_t, h_d], m_t)$$
    $$(h_d, m_d) \leftarrow \text{LSTM}_{depth}([h_t, h_d], m_d)$$

    where $\text{LSTM}(H, m)$ gives each dimension its own

    $$i, f, o = \sigma(H W_{i,f,o} + b_{i,f,o}) \quad g = \tanh(H W_g + b_g) \quad
      m' = f \odot m + i \odot g \quad h' = o \odot \tanh(m')$$

    Below the first level $h_d = x P + b$ and $m_d = 0$; the output is the last $h_d$. With
    `priority="depth"` the depth transform sees the new $h_t$, as above; with `"time"` time
    comes second, and sees the new $h_d$; with None both see the old ones.

    Deviations: the paper, as we remember it, writes $h' = \tanh(o \odot m')$, which here is
    `output_form="tanh_o"`, and has no biases (`use_bias=False`); the defaults are those of
    public implementations. Left out: weights tied across dimensions, and dimensions without
    an LSTM.

    Not the cell that TensorFlow 1 called `GridLSTMCell`, which is a time-frequency LSTM.

    Reference: Kalchbrenner, Danihelka & Graves 2015, Grid long short-term memory,
    arXiv 1507.01526.
    Weights: `m n + n + 2 L (8 n^2 + 4 n)` for m inputs, n units and L levels, with one level's
    where they are tied.

    Args:
        units, depth, tied, output_form, input_memory: see `GridFamilyCell`.
        priority: `"depth"`, `"time"` or None.
        activation, recurrent_activation, ...: see `LSTMFamilyCell`.
        **kwargs: what `LSTMFamilyCell` takes. `recurrent_dropout` drops of $h_t$.

    Raises:
        ValueError: as `GridFamilyCell`; or `priority` is none of the three.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.GridLSTMCell(4, depth=3, tied=True))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 4])
    """

    states = (State("h_1"), State("m_1"), State("h_2"), State("m_2"))  # of the default depth
    reference = "Kalchbrenner et al. 2015, Grid long short-term memory"

    def __init__(self, *args: Any, priority: str | None = "depth", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.priority = checks.one_of("priority", priority, ("depth", "time", None))
        levels = range(1, self.depth + 1)
        self.states = tuple(State(f"{s}_{level}") for level in levels for s in ("h", "m"))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        features = checks.features(type(self).__name__, input_shape)
        self.build_transforms(features, ("time", "depth"))

    def notes(self) -> list[str]:
        order = {
            "depth": [],
            "time": ["Here time comes after depth, and sees the new $h_d$."],
            None: ["Here neither comes first: time and depth see the old $h_t$ and $h_d$."],
        }
        return super().notes() + order[self.priority]

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h_d = z["h"]
        m_d = z.get("m", ops.zeros_like(h_d))
        new: list[Any] = []
        heard: dict[str, Any] = {}
        for level in range(self.depth):
            h_t, m_t = states[2 * level : 2 * level + 2]
            h_t = self.drop_state(h_t, training)
            old = h_t, h_d
            if self.priority == "time":
                h_d, m_d = self.transform(level, "depth", [h_t, h_d], m_d, heard)
            seen = h_d if self.priority == "time" else old[1]
            h_t, m_t = self.transform(level, "time", [h_t, seen], m_t, heard)
            if self.priority != "time":
                seen = h_t if self.priority == "depth" else old[0]
                h_d, m_d = self.transform(level, "depth", [seen, h_d], m_d, heard)
            new += [h_t, m_t]
        self.sow(**heard)
        return h_d, tuple(new)


GridLSTM = GridLSTMCell.layer_class

import math
from typing import Any

import keras
from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.bases import PeepholeFamilyCell
from keras_lstm_variants.core.state import SideInput, State, States
from keras_lstm_variants.layers.registration import register


@register
class PhasedLSTMCell(PeepholeFamilyCell):
    r"""The phased LSTM: a gate opens each unit for a part of a period of its own.

    $$\varphi = \text{frac}((t - s) / \tau) \qquad k = 2 \varphi / r\text{ if }\varphi < r / 2 \quad
      k = 2 - 2 \varphi / r\text{ if }\varphi < r \quad k = \alpha \varphi\text{ otherwise}$$
    $$i = \sigma(A_i + p_i \odot c_{t-1}) \quad f = \sigma(A_f + p_f \odot c_{t-1}) \quad
      g = \tanh(A_g)$$
    $$\tilde c = f \odot c_{t-1} + i \odot g \quad
      o = \sigma(A_o + p_o \odot \tilde c) \quad \tilde h = o \odot \tanh(\tilde c)$$
    $$c_t = k \odot \tilde c + (1 - k) \odot c_{t-1} \qquad
      h_t = k \odot \tilde h + (1 - k) \odot h_{t-1}$$

    where $A_k = x_t W_k + h_{t-1} U_k + b_k$, and t is the time of the step: `layer(x, times=t)`,
    (batch, time). Without times steps are one apart, from 0; after times that were given they go
    on from the last. A layer that goes backwards counts from the latest real step. Times at masked
    steps are ignored. They are float32 in every precision: take off what all have in common, as a
    date. (A model of your own class casts what it is given, before the layer sees it: in half
    precision give that model `autocast=False`.)

    Reference: Neil, Pfeiffer & Liu 2016, Phased LSTM, arXiv 1610.09513. Of $\tau$ and r the
    absolute values count, as in the authors' code; the shift is subtracted, as in the paper.
    Weights: `4 n (m + n + 1) + k n + 3 n` for m inputs, n units and k peepholes.

    Args:
        units, activation, recurrent_activation, ...: see `PeepholeFamilyCell`.
        periods: the shortest and the longest period $\tau$ at first, in units of time. Their
            logarithms are drawn evenly; the shifts s evenly from 0 to the unit's period.
        open_ratio: the part r of a period in which a unit is open at first, in (0, 1].
        phase_regularizer, phase_constraint: penalty and constraint for periods, shifts and ratios.
        leak: how far a closed unit is open in training, $\alpha$; outside of training it is 0.
        **kwargs: what `PeepholeFamilyCell` takes.

    Raises:
        ValueError: as `PeepholeFamilyCell`; or an argument is out of its range.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = klv.PhasedLSTM(4)
        >>> layer(keras.ops.ones((2, 3, 3)), times=keras.ops.ones((2, 3))).shape
        TensorShape([2, 4])
    """

    states = (State("h"), State("c"), State("time", size=1, dtype="float32", kind="counter"))
    side_inputs = (SideInput("times", kind="time"),)
    reference = "Neil, Pfeiffer & Liu 2016, Phased LSTM"

    def __init__(
        self,
        *args: Any,
        periods: tuple[float, float] = (1.0, 1000.0),
        open_ratio: float = 0.05,
        leak: float = 0.001,
        phase_regularizer: Any = None,
        phase_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.periods = checks.interval("periods", periods)
        self.open_ratio = checks.part("open_ratio", open_ratio)
        self.leak = checks.not_negative("leak", leak)
        self.phase_regularizer = functions.regularizer("phase_regularizer", phase_regularizer)
        self.phase_constraint = functions.constraint("phase_constraint", phase_constraint)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        shortest, longest = map(math.log, self.periods)
        draws = [keras.initializers.RandomUniform(0.0, 1.0) for _ in range(2)]

        def weight(name: str, initializer: Any) -> Any:
            shape = (self.units,)
            return self.add_cell_weight(name, shape, initializer, kind="phase", dtype="float32")

        def log_uniform(shape: tuple[int, ...], dtype: Any = None) -> Any:
            return ops.exp(shortest + (longest - shortest) * draws[0](shape, dtype))

        def within_the_period(shape: tuple[int, ...], dtype: Any = None) -> Any:
            return draws[1](shape, dtype) * self.period

        self.period = weight("period", log_uniform)
        self.shift = weight("shift", within_the_period)
        self.ratio = weight("open_ratio", keras.initializers.Constant(self.open_ratio))

    def project_inputs(self, inputs: Any, training: bool = False, times: Any = None) -> Any:
        z = {"a": super().project_inputs(inputs, training)}
        if times is None:
            return z
        return {**z, "time": times, "k": self.openness(times, training)}

    def openness(self, time: Any, training: bool) -> Any:
        """How far each unit is open, k."""
        period, ratio = (ops.maximum(ops.abs(v), 1e-7) for v in (self.period, self.ratio))
        cycles = (time - self.shift) / period
        phase = cycles - ops.floor(cycles)
        closed = self.leak * phase if training else ops.zeros_like(phase)
        rising, falling = 2 * phase / ratio, 2 - 2 * phase / ratio
        k = ops.where(phase < ratio / 2, rising, ops.where(phase < ratio, falling, closed))
        return ops.cast(k, self.compute_dtype)

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c, time = states
        time = z.get("time", time)
        k = z["k"] if "k" in z else self.openness(time, training)
        a = self.blocks(self.recurrent_matmul(h, add_to=z["a"], training=training))
        i, f, g = self.open("i", a, c), self.open("f", a, c), self.activation(a["g"])
        new_c = f * c + i * g
        o = self.open("o", a, new_c)
        new_h = o * self.output_activation(new_c)
        self.sow(i=i, f=f, g=g, o=o, k=k)
        c = k * new_c + (1 - k) * c
        h = k * new_h + (1 - k) * h
        return h, (h, c, time + 1)


PhasedLSTM = PhasedLSTMCell.layer_class

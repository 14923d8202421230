import itertools
from collections.abc import Iterable
from typing import Any

from keras import ops

from keras_lstm_variants.core import checks
from keras_lstm_variants.core.bases import AffineCell, LSTMFamilyCell
from keras_lstm_variants.core.state import State, States
from keras_lstm_variants.layers.registration import register

# A phase counts in the dtype of the states, which may be bfloat16: exact up to 256. Longer
# periods count in two digits.
_DIGIT = 256


def _phase(name: str) -> State:
    return State(name, size=lambda cell: len(cell.periods), kind="counter")


class ClockworkFamilyCell(AffineCell):
    """A cell whose units stand in groups, each of which runs at its own period.

    Group j runs at the steps t = 0, T_j, 2 T_j, ... and keeps its states in between. It sees
    the groups that run as seldom or more seldom, and itself.

    The last state counts the steps, one number a group, each modulo its period, so that
    masked steps do not count, and a stateful layer goes on where it stopped. An initial phase
    must be whole numbers in [0, period) of each group; otherwise a group may never run.

    Args:
        units: positive integer, all groups together.
        periods: T_j of each group, in ascending order; the same may come twice.
        group_units: units of each group. None: as equal as can be, the first ones larger.
        offset: the number of the first step, 0 or larger; at 0 all groups run.
        **kwargs: what the cell's other parents take.

    Raises:
        ValueError: an argument is out of its range, or does not fit the others.
    """

    # Each group has a recurrent kernel of its own.
    recurrent_gates = ()

    def __init__(
        self,
        units: int,
        periods: tuple[int, ...] = (1, 2, 4, 8),
        *args: Any,
        group_units: tuple[int, ...] | None = None,
        offset: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, *args, **kwargs)
        self.periods = checks.positive_integers("periods", periods)
        if not self.periods:
            raise ValueError(
                "`periods` must be a tuple of positive integers, at least one. "
                f"Received: periods={periods!r}"
            )
        if list(self.periods) != sorted(self.periods):
            raise ValueError(f"`periods` must ascend. Received: periods={periods!r}")
        if self.periods[-1] > _DIGIT**2:
            raise ValueError(
                f"`periods` must be at most {_DIGIT**2}. Received: periods={periods!r}"
            )
        count = len(self.periods)
        self.group_units = None
        if group_units is not None:
            self.group_units = checks.positive_integers("group_units", group_units)
        if self.group_units is None and count > self.units:
            raise ValueError(
                "`units` must be at least the number of `periods`. "
                f"Received: units={units!r}, periods={periods!r}"
            )
        sizes = self.group_units or tuple(
            self.units // count + (j < self.units % count) for j in range(count)
        )
        if len(sizes) != count or sum(sizes) != self.units:
            raise ValueError(
                "`group_units` must have a number for each of `periods`, and their sum must be "
                f"`units`. Received: group_units={group_units!r}, periods={periods!r}, "
                f"units={units!r}"
            )
        self.offset = checks.whole_number("offset", offset)
        self.sizes = sizes
        ends = list(itertools.accumulate(sizes))
        starts = [0, *ends[:-1]]
        # The first unit that a group sees: that of the first group with the same period.
        self.sees_from = [starts[self.periods.index(period)] for period in self.periods]
        self.group_of_unit = [j for j, size in enumerate(sizes) for _ in range(size)]
        self.long = self.periods[-1] > _DIGIT
        if self.long:
            self.states = (*self.states, _phase("phase_high"))

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.group_kernels = [
            self.add_gate_weight(
                f"recurrent_kernel_{j}",
                self.units - start,
                self.recurrent_initializer,
                kind="recurrent",
                block=size,
            )
            for j, (start, size) in enumerate(zip(self.sees_from, self.sizes, strict=True), 1)
        ]

        # One product with zeros in it is faster than many small ones.
        self.full_kernel = self.derived(self.joined_kernels)

    def joined_kernels(self) -> Any:
        """The kernels of all groups as one (units, gates x units), zero where nothing is seen."""
        by_gate: list[list[Any]] = [[] for _ in self.gates]
        for start, kernel in zip(self.sees_from, self.group_kernels, strict=True):
            columns = ops.pad(ops.convert_to_tensor(kernel), [[start, 0], [0, 0]])
            for gate, block in zip(by_gate, ops.split(columns, len(by_gate), axis=-1), strict=True):
                gate.append(block)
        return ops.concatenate([block for gate in by_gate for block in gate], axis=-1)

    def notes(self) -> list[str]:
        def listed(numbers: Iterable[int]) -> str:
            return ", ".join(map(str, numbers))

        sizes, periods = listed(self.sizes), listed(self.periods)
        found = [f"Units of the groups here: {sizes}; their periods: {periods}."]
        if self.offset:
            found.append(
                f"The first step here is t = {self.offset}: "
                f"the groups first run after {listed(self.due)} steps."
            )
        if self.long:
            found.append(f"For the longest period a count is phase + {_DIGIT} phase_high here.")
        return found

    @property
    def due(self) -> list[int]:
        """Of each group the phase at which it runs."""
        return [-self.offset % period for period in self.periods]

    def recur_all(self, h: Any, z: Any, training: bool) -> Any:
        """`z + h U`, with the columns in the order of the gates."""
        return self.matmul(self.drop_state(h, training), self.full_kernel, add_to=z)

    def tick(self, phases: tuple[Any, ...]) -> tuple[Any, tuple[Any, ...]]:
        """Which units run now, bool (batch, units), and the next phases."""
        if not self.long:
            (phase,) = phases
            runs = ops.equal(phase, _row(self.due, phase))
            phase = phase + 1
            wraps = ops.equal(phase, _row(self.periods, phase))
            return self.by_unit(runs), (ops.where(wraps, 0 * phase, phase),)
        low, high = phases
        runs = _both_equal(low, high, self.due)
        carries = ops.equal(low, _DIGIT - 1)
        low, high = ops.where(carries, 0 * low, low + 1), ops.where(carries, high + 1, high)
        wraps = _both_equal(low, high, self.periods)
        return self.by_unit(runs), (
            ops.where(wraps, 0 * low, low),
            ops.where(wraps, 0 * high, high),
        )

    def by_unit(self, groups: Any) -> Any:
        """(batch, groups) as (batch, units)."""
        return ops.take(groups, self.group_of_unit, axis=-1)


def _row(values: Any, like: Any) -> Any:
    return ops.cast(ops.convert_to_tensor([list(values)], dtype="float32"), like.dtype)


def _both_equal(low: Any, high: Any, values: Any) -> Any:
    lows, highs = [v % _DIGIT for v in values], [v // _DIGIT for v in values]
    return ops.logical_and(ops.equal(low, _row(lows, low)), ops.equal(high, _row(highs, high)))


@register
class ClockworkRNNCell(ClockworkFamilyCell):
    r"""A simple recurrent network in groups, of which each runs at its own period.

    At step t = 0, 1, 2, ... a group j of period $T_j$ runs if t is a multiple of $T_j$:

    $$h_t^j = \tanh(x_t W^j + h_{t-1}^{slow} U^j + b^j)$$

    and otherwise keeps its state, $h_t^j = h_{t-1}^j$. $h^{slow}$ are the states of itself and
    of all groups k with $T_k \ge T_j$: slow groups feed fast ones, and only these blocks are
    weights.

    A long memory in the slow groups costs no gate; what they miss between two of their
    steps is lost to them.

    Deviation: the paper, as we remember it, draws all weights from N(0, 0.1); here the
    initializers are those of other cells.

    Reference: Koutnik, Greff, Gomez & Schmidhuber 2014, A clockwork RNN, ICML,
    arXiv 1402.3511.
    Weights: `m n + n + s` for m inputs and n units, where s is the number of pairs of units
    of which one sees the other, with G equal groups `n^2 (G + 1) / (2 G)`.

    Args:
        units, periods, group_units, offset: see `ClockworkFamilyCell`.
        activation, use_bias, ...: see `AffineCell`.
        **kwargs: what `AffineCell` takes.

    Raises:
        ValueError: as `ClockworkFamilyCell` and `AffineCell`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.ClockworkRNNCell(8, periods=(1, 3, 9, 27)))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 8])
    """

    gates = ("g",)
    states = (State("h"), _phase("phase"))
    reference = "Koutnik et al. 2014, A clockwork RNN"

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, *phases = states
        runs, phases = self.tick(phases)
        g = self.activation(self.recur_all(h, z, training))
        h = ops.where(runs, g, h)
        self.sow(g=g)
        return h, (h, *phases)


@register
class ClockworkLSTMCell(ClockworkFamilyCell, LSTMFamilyCell):
    r"""An LSTM in groups, of which each runs at its own period.

    At step t = 0, 1, 2, ... a group j of period $T_j$ runs if t is a multiple of $T_j$:

    $$i = \sigma(A_i) \quad f = \sigma(A_f) \quad g = \tanh(A_g) \quad o = \sigma(A_o)$$
    $$c_t^j = f \odot c_{t-1}^j + i \odot g \qquad h_t^j = o \odot \tanh(c_t^j)$$

    where $A_k = x_t W_k^j + h_{t-1}^{slow} U_k^j + b_k^j$, and otherwise keeps both its states.
    $h^{slow}$ are the outputs of itself and of all groups that run as seldom, or more seldom.

    The clockwork of Koutnik et al. 2014, whose network has no gates, on the LSTM. It starts
    with the LSTM's initializers; the paper, as we remember it, draws its own from N(0, 0.1).

    Reference: Koutnik, Greff, Gomez & Schmidhuber 2014, A clockwork RNN, ICML,
    arXiv 1402.3511; Gers, Schmidhuber & Cummins 2000, Learning to forget.
    Weights: `4 (m n + n + s)` for m inputs and n units, where s is the number of pairs of
    units of which one sees the other, with G equal groups `n^2 (G + 1) / (2 G)`.

    Args:
        units, periods, group_units, offset: see `ClockworkFamilyCell`.
        activation, recurrent_activation, ...: see `LSTMFamilyCell`.
        **kwargs: what `LSTMFamilyCell` takes.

    Raises:
        ValueError: as `ClockworkFamilyCell` and `LSTMFamilyCell`.

    Example:
        >>> import keras, keras_lstm_variants as klv
        >>> layer = keras.layers.RNN(klv.ClockworkLSTMCell(8, periods=(1, 3, 9, 27)))
        >>> layer(keras.ops.ones((2, 5, 3))).shape
        TensorShape([2, 8])
    """

    states = (State("h"), State("c"), _phase("phase"))
    reference = "Koutnik et al. 2014, A clockwork RNN (on the LSTM)"

    def step(self, z: Any, states: States, training: bool = False) -> tuple[Any, States]:
        h, c, *phases = states
        runs, phases = self.tick(phases)
        i, f, g, o = self.split(self.recur_all(h, z, training))
        i, f, o = self.gate(i), self.gate(f), self.gate(o)
        g = self.activation(g)
        c = ops.where(runs, f * c + i * g, c)
        h = ops.where(runs, o * self.output_activation(c), h)
        self.sow(i=i, f=f, g=g, o=o)
        return h, (h, c, *phases)


ClockworkRNN = ClockworkRNNCell.layer_class
ClockworkLSTM = ClockworkLSTMCell.layer_class

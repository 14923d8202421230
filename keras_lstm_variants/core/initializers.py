"""Initializers for recurrent cells: chrono forget bias and one draw per gate."""

import math
import numbers
import random
from typing import Any

import keras
from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.registry import register


@register
class ChronoBias(keras.initializers.Initializer):
    r"""Forget biases that spread the units' memory over time scales up to `max_timesteps`.

    Each unit draws $b \sim \log \mathcal{U}(1, T_{max} - 1)$ of its own, so that its
    memory, which shrinks by $\sigma(b)$ a step, lasts between 2 and $T_{max}$ steps.

    `forget_bias="chrono"` uses it, and also sets the input gate's bias to $-b$. Given as
    `forget_bias=ChronoBias(...)` it fills the column of the keeping gate only, as it is.

    Reference: Tallec & Ollivier 2018, Can recurrent neural networks warp time?,
    arXiv 1804.11188.

    Args:
        max_timesteps: the longest dependency to expect, in steps; a number above 2.
        seed: integer or None (a random one). The same seed gives the same values.

    Raises:
        ValueError: `max_timesteps` is not a number above 2.

    Example:
        >>> import keras_lstm_variants as klv
        >>> b = klv.initializers.ChronoBias(max_timesteps=100, seed=1)((64,))
        >>> bool(keras.ops.min(b) >= 0), bool(keras.ops.max(b) <= keras.ops.log(99.0))
        (True, True)
    """

    def __init__(self, max_timesteps: float, seed: int | None = None) -> None:
        self.max_timesteps = check_max_timesteps(max_timesteps)
        self.seed = checks.seed("seed", seed)
        # As Keras's own: fixed at creation, drawn from Python's generator.
        self._drawn_seed = random.randint(1, 10**9) if seed is None else seed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        shape = checks.sizes("shape", shape)
        last = float(self.max_timesteps) - 1.0
        draw = keras.random.uniform(shape, 1.0, last, dtype="float32", seed=self._drawn_seed)
        return ops.cast(ops.log(draw), dtype or keras.config.floatx())

    def get_config(self) -> dict[str, Any]:
        return {"max_timesteps": self.max_timesteps, "seed": self.seed}


@register
class PerGate(keras.initializers.Initializer):
    """Draws every gate's block of columns on its own with another initializer.

    One orthogonal or Glorot draw over all gates gives each gate smaller weights the more
    gates a cell has (spectral norm of a recurrent block at 128 units: 0.95 for 3 gates,
    0.65 for 8). With `PerGate` the gates of every cell start alike, which is what a fair
    comparison of cells needs; `klv compare` uses it.

    Args:
        initializer: what draws one block: an initializer, its name or its config.
        units: number of columns of a block, the cell's `units`.

    Raises:
        ValueError: `units` is not a positive integer; or, when called, the number of
            columns is not a multiple of `units`.

    Example:
        >>> import keras_lstm_variants as klv
        >>> per_gate = klv.initializers.PerGate("orthogonal", units=4)
        >>> layer = klv.LSTM(4, recurrent_initializer=per_gate)
    """

    def __init__(self, initializer: Any, units: int) -> None:
        self.initializer = functions.initializer("initializer", initializer)
        if self.initializer is None:
            raise ValueError("`initializer` must draw something. Received: initializer=None")
        self.units = checks.positive_integer("units", units)

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        shape = checks.sizes("shape", shape)
        if not shape or shape[-1] % self.units:
            raise ValueError(
                f"`PerGate(units={self.units})` needs a number of columns that is a multiple "
                f"of `units`. Received: shape={tuple(shape)}"
            )
        block = (*shape[:-1], self.units)
        functions.check_values("initializer", self.initializer, block)
        draws = [self._block(k)(block, dtype=dtype) for k in range(shape[-1] // self.units)]
        return ops.concatenate(draws, axis=-1)

    def with_units(self, units: int) -> "PerGate":
        """The same for a weight whose blocks have another number of columns."""
        return PerGate(self.initializer, units)

    def _block(self, index: int) -> Any:
        return another(self.initializer, index)

    def get_config(self) -> dict[str, Any]:
        return {
            "initializer": keras.initializers.serialize(self.initializer),
            "units": self.units,
        }


class ForgetBias:
    """The bias of all gates, in which some columns say where the memory starts.

    Args:
        initializer: draws the other columns, and further rows.
        gates: in the order of the columns.
        gate: the gate whose columns are set.
        value: a number, or an initializer of its columns.
        sign: -1 where the open gate overwrites the memory.
        closed: a gate that gets minus the values towards keeping, or None.
    """

    def __init__(
        self,
        initializer: Any,
        gates: tuple[str, ...],
        gate: str,
        value: Any,
        sign: int = 1,
        closed: str | None = None,
    ) -> None:
        self.initializer, self.gates, self.gate = initializer, gates, gate
        self.value, self.sign, self.closed = value, sign, closed

    def __call__(self, shape: tuple[int, ...], dtype: Any = None) -> Any:
        functions.check_values("bias_initializer", self.initializer, shape)
        first, *others = self._drawn(shape, dtype)
        blocks = ops.split(first, len(self.gates), axis=-1)
        keep = self._towards_keeping(blocks[0].shape, dtype)
        blocks[self.gates.index(self.gate)] = self.sign * keep
        if self.closed is not None:
            blocks[self.gates.index(self.closed)] = -keep
        first = ops.concatenate(blocks, axis=-1)
        return ops.stack([first, *others]) if len(shape) > 1 else first

    def _towards_keeping(self, shape: tuple[int, ...], dtype: Any) -> Any:
        if isinstance(self.value, float):
            return ops.full(shape, self.value, dtype=dtype)
        return self.value(tuple(shape), dtype=dtype)

    def _drawn(self, shape: tuple[int, ...], dtype: Any) -> list[Any]:
        """The rows before the columns are set; one row is drawn as in Keras's LSTM."""
        if len(shape) > 1 or isinstance(self.initializer, PerGate):
            rows = self.initializer(shape, dtype=dtype)
            return [rows[k] for k in range(shape[0])] if len(shape) > 1 else [rows]
        units, at = shape[0] // len(self.gates), self.gates.index(self.gate)
        after = len(self.gates) - at - 1
        drawn = [self.initializer((n * units,), dtype=dtype) for n in (at, after) if n]
        drawn.insert(min(at, 1), ops.zeros((units,), dtype=dtype))
        return [ops.concatenate(drawn)]

    def another(self, index: int) -> "ForgetBias":
        """A copy that draws other numbers."""
        value = self.value if isinstance(self.value, float) else another(self.value, index)
        initializer = another(self.initializer, index)
        return ForgetBias(initializer, self.gates, self.gate, value, self.sign, self.closed)


def another(initializer: Any, index: int) -> Any:
    """A copy whose seed differs: one initializer gives the same values at every call."""
    if isinstance(initializer, ForgetBias):
        return initializer.another(index) if index else initializer
    if index == 0 or not hasattr(initializer, "get_config"):
        return initializer
    if isinstance(initializer, PerGate):
        # Further apart than the seeds of its blocks.
        return PerGate(another(initializer.initializer, 1000 * index), initializer.units)
    config = initializer.get_config()
    if isinstance(config.get("seed"), dict):  # a generator, which moves on by itself
        return initializer
    if isinstance(config.get("seed"), int):
        config["seed"] += index
    return type(initializer).from_config(config)


def check_max_timesteps(value: Any) -> int | float:
    """`value`, or a `ValueError` unless it is a number above 2."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not number or not 2 < value < math.inf:
        raise ValueError(
            "`max_timesteps` must be a number above 2 (the longest dependency in steps). "
            f"Received: max_timesteps={value!r}"
        )
    return int(value) if value == int(value) else float(value)

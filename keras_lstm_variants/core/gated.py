"""Gated cells: the gates' activation, and where their memory starts."""

import math
import numbers
from typing import Any, ClassVar

import numpy as np

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.affine import AffineCell
from keras_lstm_variants.core.initializers import ChronoBias, ForgetBias, check_max_timesteps


class GatedCell(AffineCell):
    """A cell with gates: adds the gates' activation and the forget bias to `AffineCell`.

    Args:
        units, activation, use_bias, ...: see `AffineCell`.
        recurrent_activation: the function of the gates. Default `"sigmoid"`.
        forget_bias: where the memory starts.
            None: the cell's usual rule (see the cell).
            A number b: the bias towards keeping, so that the memory shrinks by sigmoid(b)
            a step at first; it gets a minus sign where the open gate overwrites.
            `"chrono"`: `klv.initializers.ChronoBias(max_timesteps)`, also towards keeping;
            a separate input gate gets minus these values.
            An initializer, or an array (units,): fills the gate's column as it is.
        max_timesteps: with `forget_bias="chrono"`, the longest dependency in steps, above 2.
        **kwargs: what `AffineCell` takes.

    Raises:
        ValueError: an argument is out of its range; `forget_bias` for a cell without a
            keeping gate or with `use_bias=False`; `max_timesteps` without `"chrono"` or
            `"chrono"` without `max_timesteps`.
    """

    # The forget bias where none is given.
    usual_forget_bias: ClassVar[float] = 0.0
    seed_drawn_last: ClassVar[bool] = True
    # A separate gate for writing, which chrono initialisation closes.
    input_gate: ClassVar[str | None] = None
    # The gates whose biases are in one weight with the forget bias. None: all gates.
    bias_gates: ClassVar[tuple[str, ...] | None] = None

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        recurrent_activation: Any = "sigmoid",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        *,
        forget_bias: Any = None,
        max_timesteps: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            units,
            activation,
            use_bias,
            kernel_initializer,
            recurrent_initializer,
            bias_initializer,
            **kwargs,
        )
        self.recurrent_activation = functions.activation(
            "recurrent_activation", recurrent_activation
        )
        self.forget_bias = self._check_forget_bias(forget_bias, max_timesteps)
        self.max_timesteps = None if max_timesteps is None else check_max_timesteps(max_timesteps)
        self.bias_start = self.starting_at(self.forget_bias)

    def _check_forget_bias(self, value: Any, max_timesteps: float | None) -> Any:
        value = _forget_bias(value)
        chrono = isinstance(value, str)
        if chrono and max_timesteps is not None:
            check_max_timesteps(max_timesteps)
        elif chrono or max_timesteps is not None:
            raise ValueError(
                '`forget_bias="chrono"` and `max_timesteps` (the longest dependency in steps) '
                f"go together. Received: forget_bias={value!r}, max_timesteps={max_timesteps!r}"
            )
        if value is None:
            return None
        if self.forget_gate is None:
            raise ValueError(
                f"{type(self).__name__} has no gate that keeps its memory, so `forget_bias` "
                f"must be None. Received: forget_bias={value!r}"
            )
        if not self.use_bias:
            raise ValueError(
                "`forget_bias` needs `use_bias=True`. "
                f"Received: forget_bias={value!r}, use_bias=False"
            )
        functions.check_values("forget_bias", value, (self.memory_units,))
        return value

    def starting_at(self, forget_bias: Any) -> Any:
        """The initializer of the bias of all gates, with the forget bias as checked."""
        if forget_bias is None:
            return self.bias_initializer
        gate, sign = self.forget_gate
        columns, closed = forget_bias, None
        if isinstance(forget_bias, str):
            columns, closed = ChronoBias(self.max_timesteps), self.input_gate
        elif not isinstance(forget_bias, float):
            sign = 1  # used as it is
        gates = self.gates if self.bias_gates is None else self.bias_gates
        return ForgetBias(self.bias_initializer, gates, gate, columns, sign, closed)

    @property
    def memory_units(self) -> int:
        """The number of forget biases."""
        return self.units

    def gate(self, z: Any) -> Any:
        """The gates' activation, the sigmoid by default."""
        return self.recurrent_activation(z)


def _forget_bias(value: Any) -> Any:
    """None, `"chrono"`, a float or an initializer, or a `ValueError`."""
    if value is None or (isinstance(value, str) and value == "chrono"):
        return value
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
        if not math.isfinite(value):
            raise ValueError(f"`forget_bias` must be finite. Received: forget_bias={value!r}")
        return float(value)
    try:
        return functions.initializer("forget_bias", value)
    except ValueError as error:
        hint = checks.nearest(value, ["chrono"]) if isinstance(value, str) else ""
        raise ValueError(
            '`forget_bias` must be None, a number, "chrono", an array (units,) or a Keras '
            f"initializer. Received: forget_bias={value!r}{hint}"
        ) from error

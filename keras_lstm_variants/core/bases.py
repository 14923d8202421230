"""The bases of cells, from the smallest to the largest.

`AffineCell` is `x W + h U + b`; `GatedCell` adds gates and the forget bias, `LSTMFamilyCell`
a memory, `PeepholeFamilyCell` peepholes.
"""

import math
import numbers
from typing import Any, ClassVar

import numpy as np
from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.initializers import ChronoBias, ForgetBias, check_max_timesteps
from keras_lstm_variants.core.normalization import LayerNorm
from keras_lstm_variants.core.state import State


class AffineCell(Cell):
    """A cell whose step begins with `x W + h U + b`, a block of columns for each gate.

    A cell in which not every gate sees the input, or the state, names those that do in
    `kernel_gates` or `recurrent_gates`; the others have no columns there. None means all,
    and with none there is no such weight.

    Args:
        units: positive integer, the size of the states and of the output.
        activation: the function of the candidate. Default `"tanh"`; None is linear.
        use_bias: whether there is a bias.
        kernel_initializer: for `kernel` (inputs, gates x units).
        recurrent_initializer: for `recurrent_kernel` (units, gates x units).
        bias_initializer: for `bias` (gates x units,).
        kernel_regularizer, recurrent_regularizer, bias_regularizer: penalties.
        kernel_constraint, recurrent_constraint, bias_constraint: constraints.
        dropout, recurrent_dropout, seed: see `Cell`.
        implementation: 0, 1 or 2, accepted as in Keras; it has no effect here.
        **kwargs: `name`, `dtype`, `trainable`.

    Raises:
        ValueError: an argument is out of its range.
    """

    kernel_gates: ClassVar[tuple[str, ...] | None] = None
    recurrent_gates: ClassVar[tuple[str, ...] | None] = None
    # What normalises `x W`, if anything does.
    kernel_norm: LayerNorm | None = None
    # Rows of the bias, of which the first is added to the input's; None: it has no rows.
    bias_rows: int | None = None

    def __init__(
        self,
        units: int,
        activation: Any = "tanh",
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        recurrent_initializer: Any = "orthogonal",
        bias_initializer: Any = "zeros",
        *,
        kernel_regularizer: Any = None,
        recurrent_regularizer: Any = None,
        bias_regularizer: Any = None,
        kernel_constraint: Any = None,
        recurrent_constraint: Any = None,
        bias_constraint: Any = None,
        implementation: int = 2,
        **kwargs: Any,
    ) -> None:
        super().__init__(units, **kwargs)
        if not self.gates:
            raise TypeError(f"{type(self).__name__} must name its blocks of columns in `gates`.")
        self.activation = functions.activation("activation", activation)
        self.use_bias = checks.flag("use_bias", use_bias)
        self.kernel_initializer = functions.initializer("kernel_initializer", kernel_initializer)
        self.recurrent_initializer = functions.initializer(
            "recurrent_initializer", recurrent_initializer
        )
        self.bias_initializer = functions.initializer("bias_initializer", bias_initializer)
        # What draws the bias of all gates: the forget bias is part of it.
        self.bias_start = self.bias_initializer
        self.kernel_regularizer = functions.regularizer("kernel_regularizer", kernel_regularizer)
        self.recurrent_regularizer = functions.regularizer(
            "recurrent_regularizer", recurrent_regularizer
        )
        self.bias_regularizer = functions.regularizer("bias_regularizer", bias_regularizer)
        self.kernel_constraint = functions.constraint("kernel_constraint", kernel_constraint)
        self.recurrent_constraint = functions.constraint(
            "recurrent_constraint", recurrent_constraint
        )
        self.bias_constraint = functions.constraint("bias_constraint", bias_constraint)
        self.implementation = checks.one_of("implementation", implementation, (0, 1, 2))
        if self.seed_drawn_last:
            self.draw_seed()

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        inputs = checks.features(type(self).__name__, input_shape)
        self.kernel = self.add_gate_weight(
            "kernel", inputs, self.kernel_initializer, gates=self.kernel_gates
        )
        self.recurrent_kernel = self.add_gate_weight(
            "recurrent_kernel", self.units, self.recurrent_initializer, gates=self.recurrent_gates
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_gate_weight("bias", self.bias_rows, self.bias_start)

    def project_inputs(self, inputs: Any, training: bool = False) -> Any:
        z = ops.matmul(inputs, self.kernel)
        return self.add_bias(z if self.kernel_norm is None else self.kernel_norm(z))

    def add_bias(self, z: Any) -> Any:
        if self.bias is None:
            return z
        return z + (self.bias if self.bias_rows is None else self.bias[0])

    def recurrent_matmul(
        self, h: Any, *gates: str, add_to: Any = None, training: bool = False
    ) -> Any:
        """`h U`, for the columns of `gates` (neighbours, in column order) or of all gates.

        `recurrent_matmul(h, add_to=z)` is `z + h U`; where z is used for nothing else, training
        then keeps the sum alone. The one place where a cell uses its recurrent kernel.
        """
        h = self.drop_state(h, training)
        if not gates:
            return self.matmul(h, self.recurrent_kernel, add_to=add_to)
        known = self.columns_of("recurrent_kernel")
        first = known.index(gates[0]) if gates[0] in known else 0
        if known[first : first + len(gates)] != gates:
            raise ValueError(f"recurrent_matmul: {gates} are not neighbours in {known}.")
        columns = slice(first * self.units, (first + len(gates)) * self.units)
        return self.matmul(h, self.recurrent_kernel, columns, add_to)

    def split(self, z: Any) -> list[Any]:
        """The blocks of `z`, one for each gate, in the order of `gates`."""
        return ops.split(z, len(self.gates), axis=-1)


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
    # How it is told, where it is not one number.
    usual_forget_bias_text: ClassVar[str | None] = None
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


class LSTMFamilyCell(GatedCell):
    """A gated cell with a memory `c`: adds Keras's `unit_forget_bias` and `output_activation`.

    Args:
        units, activation, recurrent_activation, ...: see `GatedCell`.
        output_activation: the function of the memory in `h = o * act(c)`.
            None: the same as `activation`.
        unit_forget_bias: whether the forget bias starts at 1 (towards keeping).
            Default: True, unless `forget_bias` is given.
        **kwargs: what `GatedCell` takes.

    Raises:
        ValueError: as `GatedCell`; or `unit_forget_bias` is given together with
            `forget_bias`, or for a cell without a keeping gate.
    """

    states: ClassVar[tuple[State, ...]] = (State("h"), State("c"))
    gates: ClassVar[tuple[str, ...]] = ("i", "f", "g", "o")
    forget_gate: ClassVar[tuple[str, int] | None] = ("f", 1)
    input_gate: ClassVar[str | None] = "i"
    usual_forget_bias: ClassVar[float] = 1.0

    def __init__(
        self,
        *args: Any,
        output_activation: Any = None,
        unit_forget_bias: bool | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.output_activation = (
            self.activation
            if output_activation is None
            else functions.activation("output_activation", output_activation)
        )
        if unit_forget_bias is not None:
            unit_forget_bias = checks.flag("unit_forget_bias", unit_forget_bias)
        if unit_forget_bias is not None and self.forget_bias is not None:
            raise ValueError(
                "Give either `forget_bias` or `unit_forget_bias`, not both. Received: "
                f"forget_bias={self.forget_bias!r}, unit_forget_bias={unit_forget_bias!r}"
            )
        if unit_forget_bias and self.forget_gate is None:
            raise ValueError(
                f"{type(self).__name__} has no gate that keeps its memory, so "
                "`unit_forget_bias` must be None or False. Received: unit_forget_bias=True"
            )
        usual = True if self.forget_gate and self.forget_bias is None else None
        self.unit_forget_bias = usual if unit_forget_bias is None else unit_forget_bias
        if self.unit_forget_bias:
            self.bias_start = self.starting_at(self.usual_forget_bias)


class PeepholeFamilyCell(LSTMFamilyCell):
    """An LSTM whose gates may see the memory through peepholes, one weight a unit.

    Args:
        units, activation, recurrent_activation, ...: see `LSTMFamilyCell`.
        peepholes: the gates with a peephole. None: all of the cell's sigmoid gates.
        peephole_initializer: for `peephole_kernel` (number of peepholes, units), whose
            rows stand in the order i, f, o. Default `"zeros"`.
        peephole_regularizer, peephole_constraint: penalty and constraint for it.
        **kwargs: what `LSTMFamilyCell` takes.

    Raises:
        ValueError: as `LSTMFamilyCell`; or `peepholes` names no gate that may have one.
    """

    def __init__(
        self,
        *args: Any,
        peepholes: tuple[str, ...] | None = None,
        peephole_initializer: Any = "zeros",
        peephole_regularizer: Any = None,
        peephole_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        allowed = self.peephole_gates
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

    @property
    def peephole_gates(self) -> tuple[str, ...]:
        return tuple(gate for gate in self.gates if gate not in self.candidates)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.peephole_kernel = None
        if self.peepholes:
            self.peephole_kernel = self.add_cell_weight(
                "peephole_kernel",
                (len(self.peepholes), self.units),
                self.peephole_initializer,
                gates=self.peepholes,
                axis=0,
            )

    def blocks(self, z: Any) -> dict[str, Any]:
        """The pre-activations $A_k$ by the names of the gates."""
        return dict(zip(self.gates, self.split(z), strict=True))

    def open(self, gate: str, a: dict[str, Any], c: Any) -> Any:
        """How far a gate is open, `sigmoid(a + p * c)`; 1 if the cell has no such gate."""
        return self.gate(a[gate] + self.peep(gate, c)) if gate in a else 1.0

    def peep(self, gate: str, c: Any) -> Any:
        """`p * c`, what `gate` sees of the memory; 0 without a peephole."""
        if gate not in self.peepholes:
            return 0.0
        return self.peephole_kernel[self.peepholes.index(gate)] * c


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

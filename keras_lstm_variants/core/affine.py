"""The part that most cells share: an affine input, and one recurrent matrix for all gates."""

from typing import Any, ClassVar

from keras import ops

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.cell import Cell
from keras_lstm_variants.core.normalization import LayerNorm


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

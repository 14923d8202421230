"""What the members of the LSTM family share besides their equations."""

from typing import Any, ClassVar

from keras_lstm_variants.core import checks, functions
from keras_lstm_variants.core.gated import GatedCell
from keras_lstm_variants.core.state import State


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
